"""What is said of a run while it runs and when it ends, however it ends."""

import contextlib
import logging
import os
from typing import Any

from omegaconf import DictConfig

from mnist_cnn.errors import ForeignError, Pruned, UserError
from mnist_cnn.runs.claim import Claim
from mnist_cnn.runs.directory import RUN_VARIABLE
from mnist_cnn.runs.record import VERSION, Record
from mnist_cnn.signals import shielded

log = logging.getLogger(__name__)


class Keeper:
    """Keeps config.yaml and metrics.json true to what happens to the run.

    A run that goes on has its files as they were until `begin`; the figures of one that was complete stay until there
    are new ones. Further processes of a training are told which run it is.
    """

    def __init__(self, claim: Claim, cfg: DictConfig, overrides: list[str]) -> None:
        self.claim, self.run, self.cfg, self.overrides = claim, claim.run, cfg, overrides
        self.before = before = self.run.record() if claim.found else None
        self.was_complete = before is not None and before.completed
        kept = before.dump() if before is not None and before.completed else {}
        fresh = {"version": VERSION, "status": "running", "pid": os.getpid(), "seed": cfg.seed}
        self.record = Record.model_validate(kept | fresh)
        self.saved = False

    def begin(self) -> None:
        """The first step is done: from now on the files are those of this training."""
        self.claim.begun = True
        self._save()

    def add(self, **facts: Any) -> None:
        self.record = Record.model_validate(self.record.dump() | facts)
        self._save()

    def _save(self) -> None:
        if not self.claim.ours:
            return
        interrupted = self.record.status == "interrupted" and not self.was_complete
        if self.claim.writes and not self.saved:
            self.run.save_config(self.cfg, self.overrides)
            self.saved = True
        if self.claim.writes or interrupted:
            self.run.save_record(self.record)

    def __enter__(self) -> "Keeper":
        self._save()
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
