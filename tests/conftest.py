"""Tiny data sets in the IDX format, and a way to run the command line in this process.

The process that hands the tests out loads this file too, and would import torch and Lightning (5 s) before the workers
start: so the fixtures import what they need of the package.
"""

import gc
import os
import shutil
import signal
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from mnist_cnn.runs.directory import Run

os.environ["OMP_NUM_THREADS"] = "1"  # tests run side by side, one to a core
os.environ["COLUMNS"] = "200"  # as where no terminal is

# A command started in the background may have been told to ignore Ctrl-C, and the processes that the tests stop with it
# would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


# Tests that start processes come first: they wait for one another least then, and one worker's server forks for them
# all. Many short ones come last: they are handed from one worker to the other.
PROCESSES = (
    "test_sweep", "test_ray_sweep", "test_resume", "test_search", "test_reproduce", "test_jobs", "test_calls",
    "test_data",
)  # fmt: skip
SHORT = ("test_conf", "test_refusals")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: (item.path.stem not in PROCESSES) + (item.path.stem in SHORT))


# What is imported stays: half a million objects, which the collector would look through again and again meanwhile, and
# afterwards in every test.
gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


def pytest_sessionfinish() -> None:
    gc.unfreeze()  # else extension modules report what is left of them


NAMES = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"]


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def write_images(folder: Path, train_size: int = 320, test_size: int = 100) -> None:
    """Noise with a bright bar whose place tells the class: a small net learns it in a few epochs."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    for (images_name, labels_name), size in zip([NAMES[:2], NAMES[2:]], [train_size, test_size], strict=True):
        labels = np.arange(size) % 10
        images = random.integers(0, 80, (size, 28, 28))
        for image, label in zip(images, labels, strict=True):
            image[4 + 2 * label : 6 + 2 * label, 4:24] = 255
        (folder / images_name).write_bytes(idx(images))
        (folder / labels_name).write_bytes(idx(labels))


def read_idx(file: Path) -> np.ndarray:
    content = file.read_bytes()
    dimensions = content[3]
    shape = struct.unpack(f">{dimensions}I", content[4 : 4 + 4 * dimensions])
    return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Root of a data set in MNIST's format with 320 + 100 images, for `data=custom`."""
    root = tmp_path_factory.mktemp("tiny")
    write_images(root / "custom" / "raw")
    return root


@pytest.fixture(scope="session")
def tiny_overrides(tiny: Path) -> list[str]:
    return [
        "data=custom",
        f"data.root={tiny}",
        "data.validation_size=80",
        "data.batch_size=32",
        "trainer=cpu",
        "figures=false",
    ]


def metrics_of(run: "Run") -> dict[str, Any]:
    """What metrics.json holds; nothing before there is one."""
    record = run.record()
    return record.dump() if record is not None else {}


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., int]:
    """Runs an entry point in this process, inside a fresh folder, and returns its exit code."""
    from mnist_cnn import train

    monkeypatch.chdir(tmp_path)

    def call(*arguments: str, main: Callable[[], None] = train.main) -> int:
        monkeypatch.setattr(sys, "argv", ["mnist_cnn", *arguments])
        try:
            main()
        except SystemExit as stop:
            return int(stop.code or 0)
        return 0

    return call


@pytest.fixture
def run_of(tmp_path: Path) -> Callable[[], "Run"]:
    """The only run directory below the test's folder."""
    from mnist_cnn.runs.directory import Run

    def find() -> "Run":
        [file] = tmp_path.rglob("config.yaml")
        return Run(file.parent)

    return find


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A user's files, my_nets.py and my_data.py, in the working folder."""
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("my_nets", "my_data"):
        monkeypatch.delitem(sys.modules, name, raising=False)
        shutil.copy(Path(__file__).parent / f"{name}.py", tmp_path)


@pytest.fixture
def run(cli, run_of, tiny_overrides, own):
    """Trains one epoch on the tiny data set, and returns the run directory."""

    def train(*overrides: str) -> Path:
        assert cli("trainer.max_epochs=1", *tiny_overrides, *overrides) == 0
        return run_of().path

    return train
