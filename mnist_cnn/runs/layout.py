"""What lies where in a run directory, and who holds it; without PyTorch, so that a list of runs comes at once."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mnist_cnn.files import LOCK, is_locked
from mnist_cnn.runs.history import Epoch, read_history
from mnist_cnn.runs.record import Record

LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast
PLAN = "sweep.yaml"  # makes a directory that of a sweep


@dataclass(frozen=True)
class Layout:
    """A run directory on disk; creating the object touches nothing."""

    path: Path

    @property
    def config_file(self) -> Path:
        return self.path / "config.yaml"

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
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    def checkpoint(self, which: str) -> Path:
        return self.checkpoints / f"{which}.ckpt"

    @property
    def busy(self) -> bool:
        """Whether a process is training this run."""
        return is_locked(self.path / LOCK)

    def overrides(self) -> list[str]:
        """What was asked for on the command line."""
        return (
            list(yaml.load(self.overrides_file.read_text(), Loader=LOADER) or [])
            if self.overrides_file.is_file()
            else []
        )

    def record(self) -> Record | None:
        """What metrics.json says; None before there is one."""
        return Record.load(self.metrics_file) if self.metrics_file.is_file() else None

    def history(self) -> list[Epoch]:
        return read_history(self.history_file)
