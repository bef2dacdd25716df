"""Errors that a user can act on: one message, no traceback, a fixed exit code."""

import difflib
import re
import sysconfig
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any

LISTED = 30  # of allowed names: more are not listed
LONGEST = 500  # characters of a word in a message
SHOWN = 200  # of a value
# What goes wrong by accident, in a line of this package's own: a mistake of ours, whatever the user gave.
ACCIDENTS = (AttributeError, LookupError, NameError, AssertionError, ArithmeticError)
PACKAGE = Path(__file__).resolve().parent
STANDARD = Path(sysconfig.get_path("stdlib")).resolve()


class UserError(Exception):
    """Something the user can mend; the message says what is wrong and what is allowed."""

    exit_code = 1

    def __str__(self) -> str:
        return re.sub(rf"(\S{{{LONGEST}}})\S+", r"\1...", super().__str__())


class ConfigError(UserError):
    """The configuration is wrong; nothing was built or written."""

    exit_code = 2

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        several = [f"{len(problems)} errors in the configuration:", *(f"  - {p}" for p in problems)]
        super().__init__(problems[0] if len(problems) == 1 else "\n".join(several))

    def __reduce__(self) -> tuple[type, tuple[list[str]]]:
        return type(self), (self.problems,)


class DataError(UserError):
    """The images could not be found, fetched or trusted."""

    exit_code = 2


class RunError(UserError):
    """A run directory or checkpoint cannot be used as asked."""

    exit_code = 2


class PartError(UserError, ValueError):
    """What a part of a recipe refuses; who builds it (`config.instantiate`) adds the key."""

    exit_code = 2


class AugmentError(PartError):
    """Augmentation that makes something else of images."""


class LayerError(PartError):
    """A layer list that cannot be built; names the layer and the shapes."""


class InputError(UserError, ValueError):
    """Images that a trained net cannot read as they are."""

    exit_code = 2


class Diverged(UserError):
    """The loss became NaN or infinite."""


class Pruned(UserError):
    """A search stopped the run because it looked hopeless."""


class ForeignError(UserError):
    """An error of a library, or inside a user's own code; the message has the user's own lines.

    `in_log`: it does not, and the traceback is in the log of the run, which therefore stays.
    """

    in_log = False


class Interrupted(KeyboardInterrupt):
    """The run was told to stop (Ctrl-C or SIGTERM); not an Exception, so that it ends a whole sweep."""

    def __init__(self, message: str = "stopped", exit_code: int = 130) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def nearest(name: object, allowed: Iterable[object], prefix: str = "") -> str:
    """The end of a message about an unknown name: the closest allowed one, else all of them if they are few."""
    names = [str(option) for option in allowed]
    near = closest(name, names)
    hint = f"; did you mean {prefix + near!r}?" if near else ""
    listed = 0 < len(names) <= LISTED and not (near and prefix)
    return f"{hint}; allowed: {', '.join(sorted(names))}" if listed else hint


def closest(name: object, allowed: Iterable[str], cutoff: float = 0.5) -> str | None:
    """The allowed name most like this one, whatever the case; None where none is (`cutoff`: as difflib's ratio)."""
    lower = {option.lower(): option for option in allowed}
    return next((lower[n] for n in difflib.get_close_matches(str(name).lower(), lower, n=1, cutoff=cutoff)), None)


def shortened(value: Any, longest: int = SHOWN, quoted: bool = True) -> str:
    """A value in a message."""
    text = repr(value) if quoted else str(value)
    return text if len(text) <= longest else f"{text[:longest]}..."


def in_one_line(error: BaseException) -> str:
    """What an error says, which may quote a whole file, with the place in the user's own code where there is one."""
    said = str(error.args[0] if isinstance(error, KeyError) and error.args else error).strip()
    words = shortened(said.splitlines()[0], quoted=False) if said else type(error).__name__
    if isinstance(error, LookupError):  # they say no more than what was looked for
        words = f"{type(error).__name__}: {words}"
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_own(frame)]
    return f"{words} ({Path(own[-1].filename).name}, line {own[-1].lineno}: {own[-1].line})" if own else words


def without_passwords(text: str) -> str:
    """A text in which URLs may stand."""
    text = re.sub(r"(//[^:/@\s]*):.*@", r"\1:***@", text)
    return re.sub(r"(passw(?:or)?d|pwd)=[^&\s'\"]*", r"\1=***", text, flags=re.IGNORECASE)


def os_words(error: OSError) -> str:
    """What the system says, with the file where there is one."""
    return f"{error.filename}: {error.strerror}" if error.filename else error.strerror or str(error)


def is_ours(error: BaseException) -> bool:
    """Whether it is a mistake of this package: an accident in a line of its own, not a refusal or a library's error."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.name != "__getattr__"]
    return bool(frames) and _is_ours(frames[-1]) and isinstance(error, ACCIDENTS)


def foreign(error: Exception, resumes: str) -> UserError | None:
    """The error as a user can use it: their own lines, or one line of a library's; None for a mistake of ours.

    Args:
        resumes: how to go on.
    """
    frames = traceback.extract_tb(error.__traceback__)
    first = next((i for i, frame in enumerate(frames) if _is_own(frame)), None)
    words = "".join(traceback.format_exception_only(error)).strip()
    if first is not None:
        shown = [frame for frame in frames[first:] if not _is_ours(frame)]
        return ForeignError("\n".join([f"in your own code; {resumes}", "".join(traceback.format_list(shown)) + words]))
    if frames and _is_ours(frames[-1]):
        return None
    told = ForeignError(f"{words.splitlines()[0]} (the whole traceback is in train.log); {resumes}")
    told.in_log = True
    return told


def _is_ours(frame: traceback.FrameSummary) -> bool:
    return PACKAGE in Path(frame.filename).resolve().parents


def _is_own(frame: traceback.FrameSummary) -> bool:
    """Neither this package's, nor an installed library's, nor Python's."""
    path = Path(frame.filename).resolve()
    installed = {"site-packages", "dist-packages"} & set(path.parts)
    return path.is_file() and not installed and not _is_ours(frame) and STANDARD not in path.parents
