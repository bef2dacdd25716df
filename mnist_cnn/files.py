"""Files that a kill, a second process or another program must not spoil: how they are written, read and locked."""

import contextlib
import csv
import functools
import io
import logging
import os
import re
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeVar

import yaml
from filelock import FileLock, Timeout

from mnist_cnn.errors import RunError, UserError
from mnist_cnn.signals import shielded

log = logging.getLogger(__name__)
LOCK = ".lock"
PARTIAL = re.compile(r"\..+\.(\d+)\.partial")  # what is being written, with the number of the process that does it
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast
DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
MIB = 2**20
TRIES, PAUSE = 50, 0.02  # seconds
VALUES, DEEPEST = 1_000_000, 100  # of a YAML file
Read = TypeVar("Read")
KINDS = {
    stat.S_IFDIR: "a folder", stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket", stat.S_IFLNK: "a link",
    stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
}  # fmt: skip


def write_atomically(path: Path, content: Any) -> None:
    """Replaces the file as a whole or not at all; raises as `write_together`."""
    write_together({path: content})


def write_together(contents: Mapping[Path, Any]) -> None:
    """Replaces all files or none: all of them lie on the disk before the first gets its name.

    Raises:
        RunError: something stands there that is no file, or a link to one: somebody else's.
        OSError: a full disk, for example; with the path.
    """
    for path in contents:
        require_replaceable(path)
    partials = {path: path.with_name(f".{path.name}.{os.getpid()}.partial") for path in contents}
    with shielded():
        try:
            for path, content in contents.items():
                _write(partials[path], content)
            for path, partial in partials.items():
                _when_free(functools.partial(partial.replace, path))
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from None  # a full disk does not name the file
        finally:
            with contextlib.suppress(OSError):  # on a disk that is read only, even of what is not there
                for partial in partials.values():
                    partial.unlink(missing_ok=True)


def _write(partial: Path, content: Any) -> None:
    partial.unlink(missing_ok=True)  # of a process that was killed and had our number
    with partial.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _when_free(act: Callable[[], Read]) -> Read:
    """Windows refuses to replace what somebody reads, as the display of a sweep does, and to open what is replaced."""
    for _ in range(TRIES if sys.platform == "win32" else 0):
        with contextlib.suppress(PermissionError):
            return act()
        time.sleep(PAUSE)
    return act()


def require_replaceable(path: Path) -> None:
    """Raises RunError where something stands that is no file: a folder, a FIFO, a socket, a link."""
    kind = kind_of(path, follow=False)
    if kind not in (None, "a file"):
        raise RunError(f"{path}: {kind}, no file of ours: it is left alone; move it away")


def require_folder(path: Path, refusal: type[UserError]) -> None:
    """Raises where something else stands than a folder, or a link to one."""
    kind = kind_of(path)
    if kind not in (None, "a folder"):
        raise refusal(f"{path}: {kind}, not a folder")


def require_writable(folder: Path, refusal: type[UserError]) -> None:
    """Raises where a folder for what a command makes is none, or cannot be made or written into; makes nothing."""
    nearest = next((each for each in (folder, *folder.absolute().parents) if os.path.lexists(each)), folder)
    require_folder(nearest, refusal)
    try:
        with tempfile.TemporaryFile(dir=nearest):  # rights alone do not tell: of root, or of a disk that is read only
            pass
    except OSError as error:
        words = f"cannot be written ({error.strerror}); out=<folder> goes elsewhere"
        raise refusal(f"{folder}: {words}") from None


def kind_of(path: Path, follow: bool = True) -> str | None:
    """What stands there in a word, links followed or not; None if nothing does."""
    try:
        return KINDS.get(stat.S_IFMT(os.stat(path, follow_symlinks=follow).st_mode), "a file")
    except (FileNotFoundError, NotADirectoryError):
        return None


def relative(path: Path, folder: Path | None = None) -> str:
    """As seen from a folder, by default the present one; on Windows what lies on another drive cannot be."""
    try:
        return os.path.relpath(path, folder)
    except ValueError:
        return str(path)


def remove_partial_files(folder: Path) -> None:
    """Removes what killed processes were writing; a living one's stays."""
    for file in folder.glob(".*.partial"):
        found = PARTIAL.fullmatch(file.name)
        if found and not _lives(int(found[1])):
            with contextlib.suppress(PermissionError):  # of Windows: it is being written
                file.unlink(missing_ok=True)


def _lives(process: int) -> bool:
    if sys.platform == "win32":  # there to ask is to send Ctrl-C, and what a process writes cannot be removed
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        return True
    return True


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


def require_file(path: Path, refusal: type[UserError], most: float = float("inf")) -> int:
    """The bytes of a file, not opened yet: opening a FIFO would wait for ever.

    Args:
        most: bytes that such a file can have.

    Raises:
        refusal: not there, no file, or larger.
    """
    try:
        kind, size = kind_of(path), path.stat().st_size
    except FileNotFoundError:
        raise refusal(f"{path}: no such file") from None
    except OSError as error:
        raise refusal(f"{path}: cannot be read ({error.strerror})") from None
    if kind != "a file":
        raise refusal(f"{path}: {kind}, not a file")
    if size > most:
        raise refusal(f"{path}: {size / MIB:,.0f} MiB; such a file has {most / MIB:,.0f} MiB at most")
    return size


def read_text(path: Path, refusal: type[UserError], most: float = MIB) -> str:
    """A text file of ours.

    Raises:
        refusal: missing, no file, too large, not to be opened, or not UTF-8.
    """
    require_file(path, refusal, most)
    try:
        return _when_free(path.read_bytes).decode()
    except OSError as error:
        raise refusal(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise refusal(f"{path}: no text in UTF-8 (byte {error.start} is {error.object[error.start]:#x})") from None


def read_yaml(path: Path, refusal: type[UserError], most: float = MIB) -> Any:
    """Plain values from a YAML file of ours.

    Raises:
        refusal: as `read_text`; no YAML, tags that name classes, or aliases that unfold to more than a file can hold.
    """
    text = read_text(path, refusal, most)
    try:
        depth = 0
        for event in yaml.parse(text, Loader=LOADER):  # the fast loader dies of what is nested too deep
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEEPEST:
                raise refusal(f"{path}: nested more than {DEEPEST} deep; such a file has a few levels")
        value = yaml.load(text, Loader=LOADER)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date that is none
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark is not None else ""
        words = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise refusal(f"{path}{where}: not the YAML it should be ({words})") from None
    if _values(value) > VALUES:
        raise refusal(f"{path}: unfolds to more than {VALUES:,} values; such a file has a few hundred")
    return value


def _values(tree: Any, most: int = VALUES, depth: int = 0) -> int:
    """How many values there are, each counted as often as it is referred to, up to a little more than `most`."""
    if depth > DEEPEST:  # holds itself
        return most + 1
    count = 1
    for each in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        count += _values(each, most - count, depth + 1)
        if count > most:
            break
    return count


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
