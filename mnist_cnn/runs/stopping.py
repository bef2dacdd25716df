"""How a training ends before its time: stopped, or by an error of somebody else's code; it says how to go on."""

import contextlib
import signal
import threading
from collections.abc import Iterator

import pytorch_lightning as pl

from mnist_cnn.errors import Interrupted, UserError, foreign
from mnist_cnn.runs.directory import Run


@contextlib.contextmanager
def stoppable(trainer: pl.Trainer, run: Run) -> Iterator[None]:
    """Turns Lightning's exit after Ctrl-C or SIGTERM into ours, which says how to go on.

    Raises:
        Interrupted: was told to stop.
        ForeignError: an error in the user's own code, or a library's.
    """
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, handler)
        exit_code = 143 if trainer.received_sigterm else 130
        if not run.checkpoint("last").exists():
            raise Interrupted("stopped before the first epoch was complete: nothing to resume", exit_code) from None
        raise Interrupted(
            f"stopped in epoch {trainer.current_epoch + 1}; every complete epoch is saved. "
            f"Continue with:\n  python -m mnist_cnn.train resume={run.path}",
            exit_code,
        ) from None
    except UserError:
        raise
    except Exception as error:
        told = foreign(error, _how_to_go_on(run))
        if told is None:
            raise
        raise told from error


def _how_to_go_on(run: Run) -> str:
    if not run.checkpoint("last").exists():
        return "no epoch was complete, so there is nothing to resume"
    return f"every complete epoch is saved, and this goes on: python -m mnist_cnn.train resume={run.path}"
