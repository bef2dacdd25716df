"""Finds what a `_target_` names, or says what is wrong with the name."""

import importlib.util
import pkgutil
from pkgutil import resolve_name
from typing import Any

from mnist_cnn.errors import nearest


def locate(name: Any, path: str) -> tuple[Any, str]:
    """The object of a dotted name, or None and what is wrong with the name."""
    if not isinstance(name, str) or not all(part.isidentifier() for part in name.split(".")):
        return None, f"{path}._target_ = {name!r}: must be the dotted name of a class or function"
    parts = name.split(".")
    if importlib.util.find_spec(parts[0]) is None:
        return None, f"{path}._target_: no package named {parts[0]!r} is installed"
    try:
        return resolve_name(name), ""
    except (ImportError, AttributeError) as error:
        if isinstance(error, ImportError) and not name.startswith(error.name or name):  # one that it needs itself
            return None, f"{path}._target_: cannot import {name}: {error}"
        return None, f"{path}._target_: cannot import {name}{_nearest_name(parts)}"
    except Exception as error:  # in a user's own file
        return None, f"{path}._target_: cannot import {name}: {type(error).__name__}: {str(error).splitlines()[0]}"


def _nearest_name(parts: list[str]) -> str:
    """What the last part that can be found has in place of the first that cannot."""
    for known in range(len(parts) - 1, 0, -1):
        try:
            place = resolve_name(".".join(parts[:known]))
        except Exception:
            continue
        names = {n for n in dir(place) if not n.startswith("_")}
        names |= {module.name for module in pkgutil.iter_modules(getattr(place, "__path__", []))}
        return nearest(parts[known], sorted(names, reverse=True))  # of adam and Adam the class is meant
    return ""
