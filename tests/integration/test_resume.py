"""Resuming gives what the uninterrupted run gives, bit for bit, and refuses what it cannot do."""

import csv
import subprocess
import sys
import time
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch

from mnist_cnn.callbacks import SeedEpochs
from mnist_cnn.runs import Run, load_checkpoint

RECIPES = {
    "inverse_time": ["model=bn_dropout"],
    "one_cycle": ["model=gap"],
    "ema": ["model=bn_dropout", "callbacks=[checkpoint,ema]", "scheduler=cosine"],
    "step": ["model=vanilla", "scheduler=step", "scheduler.step_size=1", "optimizer=adadelta"],
    "exponential": ["model=vanilla", "scheduler=exponential", "optimizer=rmsprop"],
}


def same(first: Run, second: Run) -> None:
    """Weights, optimiser state, history and test figures are equal bit for bit."""
    one, two = (load_checkpoint(run.checkpoint("last")) for run in (first, second))
    for key in ("state_dict", "optimizer_states", "lr_schedulers", "global_step", "epoch"):
        assert_equal(one[key], two[key], key)
    assert first.metrics()["figures"] == second.metrics()["figures"]
    timings = {"train_seconds", "seconds"}
    rows = [
        [{k: v for k, v in row.items() if k not in timings} for row in csv.DictReader(run.history_file.open())]
        for run in (first, second)
    ]
    assert rows[0] == rows[1]


def assert_equal(one: object, two: object, where: str) -> None:
    assert type(one) is type(two), where
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, two), where
    elif isinstance(one, dict):
        assert one.keys() == two.keys(), where
        for key in one:
            assert_equal(one[key], two[key], f"{where}.{key}")
    elif isinstance(one, list):
        assert len(one) == len(two), where
        for i, (a, b) in enumerate(zip(one, two, strict=True)):
            assert_equal(a, b, f"{where}.{i}")
    else:
        assert one == two, where


def start(arguments: list[str], folder: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "mnist_cnn.train", *arguments]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_for_epoch(run_dir: Path, epochs: int) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        file = run_dir / "metrics.csv"
        if (run_dir / "checkpoints" / "last.ckpt").exists() and len(file.read_text().splitlines()) > epochs:
            return
        time.sleep(0.02)
    raise AssertionError("the run did not get far enough")


class Killed(BaseException):
    pass


def kill_in_epoch(monkeypatch: pytest.MonkeyPatch, epoch: int) -> None:
    def after_batch(self: SeedEpochs, trainer: pl.Trainer, *_: object) -> None:
        if trainer.current_epoch == epoch:
            raise Killed

    monkeypatch.setattr(SeedEpochs, "on_train_batch_end", after_batch)


@pytest.mark.parametrize("name", RECIPES)
def test_stopped_in_mid_epoch_and_resumed_equals_uninterrupted(cli, tiny_overrides, tmp_path, name, monkeypatch):
    recipe = [*RECIPES[name], *tiny_overrides, "trainer.max_epochs=4"]
    assert cli(*recipe, f"hydra.run.dir={tmp_path}/whole") == 0
    with monkeypatch.context() as patch:
        kill_in_epoch(patch, 2)
        with pytest.raises(Killed):
            cli(*recipe, f"hydra.run.dir={tmp_path}/parts")
    parts = Run(tmp_path / "parts")
    assert parts.metrics()["status"] == "failed"

    assert cli(f"resume={parts.path}") == 0
    same(Run(tmp_path / "whole"), parts)
