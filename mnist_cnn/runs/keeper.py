"""What is said of a run while it runs and when it ends, however it ends."""

import contextlib
import logging
import os
from typing import Any

from mnist_cnn.errors import ForeignError, Pruned, UserError
from mnist_cnn.runs.directory import RUN_VARIABLE, Run
from mnist_cnn.runs.record import VERSION, Record
from mnist_cnn.signals import shielded

log = logging.getLogger(__name__)


class Keeper:
    """Keeps metrics.json true to what happens to the run, and tells further processes of a training which run it is."""

    def __init__(self, run: Run, seed: int) -> None:
        self.run = run
        self.record = Record(version=VERSION, status="running", pid=os.getpid(), seed=seed)

    def add(self, **facts: Any) -> None:
        self.record = Record.model_validate(self.record.dump() | facts)
        self.run.save_record(self.record)

    def __enter__(self) -> "Keeper":
        self.run.save_record(self.record)
        os.environ[RUN_VARIABLE] = str(self.run.path)
        return self

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        os.environ.pop(RUN_VARIABLE, None)
        if error is None:
            return
        with shielded():
            words = {KeyboardInterrupt: "interrupted", Pruned: "pruned"}
            status = next((word for known, word in words.items() if isinstance(error, known)), "failed")
            # Into the run's own log; whoever called shows it.
            known = isinstance(error, UserError | KeyboardInterrupt) and not isinstance(error, ForeignError)
            log.error(f"the run failed: {error}", exc_info=not known, extra={"file_only": True})
            if self.record.completed:  # a plot that fails takes no figures with it
                return
            with contextlib.suppress(OSError):  # a full disk, which is then the error itself
                self.add(status=status, error=str(error) or type(error).__name__, error_type=type(error).__name__)
