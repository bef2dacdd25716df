"""What of the runs can go, and what a summary, a resume or an evaluation still needs."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mnist_cnn.errors import ConfigError
from mnist_cnn.runs.listing import ListedRun
from mnist_cnn.runs.record import known

What = Literal["failed", "checkpoints", "runs"]


@dataclass(frozen=True)
class Removal:
    """Files or folders of one run that can be removed."""

    run: ListedRun
    paths: list[Path]

    @property
    def size(self) -> int:
        """Bytes."""
        files = (file for path in self.paths for file in ([path] if path.is_file() else path.rglob("*")))
        return sum(file.lstat().st_size for file in files)

    def perform(self) -> int | None:
        """Bytes removed; None where the run is being trained by now: it may be a while since it was looked at."""
        if self.run.busy:
            return None
        size = self.size
        for path in self.paths:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        return size


def plan_cleaning(runs: Sequence[ListedRun], what: What, chosen: bool) -> list[Removal]:
    """What goes; nothing of a run that is being trained, and no record that a sweep's summary reads.

    Args:
        what: `failed`: directories of runs that ended without a complete epoch, or diverged; `checkpoints`: of
            completed runs, all but the weights that were tested; `runs`: whole directories.
        chosen: whether the user's own tests chose the runs.

    Raises:
        ConfigError: whole runs, and nothing says which.
    """
    if what == "runs" and not chosen:
        raise ConfigError(["what=runs: say which, e.g. status=interrupted, age>30d or model=gap"])
    quiet = [run for run in runs if not run.busy]
    if what == "checkpoints":
        removals = [Removal(run, _spare_checkpoints(run)) for run in quiet if run.status == "completed"]
    else:
        alone = [run for run in quiet if not run.in_sweep]
        removals = [Removal(run, [run.path]) for run in alone if what == "runs" or _useless(run)]
    return [removal for removal in removals if removal.paths]


def _useless(run: ListedRun) -> bool:
    return run.status == "diverged" or (run.status != "completed" and not run.checkpoint("last").exists())


def _spare_checkpoints(run: ListedRun) -> list[Path]:
    tested = run.checkpoint(known(known(run.saved).test_weights))
    return [file for file in run.checkpoints.glob("*.ckpt") if file != tested] if tested.is_file() else []
