"""How a training ends before its time: stopped, or by an error of somebody else's code; it says how to go on."""

import contextlib
from collections.abc import Iterator

from mnist_cnn.config.python_values import command
from mnist_cnn.errors import AugmentError, UserError, foreign, os_words
from mnist_cnn.runs.directory import Run
from mnist_cnn.signals import stopping


@contextlib.contextmanager
def stoppable(run: Run) -> Iterator[None]:
    """A stop at any moment says where the run stood and how to go on.

    Raises:
        Interrupted: was told to stop.
    """

    def how_to_go_on() -> str:
        epochs = len(run.history())
        where = f"in epoch {epochs + 1}; every complete epoch is saved" if epochs else "before an epoch was complete"
        return f"{where}. Continue with:\n  {command('train', resume=run.path)}"

    with stopping(how_to_go_on):
        yield


@contextlib.contextmanager
def foreign_errors(run: Run) -> Iterator[None]:
    """An error in the user's own code, a library's or the system's becomes one that says how to go on.

    Raises:
        UserError: such an error.
    """
    try:
        yield
    except AugmentError as error:
        raise UserError(f"augment: {error}; {_how_to_go_on(run)}") from error
    except UserError:
        raise
    except Exception as error:
        told = foreign(error, _how_to_go_on(run))
        if told is None and isinstance(error, OSError):  # a full disk, a folder that is gone
            told = UserError(f"{os_words(error)}; {_how_to_go_on(run)}")
        if told is None:
            raise
        raise told from error


def _how_to_go_on(run: Run) -> str:
    if not run.checkpoint("last").exists():
        return "no epoch was complete: it would begin again"
    return f"every complete epoch is saved, and this goes on: {command('train', resume=run.path)}"
