"""The finished runs of a folder."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mnist_cnn.records.entries import SEEDS, RecordEntry
from mnist_cnn.report.spread import Spread
from mnist_cnn.reproduce.rows import typical_seconds
from mnist_cnn.runs.answers import ENSEMBLES, MEMBERS, MISSED, SHIFTED, read_answers
from mnist_cnn.runs.record import Record, known

TEST_IMAGES = 10_000


@dataclass(frozen=True)
class Seeds:
    """What has not finished is left out."""

    folder: Path

    @classmethod
    def of_record(cls, record: RecordEntry, results: Path) -> "Seeds":
        folder = results / record.folder
        return Ensembles(folder, record.members) if record.members > 1 else cls(folder)

    @cached_property
    def runs(self) -> dict[Path, Record]:
        """By file, in the order of their seeds."""
        found = {file: Record.load(file) for file in sorted(self.folder.glob("seed_*.json"))}
        return {file: run for file, run in sorted(found.items(), key=lambda one: one[1].seed) if run.completed}

    @property
    def complete(self) -> bool:
        """Whether a record counts: its seeds have finished, those and no others."""
        return sorted(self.accuracies) == list(range(1, SEEDS + 1))

    def of(self, figure: str) -> dict[int, float]:
        """By the names of metrics.json; `val/...` is that of the tested weights."""
        return {run.seed: run.measured()[figure] for run in self.runs.values()}

    @property
    def accuracies(self) -> dict[int, float]:
        """On the test images, from 0 to 1, by seed."""
        return self.of("test/acc")

    @property
    def accuracy(self) -> Spread:
        """On the test images, in percent."""
        return Spread.of(list(self.accuracies.values())).in_percent

    @property
    def answers(self) -> list[Path]:
        """Files of the test images that were got wrong, one of each run that has kept its own."""
        return sorted((self.folder / MISSED).glob("*.csv"))

    @property
    def shifted(self) -> dict[int, float]:
        """The same by the mean of nine views of each image; of the seeds whose answers are kept."""
        files = {int(file.stem.removeprefix("seed_")): file for file in (self.folder / SHIFTED).glob("*.csv")}
        return {seed: _accuracy(file) for seed, file in sorted(files.items())}

    @property
    def seconds(self) -> Spread:
        """Of training and validation, each run as so many median epochs: a pause within one counts for nothing."""
        return Spread.of(list(self._seconds().values()))

    def _seconds(self) -> dict[int, float]:
        return {run.seed: typical_seconds([file.with_suffix(".csv")]) for file, run in self.runs.items()}

    @property
    def processors(self) -> list[str]:
        """Of its runs, without what all names have."""
        named = {known(run.hardware).cpu or "not known" for run in self.runs.values()}
        return sorted(name.replace("(R)", "").removesuffix(" Processor") for name in named)

    @property
    def parameters(self) -> int:
        """Trained ones."""
        return known(next(iter(self.runs.values())).parameters).trainable

    @property
    def numbers(self) -> int:
        """All that are stored."""
        return known(next(iter(self.runs.values())).parameters).total


@dataclass(frozen=True)
class Ensembles(Seeds):
    """Ensembles of so many runs each; one not all of whose members have finished is left out."""

    members: int

    @property
    def accuracies(self) -> dict[int, float]:
        """On the test images, from 0 to 1, by the number of the ensemble."""
        found = {}
        for file in self.answers:
            if told := MEMBERS.fullmatch(file.stem):
                found[int(told[2]) // self.members] = _accuracy(file)
        return dict(sorted(found.items()))

    @property
    def answers(self) -> list[Path]:
        return sorted((self.folder / ENSEMBLES).glob("*.csv"))

    @property
    def seconds(self) -> Spread:
        """Of all members, one after the other."""
        whole: dict[int, list[float]] = {}
        for seed, seconds in self._seconds().items():
            whole.setdefault((seed - 1) // self.members, []).append(seconds)
        return Spread.of([sum(each) for each in whole.values() if len(each) == self.members])

    @property
    def parameters(self) -> int:
        return self.members * super().parameters

    @property
    def numbers(self) -> int:
        return self.members * super().numbers


def _accuracy(answers: Path) -> float:
    return 1 - len(read_answers(answers)) / TEST_IMAGES
