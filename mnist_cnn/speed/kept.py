# mypy: allow-untyped-defs
"""Numba's compiled functions, kept on disk for the next process.

Numba asks a function's own file alone whether what it kept is still right, though what the function calls is part of
it. Here they are kept under a name for all of these files together.
"""

import contextlib
import functools
import hashlib
from pathlib import Path
from typing import Any

import numba.core.config
from numba import cfunc, njit
from platformdirs import user_cache_path

config: Any = numba.core.config


@functools.cache
def _folder() -> Path:
    sources = sorted(Path(__file__).parent.glob("*.py"))
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
    return user_cache_path("mnist_cnn") / "kernels" / digest[:16]


@contextlib.contextmanager
def _keeping():
    """Numba looks for its folder when it meets a function, not when it compiles it."""
    before = config.CACHE_DIR
    config.CACHE_DIR = before or str(_folder())
    try:
        yield
    finally:
        config.CACHE_DIR = before


def compiled(**options):
    """`numba.njit`, compiled where it is called first."""

    def compile_it(function):
        try:
            with _keeping():
                return njit(cache=True, **options)(function)
        except RuntimeError:  # "no locator available": the folder cannot be written
            return njit(**options)(function)

    return compile_it


def entry(function) -> Any:
    """The address of a function of one address, for C; compiled at once."""
    try:
        with _keeping():
            return cfunc("void(int64)", cache=True)(function).address
    except RuntimeError:
        return cfunc("void(int64)")(function).address
