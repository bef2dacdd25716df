"""What trying a part of a configuration has shown, kept for the length of a call."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")
_kept: list[Any] = []


def kept_for_a_call(most: int) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """Tries what is equal once; the jobs of a sweep share most of it."""

    def decorate(function: Callable[..., T]) -> Callable[..., T]:
        _kept.append(kept := functools.lru_cache(maxsize=most)(function))
        return kept

    return decorate


def forget() -> None:
    """A class of somebody's own, in a notebook or a file that is imported anew, may be another by the next call."""
    for each in _kept:
        each.cache_clear()
