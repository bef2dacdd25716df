"""Each kind of file with each kind of damage: one line that names the file, and the file as it was."""

import gzip
import io
import json
import os
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import NAMES, idx, write_images
from PIL import Image

import mnist_cnn as mc
from mnist_cnn.data.datamodule import MNISTDataModule
from mnist_cnn.data.folder import _read
from mnist_cnn.data.idx import read_idx
from mnist_cnn.data.source import prepare
from mnist_cnn.data.table import _layout
from mnist_cnn.errors import DataError, RunError, UserError
from mnist_cnn.runs.checkpoint import find_checkpoint, load_checkpoint, load_to_resume, load_trained
from mnist_cnn.runs.directory import Run
from mnist_cnn.search.trials import Trials
from mnist_cnn.sweep.plan import Sweep

# What can happen to any file, and a word of what is said of it.
ANY: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a folder": (lambda path: path.mkdir(), "a folder"),
    "a FIFO": (os.mkfifo, "a FIFO"),
    "empty": (lambda path: path.touch(), ""),
    "zeros": (lambda path: path.write_bytes(b"\0" * 500), ""),
    "a picture": (lambda path: Image.new("RGB", (30, 30)).save(path, "png"), ""),
    "in another encoding": (lambda path: path.write_bytes('{"ä": 1}'.encode("utf-16")), ""),
}
NESTED = "[" * 200_000
BOMB = "a: &a [1, 1, 1, 1]\n" + "\n".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]" for a, b in zip("abcdefghij", "bcdefghijk", strict=True)
)
YAMLS = {"tags": "a: !!python/object/apply:os.system [ls]", "cut": "a: [1,", "nested": NESTED, "unfolding": BOMB}
TEXTS: dict[str, dict[str, str]] = {
    "config.yaml": YAMLS | {"a list": "[1, 2]", "a text": "hello", "null": "null", "other types": "model: 3\nseed: x",
                    "large": "a: " + "x" * 2**20, "twice": "a: 1\na: 2"},
    "overrides.yaml": YAMLS | {"a mapping": "a: 1", "numbers": "[1, 2]"},
    "metrics.json": {"cut": '{"status": "compl', "a list": "[]", "types": '{"status": 3, "seed": "x"}',
                     "figures": '{"status": "completed", "seed": 1, "figures": 7}', "nested": NESTED},
    "metrics.csv": {"words": "epoch,val/acc\n1,high\n", "too long": "epoch\n1,2\n"},
    "sweep.yaml": YAMLS | {"a list": "[]", "no jobs": "arguments: []", "types": "arguments: 3\njobs: {}",
                           "job": "arguments: []\njobs: [{number: x}]"},
}  # fmt: skip
READERS: dict[str, Callable[[Path], Any]] = {
    "config.yaml": lambda path: Run(path.parent).config(),
    "overrides.yaml": lambda path: Run(path.parent).overrides(),
    "metrics.json": lambda path: Run(path.parent).record(),
    "metrics.csv": lambda path: Run(path.parent).history(),
    "sweep.yaml": lambda path: Sweep.load(path.parent),
    "study.db": lambda path: Trials(path.parent, "random", None, 1),
    "study.journal": lambda path: Trials(path.parent, "random", None, 1, "journal"),
    "last.ckpt": load_checkpoint,
    NAMES[0]: lambda path: read_idx(path, 3),
    "train.csv": _layout,
    "train.npz": lambda path: mc_arrays(path),
    "picture.png": lambda path: _read(path, "resize"),
}
FINE = {
    ("overrides.yaml", "empty"), ("metrics.csv", "empty"), ("study.db", "empty"), ("study.journal", "empty"),
    ("picture.png", "a picture"),
}  # fmt: skip


def mc_arrays(path: Path) -> Any:
    from mnist_cnn.config.data_module import data_defaults
    from mnist_cnn.data.arrays import IMAGES, ArraysDataModule

    node = data_defaults(kind="arrays") | {"root": str(path.parent)}
    return ArraysDataModule(**{k: v for k, v in node.items() if k != "_target_"}).array("train", IMAGES["train"])


