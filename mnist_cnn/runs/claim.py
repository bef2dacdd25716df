"""A run directory taken for one training. A start that fails leaves it as it was found, or not there at all."""

import contextlib
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytorch_lightning as pl
from omegaconf import DictConfig

from mnist_cnn.config.python_values import setting
from mnist_cnn.errors import ForeignError, RunError, UserError
from mnist_cnn.files import LOCK, require_replaceable, write_atomically
from mnist_cnn.runs.directory import Run, is_first_process
from mnist_cnn.runs.layout import PLAN
from mnist_cnn.runs.settings import changed, lasting

WAIT_SECONDS = 1.0  # between two looks at a lock


class Claim:
    """What is known of a directory while a training has it.

    A cluster that has lost a node, whose processes may live on, starts a job again elsewhere, and not every shared file
    system knows the locks of other machines. So whoever claims a run that a cluster has started writes a name of its
    own beside it, and who finds another there has lost the run.

    Args:
        found: whether it held a run before, whose files stay as they are until the first step of this one is done.
    """

    def __init__(self, run: Run, found: bool) -> None:
        self.run, self.found = run, found
        self.begun = False  # the first step is done
        self.name = uuid.uuid4().hex

    def sign(self) -> None:
        write_atomically(self.run.owner_file, self.name.encode())

    @property
    def ours(self) -> bool:
        """Whether nobody has claimed it since."""
        try:
            return self.run.owner_file.read_text() == self.name
        except FileNotFoundError:
            return True

    @property
    def writes(self) -> bool:
        """Whether the files of the run are this training's by now."""
        return (self.begun or not self.found) and self.ours


class Fence(pl.Callback):
    """Ends a training, before it saves an epoch, whose run another process has claimed."""

    def __init__(self, claim: Claim) -> None:
        self.claim = claim

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not self.claim.ours:
            raise RunError(f"{self.claim.run.path}: another process goes on with this run; this one leaves it alone")


def take_over(run: Run) -> bool:
    """For a job that a cluster starts, perhaps again: tells an earlier process to stop, and waits until it has.

    Returns:
        whether there was one.
    """
    run.path.mkdir(parents=True, exist_ok=True)
    Claim(run, found=True).sign()
    waited = False
    while run.busy:
        if not waited:
            print(f"{run.path}: an earlier process still trains this run; it stops at the end of its epoch", flush=True)
        waited = True
        time.sleep(WAIT_SECONDS)
    return waited


@contextlib.contextmanager
def claimed(run: Run, cfg: DictConfig, new: bool) -> Iterator[Claim]:
    """Holds a run directory, which is made if need be.

    An error that tells a user what to mend leaves nothing behind, unless the first step was done. What was stopped or
    killed stays, to be resumed; so does what has a traceback, for its log.

    Args:
        cfg: of the training.
        new: it begins with the first epoch.

    Raises:
        RunError: another process holds the directory, or it cannot be used for this.
    """
    if not is_first_process():
        yield Claim(run, found=True)
        return
    files = [
        run.config_file, run.overrides_file, run.metrics_file, run.history_file, run.log_file, run.trackers_file,
        run.path / LOCK,
    ]  # fmt: skip
    missing: list[Path] = []
    try:
        for file in files:
            require_replaceable(file)
        missing = [folder for folder in (run.path, *run.path.parents) if not folder.exists()]
        lock_file = {run.path / LOCK} - {file for file in files if file.exists()}
        lock = run.held()
    except OSError as error:
        _undo(run, [], {}, missing)
        _remove_empty(missing)
        raise UserError(f"{error.filename or run.path}: cannot be written ({error.strerror})") from error
    with contextlib.ExitStack() as freed, lock:
        there = {file: file.stat().st_size for file in {*files} - lock_file if file.exists()}
        claim = Claim(run, found=run.config_file in there)
        if run.owner_file.exists():
            claim.sign()
        try:
            if new:
                _require_free(run, cfg)
            yield claim
        except (UserError, OSError) as error:
            if claim.ours and not (claim.begun or (isinstance(error, ForeignError) and error.in_log)):
                _undo(run, files, there, missing)
                freed.callback(_remove_empty, missing)  # on Windows the lock's file goes with the lock
            raise


def _require_free(run: Run, cfg: DictConfig) -> None:
    """A new run begins in a directory without one, or in one of the same settings that has no complete epoch."""
    if (run.path / PLAN).exists():
        raise RunError(f"{run.path}: holds a sweep; name another directory")
    if not run.config_file.exists():
        return
    if not run.unbegun:
        raise RunError(f"{run.path}: already holds a run; {setting('resume', run.path)} continues it; or name another")
    if differences := changed(lasting(run.config()), lasting(cfg)):
        raise RunError(
            f"{run.path}: already holds a run, with other settings ({'; '.join(differences)}); "
            f"{setting('resume', run.path)} starts that one again; or name another"
        )


def _undo(run: Run, files: list[Path], there: dict[Path, int], missing: list[Path]) -> None:
    if run.log_file in there:
        os.truncate(run.log_file, there[run.log_file])
    lock = run.path / LOCK
    all_files = run.path.iterdir() if missing and run.path.is_dir() else files
    made = [file for file in all_files if file not in there and file != lock]
    for path in [*made, *([lock] if lock not in there else [])]:  # the lock last: until then nobody begins here
        with contextlib.suppress(OSError):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _remove_empty(missing: list[Path]) -> None:
    for folder in missing:
        with contextlib.suppress(OSError):  # somebody else's files are in it by now
            folder.rmdir()
