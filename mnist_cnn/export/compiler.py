"""The C compiler of this machine: the exported files compiled as they are and run on pictures."""

import contextlib
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mnist_cnn.errors import RunError
from mnist_cnn.export.source import Logits, Pixels
from mnist_cnn.export.source_text import NAME

FLAGS = ("-std=c99", "-O2", "-Wall", "-Wextra", "-Werror", "-pedantic")


def find_compiler() -> list[str] | None:
    """$CC, else cc, gcc or clang, else zig from PyPI; None where there is none."""
    if given := os.environ.get("CC"):
        return [given] if shutil.which(given) else shlex.split(given)  # a path of Windows is no shell's
    for name in ("cc", "gcc", "clang"):
        if shutil.which(name):
            return [name]
    return [sys.executable, "-m", "ziglang", "cc"] if importlib.util.find_spec("ziglang") else None


@contextlib.contextmanager
def workplace(target: str) -> Iterator[Path]:
    """A folder that is there for now.

    Args:
        target: who asks, for the message.

    Raises:
        RunError: it cannot be made, or what is put into it does not fit, by its name: a full disk does not say it.
    """
    try:
        with tempfile.TemporaryDirectory() as name:
            yield Path(name)
    except OSError as error:
        place = f"{tempfile.gettempdir()}: " if tempfile.tempdir else ""
        raise RunError(f"{target}: {place}{error.strerror}; TMPDIR=<folder> makes temporary files elsewhere") from None


def run_c(
    files: Mapping[str, str], pixels: Pixels, classes: int, kind: Any, flags: Sequence[str] = (), math: bool = False
) -> Logits:
    """What a net in C says of pictures.

    Args:
        files: the net and a program that reads pictures from standard input and writes their logits.
        kind: the type of a logit.
        flags: beside `FLAGS`.
        math: whether it needs the mathematical library.

    Raises:
        RunError: the compiler or the program fails.
    """
    compiler = find_compiler()
    assert compiler is not None
    with workplace("format=c") as folder:
        for file, text in files.items():
            (folder / file).write_text(text, encoding="utf-8")
        program = f"{NAME}.exe"  # as Windows starts it; elsewhere a name like any other
        sources = sorted(file for file in files if file.endswith(".c"))
        _call([*compiler, *FLAGS, *flags, *sources, "-o", program, *(["-lm"] if math else [])], folder, b"")
        said = _call([str(folder / program)], folder, np.ascontiguousarray(pixels).tobytes())
    return np.frombuffer(said, kind).reshape(-1, classes)


def _call(command: Sequence[str], folder: Path, given: bytes) -> bytes:
    try:
        done = subprocess.run(command, cwd=folder, input=given, capture_output=True, check=False)
    except OSError as error:
        raise RunError(f"format=c: {command[0]} cannot be started ({error.strerror})") from None
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or ["no words"]
        raise RunError(f"format=c: {command[0]} failed with code {done.returncode}: {lines[0]}")
    return done.stdout
