"""Several processes of one training (Lightning DDP), on CPUs over gloo."""

import subprocess
import sys

import pytest
from conftest import metrics_of

from mnist_cnn.runs.directory import Run

TWO = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "data.batch_size=16"]


def test_two_processes_give_the_metrics_of_one(tiny_overrides, tmp_path):
    """Half the batch each: the same images in every step, so the same gradient up to rounding. 240 is no multiple of
    the batch, and 79 validation and 99 test images do not divide by two: none may be counted twice or dropped."""
    common = ["model=vanilla", "trainer.max_epochs=3", "optimizer.lr=0.1", "test_weights=last", *tiny_overrides,
              "data.limit_val=79", "data.limit_test=99", "data.limit_train=236"]  # fmt: skip
    figures, confusion = {}, {}
    for name, extra in {"one": ["data.batch_size=32"], "two": TWO}.items():
        folder = tmp_path / name
        done = subprocess.run(
            [sys.executable, "-m", "mnist_cnn.train", *common, *extra, f"hydra.run.dir={folder}"],
            capture_output=True, text=True, cwd=tmp_path,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        figures[name], confusion[name] = metrics_of(Run(folder))["figures"], metrics_of(Run(folder))["confusion"]
    assert figures["two"] == pytest.approx(figures["one"], rel=1e-5)
    assert sum(map(sum, confusion["two"])) == 99
    assert confusion["two"] == confusion["one"]
