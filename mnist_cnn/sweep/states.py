"""States of the jobs of a sweep, from the files that they left."""

from dataclasses import dataclass
from pathlib import Path

from mnist_cnn.runs.directory import Run
from mnist_cnn.runs.record import Record

# A diverged job would diverge again, and a refused one would be refused again.
COMPLETED, RUNNING, WAITING = "completed", "running", "waiting"
DIVERGED, REFUSED, FAILED, KILLED, STOPPED = "diverged", "refused", "failed", "killed", "stopped"
PRUNED = "pruned"  # by a search
TO_RUN = (WAITING, FAILED, KILLED, STOPPED)


@dataclass(frozen=True)
class Progress:
    """What the files of a job say: its state, epochs done, best validation accuracy, mean seconds of an epoch."""

    state: str
    epochs: int = 0
    best: float | None = None
    epoch_seconds: float | None = None
    error: str | None = None


def state_of(record: Record | None, run: Run, log_file: Path) -> str:
    if record is None and run.busy:
        return RUNNING
    if record is None:
        return FAILED if log_file.exists() else WAITING
    if record.status == "running":
        return RUNNING if run.busy else KILLED
    if record.status == "failed":
        return DIVERGED if record.diverged else FAILED
    return {"completed": COMPLETED, "pruned": PRUNED}.get(record.status, STOPPED)