def refused(path: Path, read: Callable[[Path], Any], said: str) -> None:
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(UserError) as error:
        read(path)
    message = str(error.value)
    assert str(path) in message
    assert said in message
    assert len(message.splitlines()) == 1
    assert len(message) < 600
    assert (path.read_bytes() if path.is_file() else None) == before


@pytest.mark.parametrize("damage", ANY)
@pytest.mark.parametrize("name", READERS)
def test_something_else_in_the_place_of_a_file(tmp_path, name, damage):
    make, said = ANY[damage]
    make(tmp_path / name)
    if (name, damage) in FINE:
        READERS[name](tmp_path / name)
    else:
        refused(tmp_path / name, READERS[name], said)


@pytest.mark.parametrize("name", TEXTS)
def test_texts_that_hold_something_else(tmp_path, name):
    for content in TEXTS[name].values():
        (tmp_path / name).write_text(content)
        refused(tmp_path / name, READERS[name], "")


INTS = idx(np.zeros((3, 28, 28)))
IDX = {
    "another magic number": (b"\x08\x01" + INTS[2:], "no IDX file: it begins with 08 01 08 03"),
    "another type": (INTS[:2] + b"\x07" + INTS[3:], "no IDX file"),
    "cut in its header": (INTS[:9], "cut short: 9 bytes"),
    "cut": (INTS[:-1], "cut short: its header declares 3 x 28 x 28"),
    "too long": (INTS + b"12", "2 bytes too long"),
    "a huge header": (INTS[:4] + struct.pack(">3I", 2**31, 2**31, 28), "declares 2147483648 x 2147483648 x 28"),
    "a header of noise": (b"\0\0\x08\xff" + b"[" * 2000, "its header declares 255 dimensions of values, more than"),
    "floats": (b"\0\0\x0d\x03" + INTS[4:], "values of type float32; needed: uint8"),
    "int32": (b"\0\0\x0c\x03" + INTS[4:], "values of type int32; needed: uint8"),
    "labels": (idx(np.zeros(3)), "1 dimensions; needed: 3"),
    "packed": (gzip.compress(INTS), "packed by gzip"),
}


@pytest.mark.parametrize("damage", IDX)
def test_idx(tmp_path, damage):
    content, said = IDX[damage]
    (tmp_path / NAMES[0]).write_bytes(content)
    refused(tmp_path / NAMES[0], READERS[NAMES[0]], said)


PACKED = {"cut": gzip.compress(INTS)[:40], "text": b"x", "too long": gzip.compress(INTS[:16] + b"\0" * 10**7)}


@pytest.mark.parametrize("damage", PACKED)
def test_packed_files_are_unpacked_as_far_as_their_header_says(tmp_path, damage):
    folder = tmp_path / "MNIST" / "raw"
    write_images(folder)
    (folder / NAMES[0]).rename(folder / "good")
    packed = folder / f"{NAMES[0]}.gz"
    packed.write_bytes(PACKED[damage])
    digests = {name: "0" * 32 if name == NAMES[0] else "" for name in NAMES}
    refused(packed, lambda _: prepare("MNIST", tmp_path, digests), "delete it or replace it")
    assert not list(folder.glob(".*.partial"))


@pytest.mark.parametrize("kind", ["FIFO", "link"])
def test_what_others_put_among_the_data_is_never_replaced(tmp_path, kind, monkeypatch):
    folder = tmp_path / "MNIST" / "raw"
    write_images(folder)
    theirs = folder / NAMES[1]
    theirs.unlink()
    os.mkfifo(theirs) if kind == "FIFO" else theirs.symlink_to("nowhere")
    monkeypatch.setattr("mnist_cnn.data.source._sources", lambda dataset: pytest.fail("fetched"))
    with pytest.raises(DataError, match=f"{NAMES[1]}: a {kind}"):
        prepare("MNIST", tmp_path, "torchvision")
    assert theirs.is_fifo() if kind == "FIFO" else theirs.is_symlink()


