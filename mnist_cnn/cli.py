"""The command line: read once, here; and how a user's mistake ends."""

import codecs
import contextlib
import io
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from mnist_cnn import __version__
from mnist_cnn.config.help import help_text
from mnist_cnn.config.tiny import TINY, is_tiny
from mnist_cnn.errors import ConfigError, Interrupted, UserError, nearest, os_words
from mnist_cnn.signals import ignore, raising
from mnist_cnn.values import problem

PLAIN = "mnist_cnn.plain"  # how Python knows `_plainly`
PLAIN_SIGNS = {"±": "+-", "×": "x", "→": "->", "…": "...", "–": "-", "·": ".", "≥": ">=", "≤": "<=", "−": "-", "─": "-"}


def arguments(usage: str = "") -> list[str]:
    """What was typed after the name of the program; nothing else of the package looks at it.

    `--version` prints it and ends the program.

    Args:
        usage: what `-h` and `--help` print, and then end the program; without it they are arguments like any other.
    """
    given = sys.argv[1:]
    if "--version" in given:
        print(f"mnist-cnn {__version__}", flush=True)
        sys.exit()
    if usage and {"-h", "--help"} & set(given):
        print(usage, flush=True)
        sys.exit()
    return given


def answer_at_once(config_name: str, header: str | None = None) -> None:
    """For a program to call before its imports, which take seconds: `--help` and `--version` need none of them.

    Args:
        config_name, header: see `help_text`.
    """
    with user_errors():
        if {"-h", "--help"} & {*arguments()}:
            arguments(help_text(config_name, header))


def usage_at_once(usage: str) -> None:
    """As `answer_at_once`, for a program that composes nothing."""
    with user_errors():
        arguments(usage)


def read_options(given: Sequence[str], allowed: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
    """Names, and `key=value` options by the type of each: the command line of the entry points without Hydra.

    Raises:
        ConfigError: with every unknown option and every value that does not fit.
    """
    names, options, problems = [], {}, []
    for argument in given:
        key, sign, text = argument.partition("=")
        if not sign or (key not in allowed and Path(argument).exists()):
            names.append(argument)
        elif key not in allowed:
            problems.append(f"{key}: unknown option{nearest(key, allowed)}")
        else:
            value = _plain(text, allowed[key])
            problems += [wrong] if (wrong := problem(key, value, allowed[key])) else []
            options[key] = value
    if problems:
        raise ConfigError(problems)
    return names, options


def _plain(text: str, hint: Any) -> Any:
    """Text as a number or a switch where the type is one."""
    words: dict[str, Any] = {"true": True, "false": False, "null": None}
    readings = [text, words.get(text.lower(), text), *(kind(text) for kind in (float, int) if _reads(kind, text))]
    return next((value for value in readings if problem("", value, hint) is None), readings[-1])


def _reads(kind: type, text: str) -> bool:
    try:
        kind(text)
        return True
    except ValueError:
        return False


@contextlib.contextmanager
def user_errors(trains: bool = False) -> Iterator[None]:
    """A user's mistake ends in one message and an exit code, without a traceback.

    Args:
        trains: what is only tried out says so.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=PLAIN)
    if trains and is_tiny():
        print(f"{TINY} is set: this tries the command out on a few images; its figures mean nothing", file=sys.stderr)
    with raising():
        try:
            yield
            if sys.stdout is not None:
                sys.stdout.flush()
        except UserError as error:
            _end(f"error: {error}", error.exit_code)
        except (HydraException, OmegaConfBaseException) as error:
            _end(f"error: {str(error).strip()}", ConfigError.exit_code)
        except BrokenPipeError:  # `| head` has read enough: end without a word, with the code a shell has for it
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            _end("", 141)
        except OSError as error:  # a full disk, a folder that cannot be written; the run's log has the traceback
            _end(f"error: {os_words(error)}", UserError.exit_code)
        except KeyboardInterrupt as error:
            stop = error if isinstance(error, Interrupted) else Interrupted()
            _end(str(stop), stop.exit_code)


def _end(words: str, exit_code: int) -> NoReturn:
    ignore()
    with contextlib.suppress(OSError):  # a terminal that has closed
        print(words, end="\n" * bool(words), file=sys.stderr, flush=True)
    sys.exit(exit_code)


def _plainly(error: UnicodeError) -> tuple[str, int]:
    """Signs that the terminal does not have, as it can show them."""
    assert isinstance(error, UnicodeEncodeError)
    return "".join(PLAIN_SIGNS.get(sign, "?") for sign in error.object[error.start : error.end]), error.end


codecs.register_error(PLAIN, _plainly)
