"""Finds what a `_target_` names, or says what is wrong with the name; and all nodes inside a value."""

import importlib.util
import pkgutil
import sys
from collections.abc import Callable
from pkgutil import resolve_name
from types import ModuleType
from typing import Any

from mnist_cnn.errors import closest, nearest


def locate(name: Any, path: str) -> tuple[Any, str]:
    """The object of a dotted name, or None and what is wrong with the name."""
    if not isinstance(name, str) or not all(part.isidentifier() for part in name.split(".")):
        return None, f"{path}._target_ = {name!r}: must be the dotted name of a class or function"
    parts = name.split(".")
    if parts[0] not in sys.modules and importlib.util.find_spec(parts[0]) is None:
        near = closest(parts[0], (module.name for module in pkgutil.iter_modules(sys.path)), cutoff=0.8)
        hint = f"; did you mean {near!r}?" if near else ""
        return None, f"{path}._target_: no package or file named {parts[0]!r} is found{hint}"
    try:
        return resolve_name(name), ""
    except (ImportError, AttributeError) as error:
        if isinstance(error, ImportError) and not name.startswith(error.name or name):  # one that it needs itself
            return None, f"{path}._target_: cannot import {name}: {error}"
        hint = ": it was in a notebook or script, not in a file" if parts[0] == "__main__" else _nearest_name(parts)
        return None, f"{path}._target_: cannot import {name}{hint}"
    except Exception as error:  # in a user's own file
        return None, f"{path}._target_: cannot import {name}: {type(error).__name__}: {str(error).splitlines()[0]}"


def check_inside(value: Any, path: str, judge: Callable[[Any, dict[str, Any], str], list[str]]) -> list[str]:
    """Problems of the nodes inside a value, however deep.

    Args:
        judge: says what is wrong with one of them, given its target, the node and its path.
    """
    if isinstance(value, list):
        return [wrong for i, each in enumerate(value) for wrong in check_inside(each, f"{path}[{i}]", judge)]
    if not isinstance(value, dict):
        return []
    problems = []
    if "_target_" in value:
        target, wrong = locate(value["_target_"], path)
        problems = [wrong] if target is None else judge(target, value, path)
    return problems + [wrong for key, each in value.items() for wrong in check_inside(each, f"{path}.{key}", judge)]


def _belongs(found: Any, place: Any) -> bool:
    """Whether something is of the same package as the module it was found in, which may have imported it."""
    origin = found.__name__ if isinstance(found, ModuleType) else getattr(found, "__module__", None)
    if origin is None or not isinstance(place, ModuleType):
        return True
    return str(origin).partition(".")[0] == place.__name__.partition(".")[0]


def _nearest_name(parts: list[str]) -> str:
    """What the last part that can be found has in place of the first that cannot."""
    for known in range(len(parts) - 1, 0, -1):
        try:
            place = resolve_name(".".join(parts[:known]))
        except Exception:
            continue
        names = {n for n in dir(place) if not n.startswith("_") and _belongs(getattr(place, n, None), place)}
        names |= {module.name for module in pkgutil.iter_modules(getattr(place, "__path__", []))}
        return nearest(parts[known], sorted(names, reverse=True))  # of adam and Adam the class is meant
    return ""
