"""Errors that a user can act on: one message, no traceback, a fixed exit code."""

import difflib
import re
from collections.abc import Iterable

LISTED = 30  # of allowed names: more are not listed
LONGEST = 300  # characters of a word in a message


class UserError(Exception):
    """Something the user can mend; the message says what is wrong and what is allowed."""

    exit_code = 1


class ConfigError(UserError):
    """The configuration is wrong; nothing was built or written."""

    exit_code = 2

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        noun = "error" if len(problems) == 1 else "errors"
        text = "\n".join([f"{len(problems)} {noun} in the configuration:", *(f"  - {p}" for p in problems)])
        super().__init__(re.sub(rf"(\S{{{LONGEST}}})\S+", r"\1...", text))

    def __reduce__(self) -> tuple[type, tuple[list[str]]]:
        return type(self), (self.problems,)


class DataError(UserError):
    """The images could not be found, fetched or trusted."""

    exit_code = 2


class RunError(UserError):
    """A run directory or checkpoint cannot be used as asked."""

    exit_code = 2


class LayerError(UserError, ValueError):
    """A layer list that cannot be built; names the layer and the shapes."""

    exit_code = 2


class InputError(UserError, ValueError):
    """Images that a trained net cannot read as they are."""

    exit_code = 2


class Diverged(UserError):
    """The loss became NaN or infinite."""


class Pruned(UserError):
    """A search stopped the run because it looked hopeless."""


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
