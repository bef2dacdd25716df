"""What the command lines of the scripts share: `--help` prints the script's docstring, a mistake ends in one line."""

from typing import Any

from mnist_cnn import cli
from mnist_cnn.errors import ConfigError, UserError


class UsageError(UserError):
    """The command line is wrong; nothing was started."""

    exit_code = 2


def read(usage: str | None, allowed: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
    """Names, and `key=value` options by the type of each; prints `usage` and ends where it is asked for.

    Raises:
        UsageError: an unknown option or a value that does not fit.
    """
    try:
        return cli.read_options(cli.arguments((usage or "").strip()), allowed)
    except ConfigError as error:
        raise UsageError("; ".join(error.problems)) from None


def read_only_options(usage: str | None, allowed: dict[str, Any]) -> dict[str, Any]:
    """`read` for a script that takes no names."""
    names, options = read(usage, allowed)
    if names:
        raise UsageError(f"{names[0]!r}: give {', '.join(f'{key}=...' for key in allowed)}")
    return options
