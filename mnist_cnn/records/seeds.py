"""The finished runs of a folder."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mnist_cnn.records.entries import SEEDS
from mnist_cnn.report.spread import Spread
from mnist_cnn.reproduce.rows import typical_seconds
from mnist_cnn.runs.record import Record, known


@dataclass(frozen=True)
class Seeds:
    """What has not finished is left out."""

    folder: Path

    @cached_property
    def runs(self) -> dict[Path, Record]:
        """By file, in the order of their seeds."""
        found = {file: Record.load(file) for file in sorted(self.folder.glob("seed_*.json"))}
        return {file: run for file, run in sorted(found.items(), key=lambda one: one[1].seed) if run.completed}

    @property
    def complete(self) -> bool:
        """Whether a record counts: all its seeds have finished."""
        return len(self.runs) >= SEEDS

    def of(self, figure: str) -> dict[int, float]:
        """By the names of metrics.json; `val/...` is that of the tested weights."""
        return {run.seed: run.measured()[figure] for run in self.runs.values()}

    @property
    def accuracy(self) -> Spread:
        """On the test images, in percent."""
        return Spread.of(list(self.of("test/acc").values())).in_percent

    @property
    def seconds(self) -> Spread:
        """Of training and validation, each run as so many median epochs: a pause within one counts for nothing."""
        return Spread.of([typical_seconds([file.with_suffix(".csv")]) for file in self.runs])

    @property
    def parameters(self) -> int:
        """Trained ones."""
        return known(next(iter(self.runs.values())).parameters).trainable
