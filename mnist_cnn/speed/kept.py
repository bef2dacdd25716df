# mypy: allow-untyped-defs
"""Numba's compiled functions, kept on disk for the next process.

Numba asks a function's own file alone whether what it kept is still right, though what the function calls is part of
it; here they are kept under a name for all of these files and for the processor. And it links what it has just compiled
in another way than what it finds on disk, so that sums are rounded otherwise: so a process of its own compiles, and all
others take what that one has kept.
"""

import contextlib
import functools
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock
import numba.core.config
from llvmlite import binding
from numba import cfunc, njit
from numba.core.codegen import get_host_cpu_features
from platformdirs import user_cache_path

from mnist_cnn.files import write_atomically

config: Any = numba.core.config
PACKAGE = Path(__file__).parents[1]
OTHERS = 4  # folders of other versions and processors that stay
COMPILE = "import sys; sys.path.insert(0, {root!r}); import {module}; {module}.{function}.compile_alone()"


@functools.cache
def _folder() -> Path:
    sources = sorted(Path(__file__).parent.glob("*.py"))
    made_of = [sys.version, numba.__version__, config.CPU_NAME or binding.get_host_cpu_name()]
    made_of += [config.CPU_FEATURES or get_host_cpu_features()]
    made_of += [f"{source} {source.stat().st_mtime_ns}" for source in sources]  # what Numba looks at
    text = "\n".join(made_of).encode() + b"".join(source.read_bytes() for source in sources)
    return user_cache_path("mnist_cnn") / "kernels" / hashlib.sha256(text).hexdigest()[:16]


@contextlib.contextmanager
def _keeping() -> Iterator[None]:
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


def _digests(folder: Path) -> dict[str, str]:
    """Of what is compiled, by its place in the folder; Numba's indices grow, and are checked by being read."""
    found = {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*.nbc"))}
    return {name: hashlib.sha256(content).hexdigest() for name, content in found.items()}


def _is_whole(done: Path) -> bool:
    """Whether a function is kept, and all that was when it was compiled is as it was: damage is code that would run."""
    try:
        kept = json.loads(done.read_text())
        return bool(kept) and kept.items() <= _digests(done.parent).items()
    except (OSError, ValueError, AttributeError):
        return False


def _drop(folder: Path) -> None:
    """All of a folder: its functions call each other."""
    with contextlib.suppress(OSError):
        for file in [*folder.glob("*.done"), *folder.rglob("*.nb[ci]")]:
            file.unlink(missing_ok=True)


class Entry:
    """A function of one address, for C."""

    def __init__(self, function: Any) -> None:
        self.function = function
        self.name: str = function.__name__

    @functools.cached_property
    def address(self) -> int:
        """Compiled, if nobody has done so before."""
        for again in (True, False):
            with contextlib.suppress(
                OSError, filelock.Timeout, subprocess.SubprocessError
            ):  # then this process compiles
                self._have_compiled()
            try:
                return self.compile_alone()
            except Exception:  # of a reader of damaged bytes, which has an error for every kind of damage
                if not again:
                    raise
                with contextlib.suppress(OSError, filelock.Timeout), filelock.FileLock(_folder() / "lock", timeout=120):
                    _drop(_folder())
        raise AssertionError("unreachable")

    def compile_alone(self) -> Any:
        """In this process, unless it is kept."""
        try:
            with _keeping():
                return cfunc("void(int64)", cache=True)(self.function).address
        except RuntimeError:
            return cfunc("void(int64)")(self.function).address

    def _have_compiled(self) -> None:
        folder = _folder()
        done = folder / f"{self.name}.done"
        if _is_whole(done):
            return
        folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(folder / "lock", timeout=120):
            if _is_whole(done):
                return
            if done.exists():
                _drop(folder)
            code = COMPILE.format(
                root=str(PACKAGE.parent), module=self.function.__module__, function=self.name.strip("_")
            )
            subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=120)
            write_atomically(done, json.dumps(_digests(folder)).encode())
        others = sorted(folder.parent.iterdir(), key=lambda other: other.stat().st_mtime_ns, reverse=True)
        for other in others[1 + OTHERS :]:
            shutil.rmtree(other, ignore_errors=True)
