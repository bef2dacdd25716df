"""Settings given as values of Python, NumPy or PyTorch: as YAML would say them, and as overrides for Hydra."""

import re
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import FunctionType
from typing import Any

from mnist_cnn.errors import ConfigError

TEXT = re.compile(r"[^\[\]{}'\",][^\[\]{},]*")  # what is no list, dictionary, quoted text, or several values


def plain(value: Any) -> Any:
    """A value as YAML could say it; what it could not say is left for the checks to refuse."""
    value = _native(value)
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [plain(each) for each in value]
    return str(value) if isinstance(value, Path) else value


def _native(value: Any) -> Any:
    """Numbers and arrays of NumPy and PyTorch as Python's own, a class or function as the dotted name of it."""
    if isinstance(value, type | FunctionType) and "<" not in value.__qualname__:  # none of a function's inside
        return f"{value.__module__}.{value.__qualname__}"
    return value.tolist() if hasattr(value, "tolist") else value


def as_override(key: str, value: Any, sweep: bool = False) -> str:
    """`key=value` as Hydra reads it; in a sweep, what holds several values is one over them.

    Raises:
        ConfigError: a value that no text says.
    """
    value = _native(value)
    several = sweep and isinstance(value, Iterable) and not isinstance(value, str | Mapping)
    return f"{key}={','.join(_as_text(key, each) for each in (value if several else [value]))}"


def _as_text(key: str, value: Any) -> str:
    value = _native(value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Path):
        return quoted(str(value))
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{name}:{_as_text(key, each)}" for name, each in value.items()) + "}"
    if isinstance(value, Iterable):
        return "[" + ",".join(_as_text(key, each) for each in value) + "]"
    raise ConfigError([f"{key} = {value!r}: must be text, a number, a switch, None, or a list or dictionary of such"])


def quoted(text: str) -> str:
    """As Hydra reads text whatever it holds."""
    return "'" + re.sub(r"(\\*)('|$)", lambda m: m[1] * 2 + ("\\'" if m[2] else ""), text) + "'"


def setting(key: str, text: object) -> str:
    """`key=text` that can be pasted into a shell, whatever signs the text has."""
    value = str(text)
    return shlex.quote(f"{key}={value if TEXT.fullmatch(value) else quoted(value)}")


def command(entry: str, *words: str, **texts: object) -> str:
    """A command of the package that can be pasted into a shell.

    Args:
        entry: `train`; `words`: options without a value.
    """
    return " ".join(["python -m", f"mnist_cnn.{entry}", *words, *(setting(key, text) for key, text in texts.items())])
