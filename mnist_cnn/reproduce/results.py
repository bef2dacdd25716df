"""The results directory that keeps the figures of finished runs."""

from pathlib import Path

from mnist_cnn.files import write_atomically
from mnist_cnn.reproduce.study import Entry, StudyRun
from mnist_cnn.runs.directory import Run
from mnist_cnn.runs.provenance import SUPERSEDED
from mnist_cnn.runs.record import Record


class Results:
    """A directory with one JSON file (and the figures per epoch as CSV) for each finished run; small enough for git."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def file(self, run: StudyRun) -> Path:
        return self.root / f"{run.path}.json"

    def superseded(self, run: StudyRun) -> bool:
        """Whether a run of that name was kept once and does not stand; see `runs/provenance.py`."""
        return (self.root.parent / SUPERSEDED / self.root.name / f"{run.path}.json").is_file()

    def of(self, run: StudyRun) -> Record | None:
        """The record of a run if it was made with its present settings by the present code, else None."""
        record = Record.load(self.file(run)) if self.file(run).is_file() else None
        return record if run.made(record) else None

    def all_of(self, entry: Entry, protocol: str) -> dict[Path, Record]:
        """The record of every seed, by file, in order."""
        files = list((self.root / entry.results(protocol)).glob("seed_*.json"))
        seeds = sorted(int(file.stem.removeprefix("seed_")) for file in files)
        runs = [StudyRun(entry, protocol, seed) for seed in seeds]
        found = {self.file(run): self.of(run) for run in runs}
        return {file: record for file, record in found.items() if record is not None}

    def histories(self, run: StudyRun) -> list[Path]:
        """Figures per epoch of all seeds of the same entry and protocol, those of earlier code included."""
        return [file.with_suffix(".csv") for file in self.file(run).parent.glob("seed_*.json")]

    def keep(self, run: StudyRun, trained: Run) -> None:
        target = self.file(run)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target.with_suffix(".csv"), trained.history_file.read_bytes())
        write_atomically(target, trained.metrics_file.read_bytes())

    def share(self, source: StudyRun, target: StudyRun) -> None:
        """The same configuration and seed under another name: the same figures."""
        self.file(target).parent.mkdir(parents=True, exist_ok=True)
        for suffix in (".csv", ".json"):
            there, here = (self.file(run).with_suffix(suffix) for run in (target, source))
            write_atomically(there, here.read_bytes())
