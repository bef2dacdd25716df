"""What came out of a sweep: every job, and mean and spread over seeds, best first; table, CSV, Markdown, picture."""

import shlex
from collections.abc import Sequence
from statistics import mean

from mnist_cnn.config.python_values import command
from mnist_cnn.files import write_atomically, write_table
from mnist_cnn.report.spread import Spread
from mnist_cnn.report.text import markdown_table, plain_table, wrapped
from mnist_cnn.runs.record import Record, known
from mnist_cnn.runs.sameness import changed_code, images_differ
from mnist_cnn.sweep.groups import REPEATS, Group, JobRow, groups_of, highest, rows_of
from mnist_cnn.sweep.plan import Sweep
from mnist_cnn.sweep.states import COMPLETED, PRUNED, RUNNING, STOPPED, TO_RUN, WAITING

INTERVAL = "95 % interval"


def write_summary(sweep: Sweep, all_tests: bool = False) -> str:
    """Writes summary.csv, summary.md and summary.png into the sweep's directory; returns the text to print.

    Args:
        all_tests: test figures of everything, not only of what validation chose.
    """
    from mnist_cnn.sweep.plot import draw  # matplotlib takes a second to import

    rows = rows_of(sweep)
    groups = groups_of(rows)
    ended = not any(row.progress.state in (RUNNING, STOPPED, WAITING) for row in rows)
    chosen = [group for group in groups[:1] if ended and group.measured]
    repeated = any(len(group.rows) > 1 for group in groups)
    jobs, seeds = job_table(sweep, rows, chosen, all_tests), group_table(groups, chosen, all_tests)
    # A line per job, for further analysis; all figures, so the test figures too.
    columns = ["job", *sweep.swept(), "state", "parameters", "val_acc", "val_loss", "test_acc", "test_loss",
               "best_epoch", "seconds", *(f"{split}_{name}" for name in more_of(rows) for split in ("val", "test")),
               "error", "directory"]  # fmt: skip
    lines = (row.as_dict() | {"directory": row.job.number} for row in rows)
    write_table(sweep.path / "summary.csv", columns, lines)
    files = ["summary.csv", "summary.md"]
    keys = [key for key in sweep.swept() if key not in REPEATS]
    picture = draw([group for group in groups if group.measured], keys, rows, sweep.is_search)
    if picture is not None:
        picture.savefig(sweep.path / "summary.png", dpi=110)
        files.append("summary.png")
    notes = [*highest(groups), *notes_on(sweep, rows, chosen, all_tests)]
    text = as_markdown(sweep, jobs, seeds if repeated else [], notes, picture is not None)
    write_atomically(sweep.path / "summary.md", text.encode())
    parts = [
        plain_table(jobs),
        plain_table(seeds, below=[INTERVAL]) if repeated else "",
        "\n".join(map(wrapped, notes)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n\n" + wrapped(f"{sweep.path}: {', '.join(files)}")


def job_table(sweep: Sweep, rows: Sequence[JobRow], chosen: Sequence[Group], all_tests: bool) -> list[list[str]]:
    swept = sweep.swept()
    numbers = {row.job.number for group in chosen for row in group.rows}
    more = more_of(rows)
    table = [[sweep.noun, *swept, "parameters", "validation", *more, "test", "seconds", "state"]]
    for row in rows:
        values = [short(row.values.get(key, "")) for key in swept]
        if row.done:
            test = row.done.shown(row.done.test) if all_tests or row.job.number in numbers else ""
            others = [f"{row.as_dict()[f'val_{name}']:.4f}" if name in row.more else "" for name in more]
            figures = [f"{row.parameters:,}", row.done.shown(row.validation), *others, test, f"{row.seconds:.0f}"]
        else:
            best = f"({row.progress.best:.2%})" if row.progress.best is not None else ""
            figures = ["", best, *[""] * len(more), "", ""]
        table.append([str(row.job.number), *values, *figures, row.progress.state])
    return table


def group_table(groups: Sequence[Group], chosen: Sequence[Group], all_tests: bool) -> list[list[str]]:
    keys = list(dict.fromkeys(key for group in groups for key in group.values))
    table = [[*keys, "n", "validation: mean ± sd", INTERVAL, "test: mean ± sd", INTERVAL, "seconds"]]
    for group in groups:
        shown = [known(row.done).test for row in group.rows] if group in chosen or all_tests else []
        tests = [test for test in shown if test is not None]
        table.append(
            [
                *(short(group.values.get(key, "")) for key in keys),
                f"{len(group.rows)}" if group.whole else f"{len(group.rows)} of {group.planned}",
                *(_spread(group.spread, group.monitor) if group.measured else ["", ""]),
                *(_spread(Spread.of(tests), group.monitor) if tests and group.measured else ["", ""]),
                f"{mean(row.seconds for row in group.rows):.0f}",
            ]
        )
    return table


def more_of(rows: Sequence[JobRow]) -> list[str]:
    """What some job measured beside accuracy and loss."""
    return list(dict.fromkeys(name for row in rows for name in row.more))


def short(value: str) -> str:
    """A long number with four digits."""
    try:
        return f"{float(value):.4g}" if len(value) > 8 else value
    except ValueError:
        return value


def _spread(spread: Spread, monitor: str | None) -> list[str]:
    """Mean ± sd, and the 95 % interval, which ends where accuracies do."""
    if monitor is not None:
        half = spread.half_width
        return [spread.text(4), "" if half is None else f"{spread.mean - half:.4f}–{spread.mean + half:.4f}"]
    if spread.half_width is None:
        return [f"{spread.mean:.2%}", ""]
    low, high = max(0.0, spread.mean - spread.half_width), min(1.0, spread.mean + spread.half_width)
    return [spread.in_percent.text(3, " %"), f"{100 * low:.2f}–{100 * high:.2f} %"]


def notes_on(sweep: Sweep, rows: Sequence[JobRow], chosen: Sequence[Group], all_tests: bool) -> list[str]:
    monitors = dict.fromkeys(row.done.monitor for row in rows if row.done and row.done.monitor is not None)
    notes = [f"validation and test are {monitor}, which chose the epochs" for monitor in monitors]
    if any(row.done and known(row.done.protocol).test_images_watched for row in rows):
        notes.append("validation here is on the test images themselves (data.validate_on=test): nothing is held out")
    protocols = [known(record.protocol) for record in _records(rows)]
    if any(protocol.fold is not None for protocol in protocols):
        notes.append("folds share most of their training images: the interval over them is too narrow")
    if any(images_differ(known(row.done) for row in group.rows) for group in groups_of(rows)):
        notes.append(f"{sweep.noun}s of the same settings had different images: no mean over them")
    notes += [f"the code of {module} is not the same in all {sweep.noun}s" for module in changed_code(_records(rows))]
    if sweep.is_search and rows and rows[0].done:
        best = rows[0]
        words = shlex.join(["python", "-m", "mnist_cnn.train", *(text.lstrip("+") for text in best.job.overrides)])
        notes.append(
            f"trial {best.job.number} is best, {rows[0].done.shown(best.validation)}; with its values: {words}"
        )
    if protocols and all(protocol.test == "never" for protocol in protocols):
        notes.append("no job read the test images (test=never); python -m mnist_cnn.evaluate run_dir=... tests one")
    elif not all_tests:
        notes.append(
            f"test figures are shown only for what validation chose{'' if chosen else ', at the end'}; all of them: "
            f"python -m mnist_cnn.sweep {shlex.quote(str(sweep.path))} tests=all"
        )
    for row in rows:
        if row.progress.error and row.progress.state not in (COMPLETED, PRUNED):
            state = row.progress.state
            error = row.progress.error.splitlines()[0].removeprefix(f"{state}: ")
            notes.append(f"{sweep.noun} {row.job.number} {state}: {error}")
    if sweep.in_queue:
        states = list(sweep.in_queue.values())
        words = f"{states.count(RUNNING)} running and {states.count(WAITING)} waiting on SLURM"
        notes.append(f"{words}; watch them: {command('train', '-m', resume=sweep.path)}")
    if any(row.progress.state in TO_RUN and row.job.number not in sweep.in_queue for row in rows):
        again = (
            command("search", directory=sweep.path) if sweep.is_search else command("train", "-m", resume=sweep.path)
        )
        notes.append(f"continue: {again}")
    return notes


def _records(rows: Sequence[JobRow]) -> list[Record]:
    return [row.done for row in rows if row.done]


def as_markdown(
    sweep: Sweep, jobs: list[list[str]], seeds: list[list[str]], notes: Sequence[str], pictured: bool
) -> str:
    parts = [f"# {sweep.path.name}", f"`{' '.join(sweep.arguments)}`", markdown_table(jobs)]
    parts += ["## Over seeds and folds", markdown_table(seeds)] if seeds else []
    parts += ["![summary](summary.png)"] if pictured else []
    parts += ["\n".join(f"- {note}" for note in notes)] if notes else []
    return "\n\n".join(parts) + "\n"
