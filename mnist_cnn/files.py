"""Files that a kill or a second process must not spoil."""

import csv
import io
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from mnist_cnn.signals import shielded

log = logging.getLogger(__name__)
LOCK = ".lock"


def write_atomically(path: Path, content: Any) -> None:
    """Replaces the file as a whole or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with shielded():
        try:
            with partial.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise OSError(error.errno, error.strerror, str(path)) from None  # a full disk does not name the file


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Writes a CSV file; what a row does not have stays empty.

    Raises:
        ValueError: a row has something else than the columns.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(path, text.getvalue().encode())


def locked(folder: Path) -> AbstractContextManager[Any]:
    """One process at a time, from this call to the end of `with`; the lock goes with the process, however it ends."""
    lock = FileLock(folder / LOCK)
    try:
        return lock.acquire(timeout=0)
    except Timeout:
        log.info(f"{folder}: waiting for another process")
        return lock.acquire()


def is_locked(file: Path) -> bool:
    """Whether a process holds the lock; looking leaves no file behind."""
    if not file.exists():
        return False
    try:
        with FileLock(file, timeout=0):
            return False
    except Timeout:
        return True
