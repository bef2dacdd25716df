"""What came out of a sweep: every job, and mean and spread over seeds, best first; table, CSV, Markdown, picture."""

import csv
import io
import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

from mnist_cnn.files import write_atomically
from mnist_cnn.report.tables import markdown_table, plain_table
from mnist_cnn.sweeps import COMPLETED, PRUNED, RUNNING, STOPPED, WAITING, Progress, Sweep, SweepJob

# Student's t, 97.5 %, for 1 to 30 degrees of freedom.
T_975 = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
    2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
]  # fmt: skip
T_MANY = 1.96


@dataclass(frozen=True)
class JobRow:
    """One job with its swept values and, where it is complete, its metrics."""

    job: SweepJob
    values: dict[str, str]
    progress: Progress
    metrics: dict[str, Any]

    @property
    def complete(self) -> bool:
        return self.progress.state == COMPLETED

    @property
    def validation(self) -> float:
        """Accuracy of the weights that the test measured; of the best epoch where the last had no validation."""
        figures = self.metrics["figures"]
        last = figures["val/acc"] if self.metrics["test_weights"] == "last" else None
        return last if last is not None else figures["best/acc"]

    @property
    def test(self) -> float:
        return self.metrics["figures"]["test/acc"]

    @property
    def seconds(self) -> float:
        return self.metrics["timing"]["fit_seconds"]


@dataclass(frozen=True)
class Group:
    """Complete jobs that differ in nothing but the seed."""

    values: dict[str, str]
    rows: list[JobRow]
    planned: int  # with those that failed or are still to run

    @property
    def validation(self) -> float:
        return mean(row.validation for row in self.rows)

    @property
    def whole(self) -> bool:
        return len(self.rows) == self.planned


def rows_of(sweep: Sweep) -> list[JobRow]:
    """Complete jobs first, best validation first, then the others in their order."""
    swept = sweep.swept()
    rows = []
    for job in sweep.jobs:
        values = {key: value for key, value in job.values().items() if key in swept}
        rows.append(JobRow(job, values, sweep.progress(job), sweep.run(job).metrics()))
    return sorted(rows, key=lambda row: (not row.complete, -row.validation if row.complete else 0, row.job.number))


def groups_of(rows: Sequence[JobRow]) -> list[Group]:
    """Best mean validation accuracy first; those that lack a seed, which may have diverged, after the others."""
    found: dict[tuple[tuple[str, str], ...], list[JobRow]] = {}
    for row in rows:
        found.setdefault(tuple((k, v) for k, v in row.values.items() if k != "seed"), []).append(row)
    groups = [Group(dict(key), [r for r in members if r.complete], len(members)) for key, members in found.items()]
    return sorted((g for g in groups if g.rows), key=lambda group: (not group.whole, -group.validation))


def interval(values: Sequence[float]) -> float | None:
    """Half the width of the 95 % confidence interval of the mean (Student's t); None for a single value."""
    if len(values) < 2:
        return None
    freedom = len(values) - 1
    t = T_975[freedom - 1] if freedom <= len(T_975) else T_MANY
    return t * stdev(values) / math.sqrt(len(values))


def summarize(sweep: Sweep, all_tests: bool = False) -> str:
    """Writes summary.csv, summary.md and summary.png into the sweep's directory; returns the text to print.

    Args:
        all_tests: test figures of everything, not only of what validation chose.
    """
    from mnist_cnn.report.sweep_figure import draw  # matplotlib takes a second to import

    rows = rows_of(sweep)
    groups = groups_of(rows)
    chosen = groups[:1] if not any(row.progress.state in (RUNNING, STOPPED, WAITING) for row in rows) else []
    repeated = any(len(group.rows) > 1 for group in groups)
    jobs, seeds = job_table(sweep, rows, chosen, all_tests), group_table(groups, chosen, all_tests)
    write_atomically(sweep.path / "summary.csv", as_csv(sweep, rows).encode())
    files = ["summary.csv", "summary.md"]
    picture = draw(groups, [key for key in sweep.swept() if key != "seed"])
    if picture is not None:
        picture.savefig(sweep.path / "summary.png", dpi=110)
        files.append("summary.png")
    notes = notes_on(sweep, rows, chosen, all_tests)
    text = as_markdown(sweep, jobs, seeds if repeated else [], notes, picture is not None)
    write_atomically(sweep.path / "summary.md", text.encode())
    parts = [plain_table(jobs), plain_table(seeds) if repeated else "", "\n".join(notes)]
    return "\n\n".join(part for part in parts if part) + f"\n\n{sweep.path}: {', '.join(files)}"


