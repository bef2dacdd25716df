"""How a program is told to stop: Ctrl-C, SIGTERM, or a terminal that closes; at any moment, and more than once."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Any

from mnist_cnn.errors import Interrupted

_NUMBERS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
_WORDS = {
    130: "by Ctrl-C",
    143: "by SIGTERM",
    129: "by SIGHUP, as when a terminal closes",
    141: "as nobody reads its output any more",
    140: "by SIGUSR2, as before a time limit",
}
_shields = 0  # `shielded` blocks that the main thread is in
_pending: int | None = None  # what came meanwhile


def leave_at_once() -> None:
    """For a program to call before its imports, which take seconds: a signal ends it with a word, not a traceback."""
    _handle(_leave)


def ignore() -> None:
    """For a program that is ending: its last words are said, whatever comes."""
    _handle(signal.SIG_IGN)


def stopped_by_another() -> None:
    """For a process that its caller alone stops, by SIGTERM, when that is stopped itself, by whatever it was."""
    _WORDS[143] = "with the call that started it"


@contextlib.contextmanager
def raising(*further: int) -> Iterator[None]:
    """From here to the end of `with`, each signal to stop raises `Interrupted`, with the exit code that shells expect.

    A signal that the caller ignores, as nohup ignores SIGHUP, stays ignored. Elsewhere than in the main thread, which
    alone gets signals, nothing changes.

    Args:
        further: signals that stop this program too.
    """
    before = _handle(_raise, [*_NUMBERS, *further])
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def stopping(how_to_go_on: Callable[[], str]) -> Iterator[None]:
    """As `raising`, and `Interrupted` says by what, and how to go on: also where Lightning made an exit of it."""
    with raising():
        try:
            yield
        except (KeyboardInterrupt, SystemExit) as told:
            cause = told if isinstance(told, KeyboardInterrupt) else told.__context__
            if not isinstance(cause, KeyboardInterrupt):
                raise  # somebody's own sys.exit
            exit_code = cause.exit_code if isinstance(cause, Interrupted) else 130
            raise Interrupted(f"stopped {_WORDS[exit_code]}; {how_to_go_on()}", exit_code) from None


@contextlib.contextmanager
def shielded() -> Iterator[None]:
    """What must not be left half done: a signal waits for the end of `with`."""
    global _shields, _pending
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _shields += 1
    try:
        yield
    finally:
        _shields -= 1
        if _shields == 0 and _pending is not None:
            number, _pending = _pending, None
            signal.raise_signal(number)


def _handle(handler: Any, numbers: Sequence[int] = _NUMBERS) -> dict[int, Any]:
    if threading.current_thread() is not threading.main_thread():
        return {}
    heard = [number for number in numbers if signal.getsignal(number) not in (signal.SIG_IGN, None)]
    return {number: signal.signal(number, handler) for number in heard}


def _leave(number: int, frame: FrameType | None) -> None:
    os.write(2, b"stopped\n")
    os._exit(128 + number)


def _raise(number: int, frame: FrameType | None) -> None:
    global _pending
    if _shields:
        _pending = number
        return
    raise Interrupted(exit_code=128 + number)