def test_a_user_without_a_home_is_told_to_name_a_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("MNIST_CNN_DATA", raising=False)
    monkeypatch.setenv("HOME", "/nowhere/at/all")
    with pytest.raises(UserError, match=r"data\.root: there is no home folder.*data\.root=<folder>"):
        mc.MNISTDataModule()
    assert issubclass(mc.MNISTDataModule, MNISTDataModule)


@pytest.fixture(scope="module")
def finished(tiny_overrides, tmp_path_factory) -> Run:
    small = ["model=vanilla", "trainer.max_epochs=1", "data.limit_train=32"]
    return mc.fit(*small, *tiny_overrides, f"hydra.run.dir={tmp_path_factory.mktemp('finished')}/run").run


def saved(content: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def without(state: dict[str, Any], *parts: str) -> dict[str, Any]:
    return {k: without(v, *parts) if k == "callbacks" else v for k, v in state.items() if k not in parts}


def packed(content: bytes) -> bytes:
    """The same archive, compressed."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new:
        for each in old.infolist():
            new.writestr(each.filename, old.read(each))
    return buffer.getvalue()


def widened(state: dict[str, Any]) -> dict[str, Any]:
    return state | {"state_dict": {"net.0.weight": torch.zeros(1).expand(10**9)}}


def test_checkpoints(finished, tmp_path):
    good = finished.checkpoint("last").read_bytes()
    state = load_checkpoint(finished.checkpoint("last"))
    flipped = bytearray(good)
    flipped[good.index(b"data/0") + 100] ^= 1
    cases: dict[str, tuple[bytes, Callable[[Path], Any], str]] = {
        "cut": (good[:-1000], load_checkpoint, "damaged"),
        "a bit flipped": (bytes(flipped), load_checkpoint, "another checksum"),
        "packed": (packed(saved({"a": torch.zeros(10**6)})), load_checkpoint, "unpack to"),
        "widened": (saved(widened(state)), load_checkpoint, "unpack to"),
        "a tensor": (saved(torch.zeros(3)), load_checkpoint, "it holds a Tensor"),
        "an array of bytes": (saved(bytearray(10)), load_checkpoint, "bytearray"),
        "of other software": (saved({"weights": {}}), load_trained, "not the checkpoint of a net"),
        "without its net": (saved(state | {"mnist_cnn": {"scale": {}}}), load_trained, "mnist_cnn.model"),
    }
    for part in ("callbacks", "optimizer_states", "loops", "lr_schedulers", "epoch", "History", "state_dict"):
        cases[part] = (saved(without(state, part)), load_to_resume, part)
    other = without(state, "mnist_cnn", "optimizer_states")  # as of version 0.1.0
    cases["of then"] = (saved(other), load_to_resume, "optimizer_states")
    path = tmp_path / "last.ckpt"
    for content, read, said in cases.values():
        path.write_bytes(content)
        refused(path, read, said)


def test_a_checkpoint_that_lacks_a_part_gives_way_to_the_whole_one(finished, tmp_path):
    run = Run(Path(shutil.copytree(finished.path, tmp_path / "run")))
    state = load_checkpoint(run.checkpoint("last"))
    run.checkpoint("last").write_bytes(saved(without(state, "callbacks")))
    found = find_checkpoint(run)
    assert found is not None
    assert found[0] == run.checkpoint("best")
    run.checkpoint("best").unlink()
    with pytest.raises(RunError, match=r"last\.ckpt: lacks callbacks"):
        find_checkpoint(run)


def test_the_record_of_a_later_version_is_read(finished, tmp_path):
    content = json.loads(finished.metrics_file.read_text()) | {"later": 1}
    (tmp_path / "metrics.json").write_text(json.dumps(content))
    record = Run(tmp_path).record()
    assert record is not None
    assert record.dump()["later"] == 1