def job_table(sweep: Sweep, rows: Sequence[JobRow], chosen: Sequence[Group], all_tests: bool) -> list[list[str]]:
    swept = sweep.swept()
    numbers = {row.job.number for group in chosen for row in group.rows}
    table = [["job", *swept, "parameters", "validation", "test", "seconds", "state"]]
    for row in rows:
        values = [short(row.values.get(key, "")) for key in swept]
        if row.complete:
            test = f"{row.test:.2%}" if all_tests or row.job.number in numbers else ""
            figures = [f"{row.metrics['parameters']['total']:,}", f"{row.validation:.2%}", test, f"{row.seconds:.0f}"]
        else:
            figures = ["", f"({row.progress.best:.2%})" if row.progress.best is not None else "", "", ""]
        table.append([str(row.job.number), *values, *figures, row.progress.state])
    return table


def group_table(groups: Sequence[Group], chosen: Sequence[Group], all_tests: bool) -> list[list[str]]:
    keys = list(dict.fromkeys(key for group in groups for key in group.values))
    table = [[*keys, "n", "validation: mean ± sd", "95 % interval", "test: mean ± sd", "95 % interval", "seconds"]]
    for group in groups:
        tests = [row.test for row in group.rows] if group in chosen or all_tests else []
        table.append(
            [
                *(short(group.values.get(key, "")) for key in keys),
                f"{len(group.rows)}" if group.whole else f"{len(group.rows)} of {group.planned}",
                *_spread([row.validation for row in group.rows]),
                *(_spread(tests) if tests else ["", ""]),
                f"{mean(row.seconds for row in group.rows):.0f}",
            ]
        )
    return table


def short(value: str) -> str:
    """A long number with four digits."""
    try:
        return f"{float(value):.4g}" if len(value) > 8 else value
    except ValueError:
        return value


def _spread(values: Sequence[float]) -> list[str]:
    half = interval(values)
    if half is None:
        return [f"{values[0]:.2%}", ""]
    middle = mean(values)
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    return [f"{100 * middle:.3f} ± {100 * stdev(values):.3f} %", f"{100 * low:.2f}–{100 * high:.2f} %"]


def notes_on(sweep: Sweep, rows: Sequence[JobRow], chosen: Sequence[Group], all_tests: bool) -> list[str]:
    notes = []
    if any(row.complete and row.metrics["protocol"]["test_images_watched"] for row in rows):
        notes.append("validation here is on the test images themselves (data.validate_on=test): nothing is held out")
    if not all_tests:
        notes.append(
            f"test figures are shown only for what validation chose{'' if chosen else ', at the end'}; all of them: "
            f"python -m mnist_cnn.sweep {shlex.quote(str(sweep.path))} tests=all"
        )
    for row in rows:
        if row.progress.error and row.progress.state not in (COMPLETED, PRUNED):
            state = row.progress.state
            notes.append(
                f"job {row.job.number} {state}: {row.progress.error.splitlines()[0].removeprefix(f'{state}: ')}"
            )
    if sweep.unfinished():
        folder = shlex.quote(str(sweep.path))
        command = f"search directory={folder}" if sweep.is_search else f"train -m resume={folder}"
        notes.append(f"continue: python -m mnist_cnn.{command}")
    return notes


def as_csv(sweep: Sweep, rows: Sequence[JobRow]) -> str:
    """A line per job, for further analysis; all figures, so the test figures too."""
    swept = sweep.swept()
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["job", *swept, "state", "parameters", "val_acc", "val_loss", "test_acc", "test_loss", "best_epoch",
                     "seconds", "error", "directory"])  # fmt: skip
    for row in rows:
        values = [row.values.get(key, "") for key in swept]
        figures: list[Any] = [""] * 7
        if row.complete:
            m, f = row.metrics, row.metrics["figures"]
            loss = f["best/loss" if m["test_weights"] == "best" else "val/loss"]
            figures = [m["parameters"]["total"], row.validation, loss, f["test/acc"], f["test/loss"], f["best_epoch"],
                       round(row.seconds, 2)]  # fmt: skip
        writer.writerow(
            [row.job.number, *values, row.progress.state, *figures, row.progress.error or "", row.job.number]
        )
    return text.getvalue()


def as_markdown(
    sweep: Sweep, jobs: list[list[str]], seeds: list[list[str]], notes: Sequence[str], pictured: bool
) -> str:
    parts = [f"# {sweep.path.name}", f"`{' '.join(sweep.arguments)}`", markdown_table(jobs)]
    parts += ["## Over seeds", markdown_table(seeds)] if seeds else []
    parts += ["![summary](summary.png)"] if pictured else []
    parts += ["\n".join(f"- {note}" for note in notes)] if notes else []
    return "\n\n".join(parts) + "\n"
