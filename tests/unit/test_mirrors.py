"""torchvision's mirrors and the sets that only they have, without touching the network."""

import gzip
import hashlib
import logging
import socket
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torchvision.datasets
from conftest import idx
from fake_mirror import address, serve

from mnist_cnn.config.build import build_data
from mnist_cnn.config.compose import compose_run
from mnist_cnn.data import mirrors, source
from mnist_cnn.data.presets import PRESETS
from mnist_cnn.errors import DataError

CLASSES = {"kmnist": 10, "qmnist": 10, "emnist_letters": 26, "emnist_balanced": 47}


def md5(file: Path) -> str:
    return hashlib.md5(file.read_bytes()).hexdigest()


def content(name: str, first_label: int, classes: int) -> bytes:
    """120 images whose upper left quarter is bright in the second row alone, or their labels."""
    if "images" in name:
        images = np.zeros((120, 28, 28))
        images[:, 1, :14] = 255
        return idx(images)
    labels = np.arange(120) % classes + first_label
    if name.endswith("int"):  # QMNIST's: eight columns of four bytes
        wide = np.zeros((120, 8), ">i4")
        wide[:, 0] = labels
        return struct.pack(">BBBBII", 0, 0, 12, 2, *wide.shape) + wide.tobytes()
    return idx(labels)


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """Puts a set on a server, with its checksums, and lets torchvision know."""
    monkeypatch.setenv("no_proxy", "*")
    server = serve(tmp_path)

    def make(name: str) -> None:
        cfg = compose_run([f"data={name}"]).cfg
        known = PRESETS[cfg.data.dataset]
        folder = tmp_path / "mirror"
        (folder / "gzip").mkdir(parents=True)
        for file in known.files:
            packed = gzip.compress(content(file, known.first_label, CLASSES[name]), mtime=0)
            (folder / f"{file}.gz").write_bytes(packed)
        reference = getattr(torchvision.datasets, known.torchvision)
        pairs = [(f"{file}.gz", md5(folder / f"{file}.gz")) for file in known.files]
        url = f"{address(server)}/mirror/"
        if known.torchvision == "EMNIST":
            with zipfile.ZipFile(folder / "gzip.zip", "w") as archive:
                for file, _ in pairs:
                    archive.write(folder / file, f"gzip/{file}")
            monkeypatch.setattr(reference, "url", f"{url}gzip.zip")
            monkeypatch.setattr(reference, "md5", md5(folder / "gzip.zip"))
        elif known.torchvision == "QMNIST":
            whole = [(f"{url}{file}", digest) for file, digest in pairs]
            monkeypatch.setattr(reference, "resources", {"train": whole[:2], "test": whole[2:]})
        else:
            monkeypatch.setattr(reference, "resources", pairs)
            monkeypatch.setattr(reference, "mirrors", [f"{address(server)}/nowhere/", url])

    yield make
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("name", CLASSES)
def test_a_set_is_fetched_verified_and_read_upright_with_labels_from_0(mirror, tmp_path, name):
    mirror(name)
    cfg = compose_run([f"data={name}", f"data.root={tmp_path}/root", "data.validation_size=20"]).cfg
    data = build_data(cfg)
    data.prepare_data()
    data.setup("fit")
    data.setup("test")
    assert len(data.class_names) == CLASSES[name]
    assert data.protocol()["verified"] is True
    labels = data.splits["test"].labels
    assert (int(labels.min()), int(labels.max())) == (0, CLASSES[name] - 1)
    bright = data.splits["test"].images[0, 0].nonzero()
    turned = name.startswith("emnist")  # its files have rows and columns swapped
    assert bright.max(0).values.tolist() == ([13, 1] if turned else [1, 13])
    (data.folder / ".fetched").rename(tmp_path / "fetched")  # as if they had lain there before
    assert data.protocol()["verified"] is False
    (tmp_path / "fetched").rename(data.folder / ".fetched")
    file = data.folder / data.preset.files[1]
    file.write_bytes(file.read_bytes()[:-1] + b"\1")  # one of ours, damaged: fetched again
    before = md5(file)
    data.prepare_data()
    assert md5(file) != before


def test_a_file_with_another_checksum_is_not_taken(mirror, tmp_path):
    mirror("kmnist")
    (tmp_path / "mirror" / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(b"something else"))
    with pytest.raises(DataError, match="KMNIST: no source has the images") as error:
        source.prepare("KMNIST", tmp_path / "root", "torchvision")
    assert "torchvision's mirrors" in str(error.value)
    assert not (tmp_path / "root" / "KMNIST" / "raw" / "train-labels-idx1-ubyte").exists()


def test_a_dead_mirror_is_given_up_soon_and_what_is_tried_is_said(monkeypatch, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(mirrors, "CONNECT_PATIENCE", 0.05)
    monkeypatch.setattr("urllib.request.getproxies", dict)
    asked = []

    def never(address, timeout):
        asked.append(address)
        raise TimeoutError("timed out")

    monkeypatch.setattr(socket, "create_connection", never)
    with pytest.raises(DataError) as error:
        source.prepare("KMNIST", tmp_path, "torchvision")
    [host] = {address[0] for address in asked}
    assert host in str(error.value)
    assert "timed out" in str(error.value)
    assert "data.root=" in str(error.value)
    said = [record.message for record in caplog.records]
    assert any("4 of 4 files are not in" in line and "trying torchvision's mirrors" in line for line in said)
    assert any(host in line and "timed out" in line for line in said)
