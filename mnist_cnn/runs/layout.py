"""What lies where in a run directory, and who holds it; without PyTorch, so that a list of runs comes at once."""

from dataclasses import dataclass
from pathlib import Path

from mnist_cnn.errors import RunError
from mnist_cnn.files import LOCK, is_locked, read_yaml
from mnist_cnn.runs.history import Epoch, read_history
from mnist_cnn.runs.record import Record

CONFIG = "config.yaml"  # makes a directory that of a run
PLAN = "sweep.yaml"  # makes a directory that of a sweep


@dataclass(frozen=True)
class Layout:
    """A run directory on disk; creating the object touches nothing."""

    path: Path

    @property
    def config_file(self) -> Path:
        return self.path / CONFIG

    @property
    def overrides_file(self) -> Path:
        return self.path / "overrides.yaml"

    @property
    def metrics_file(self) -> Path:
        return self.path / "metrics.json"

    @property
    def history_file(self) -> Path:
        return self.path / "metrics.csv"

    @property
    def predictions_file(self) -> Path:
        return self.predictions_of("test")

    def predictions_of(self, split: str) -> Path:
        """What the tested weights said of the images of `test` or `val`."""
        return self.path / f"predictions{'' if split == 'test' else f'_{split}'}.csv"

    @property
    def log_file(self) -> Path:
        return self.path / "train.log"

    @property
    def trackers_file(self) -> Path:
        """What loggers call the run, and how many epochs they were told of."""
        return self.path / "trackers.json"

    @property
    def owner_file(self) -> Path:
        """Who trains it, by a name of its own; only where a cluster has started it."""
        return self.path / ".owner"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    def checkpoint(self, which: str) -> Path:
        return self.checkpoints / f"{which}.ckpt"

    @property
    def busy(self) -> bool:
        """Whether a process is training this run."""
        return is_locked(self.path / LOCK)

    def overrides(self) -> list[str]:
        """What was asked for on the command line.

        Raises:
            RunError: a file that holds something else.
        """
        found = (read_yaml(self.overrides_file, RunError) or []) if self.overrides_file.exists() else []
        if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
            raise RunError(f"{self.overrides_file}: not a list of overrides; without it the run is as good as before")
        return found

    def record(self) -> Record | None:
        """What metrics.json says; None before there is one."""
        return Record.load(self.metrics_file) if self.metrics_file.exists() else None

    def history(self) -> list[Epoch]:
        return read_history(self.history_file)
