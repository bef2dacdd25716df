"""The jobs of a sweep with what became of them, alone and grouped over seeds, best validation accuracy first."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import mean
from typing import Any

from mnist_cnn.report.difference import ENOUGH, Difference
from mnist_cnn.report.spread import Spread
from mnist_cnn.runs.history import extras
from mnist_cnn.runs.record import Record, known
from mnist_cnn.runs.sameness import images_differ
from mnist_cnn.sweep.plan import Sweep, SweepJob
from mnist_cnn.sweep.states import COMPLETED, Progress

SEEDS = 2**32
NAMED = 3  # settings in a note
REPEATS = ("seed", "data.fold")  # what a mean is taken over


@dataclass(frozen=True)
class JobRow:
    """One job with its swept values and, where it is complete, its record."""

    job: SweepJob
    values: dict[str, str]
    progress: Progress
    done: Record | None

    @property
    def validation(self) -> float | None:
        """What validation measured of the weights that were tested: accuracy, or what the run was told to follow.

        None where no image validated.
        """
        return known(self.done).validation

    @property
    def place(self) -> int:
        """The same for jobs of two groups that are a pair: of one seed, and of one fold."""
        done = known(self.done)
        return (known(done.protocol).fold or 0) * SEEDS + done.seed

    @property
    def seconds(self) -> float:
        return known(known(self.done).timing).fit_seconds

    @property
    def parameters(self) -> int:
        return known(known(self.done).parameters).total

    def as_dict(self) -> dict[str, Any]:
        """The swept values and, where the job is complete, its figures, under the names of summary.csv."""
        facts: dict[str, Any] = {"job": self.job.number, **self.values, "state": self.progress.state}
        if self.done:
            figures, measured = self.done.results, self.done.measured()
            facts |= {
                "parameters": self.parameters,
                "val_acc": measured.get("val/acc"),
                "val_loss": measured.get("val/loss"),
                "test_acc": figures.test_acc,
                "test_loss": figures.test_loss,
                "best_epoch": figures.best_epoch,
                "seconds": round(self.seconds, 2),
            }
            facts |= {f"val_{name}": measured.get(f"val/{name}") for name in self.more}
            facts |= {f"test_{name}": measured.get(f"test/{name}") for name in self.more}
        return facts | {"error": self.progress.error}

    @property
    def more(self) -> list[str]:
        """What was measured beside accuracy and loss: `f1`."""
        return extras(self.done.results.model_dump(), "val") if self.done else []


@dataclass(frozen=True)
class Group:
    """Complete jobs that differ in nothing but the seed, or the part of the training images that validates."""

    values: dict[str, str]
    rows: list[JobRow]
    planned: int  # with those that failed or are still to run

    @property
    def name(self) -> str:
        return " ".join(f"{key}={value}" for key, value in self.values.items())

    @property
    def monitor(self) -> str | None:
        """What validation stands for where it is not accuracy."""
        return known(self.rows[0].done).monitor

    @property
    def lower_is_better(self) -> bool:
        return known(self.rows[0].done).mode == "min"

    @property
    def rank(self) -> float:
        return mean(known(row.done).rank for row in self.rows)

    @cached_property
    def measured(self) -> list[float]:
        """`validation` of each, where any image validated; nothing where they had different images."""
        if images_differ(known(row.done) for row in self.rows):
            return []
        return [row.validation for row in self.rows if row.validation is not None]

    @cached_property
    def spread(self) -> Spread:
        """Of the validation accuracy over the seeds or folds."""
        return Spread.of(self.measured)

    @property
    def whole(self) -> bool:
        return len(self.rows) == self.planned


def rows_of(sweep: Sweep) -> list[JobRow]:
    """Complete jobs first, best validation first, then the others in their order."""
    swept = sweep.swept()
    rows = []
    for job in sweep.jobs:
        values = {key: value for key, value in job.values().items() if key in swept}
        progress = sweep.progress(job)
        record = sweep.run(job).record() if progress.state == COMPLETED else None
        rows.append(JobRow(job, values, progress, record))
    return sorted(rows, key=lambda row: (row.done is None, -row.done.rank if row.done else 0, row.job.number))


def groups_of(rows: Sequence[JobRow]) -> list[Group]:
    """Best mean validation accuracy first; those that lack a seed, which may have diverged, after the others."""
    found: dict[tuple[tuple[str, str], ...], list[JobRow]] = {}
    for row in rows:
        found.setdefault(tuple((k, v) for k, v in row.values.items() if k not in REPEATS), []).append(row)
    groups = [Group(dict(key), [r for r in members if r.done], len(members)) for key, members in found.items()]
    return sorted((g for g in groups if g.rows), key=lambda group: (not group.whole, -group.rank))


def highest(groups: Sequence[Group]) -> list[str]:
    """Which groups the highest by validation cannot be told apart from.

    Nothing where it has a single seed or images differ, nor over folds: no test holds, as they share training images.
    """
    groups = [group for group in groups if group.measured]
    if len(groups) < 2 or len(groups[0].rows) < 2 or groups[0].monitor is not None:
        return []
    records = [known(row.done) for group in groups for row in group.rows]
    if any(known(record.protocol).fold is not None for record in records) or images_differ(records):
        return []
    images = known(known(groups[0].rows[0].done).protocol).val_images
    best, *others = ({row.place: known(row.validation) for row in group.rows} for group in groups)
    near, few = [], False
    for group, other in zip(groups[1:], others, strict=True):
        found = Difference.of(best, other, images)
        few = few or not found.enough
        if not found.found:
            near.append(f"{group.name} ({f'p = {found.p:.2g}' if found.enough else found.size})")
    if not near:
        return []
    more = f" and {len(near) - NAMED} others" if len(near) > NAMED else ""
    least = f"; fewer than {ENOUGH} pairs tell nothing apart"
    return [f"highest: {groups[0].name}, not distinguishable from {', '.join(near[:NAMED])}{more}{least * few}"]
