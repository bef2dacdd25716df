"""Errors that a user can act on: one message, no traceback, a fixed exit code."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something the user can mend; the message says what is wrong and what is allowed."""

    exit_code = 1


class ConfigError(UserError):
    """The configuration is wrong; nothing was built or written."""

    exit_code = 2

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        noun = "error" if len(problems) == 1 else "errors"
        super().__init__("\n".join([f"{len(problems)} {noun} in the configuration:", *(f"  - {p}" for p in problems)]))


class DataError(UserError):
    """The images could not be found, fetched or trusted."""

    exit_code = 2


class RunError(UserError):
    """A run directory or checkpoint cannot be used as asked."""

    exit_code = 2


class LayerError(UserError, ValueError):
    """A layer list that cannot be built; names the layer and the shapes."""

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


def nearest(name: object, allowed: Iterable[str]) -> str:
    """The end of a message about an unknown name: the closest allowed one, and all of them."""
    options = list(allowed)
    near = difflib.get_close_matches(str(name), options, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ";"
    return f"{hint} allowed: {', '.join(options)}"
