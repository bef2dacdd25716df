"""Resuming gives what the uninterrupted run gives, bit for bit, and refuses what it cannot do."""

import csv
import os
import shutil
import signal
import time
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from conftest import metrics_of
from program import start

import mnist_cnn as mc
from mnist_cnn import evaluate
from mnist_cnn.callbacks import AtomicCheckpointIO, SeedEpochs
from mnist_cnn.runs.checkpoint import load_checkpoint
from mnist_cnn.runs.directory import Run

FEW = ["data.limit_train=96", "data.limit_val=40", "data.limit_test=40"]  # three batches are an epoch
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
    assert metrics_of(first)["figures"] == metrics_of(second)["figures"]
    timings = {"train_seconds", "seconds"}
    rows = [
        [
            {k: v for k, v in row.items() if k not in timings}
            for row in csv.DictReader(run.history_file.read_text().splitlines())
        ]
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


def wait_for_epochs(root: Path, epochs: int) -> Path:
    """The only run directory below `root`, once it has so many complete epochs."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        for file in root.rglob("last.ckpt"):
            run_dir = file.parent.parent
            if len((run_dir / "metrics.csv").read_text().splitlines()) > epochs:
                return run_dir
        time.sleep(0.01)
    raise AssertionError("the run did not get far enough")


class Killed(BaseException):
    pass


def kill_in_epoch(monkeypatch: pytest.MonkeyPatch, epoch: int) -> None:
    def after_batch(self: SeedEpochs, trainer: pl.Trainer, *_: object) -> None:
        if trainer.current_epoch == epoch:
            raise Killed

    monkeypatch.setattr(SeedEpochs, "on_train_batch_end", after_batch)


def killed_in_epoch(epoch: int, cli, monkeypatch: pytest.MonkeyPatch, folder: Path, recipe: list[str]) -> Run:
    with monkeypatch.context() as patch:
        kill_in_epoch(patch, epoch)
        with pytest.raises(Killed):
            cli(*recipe, f"hydra.run.dir={folder}")
    return Run(folder)


@pytest.mark.parametrize("name", RECIPES)
def test_stopped_in_mid_epoch_and_resumed_equals_uninterrupted(cli, tiny_overrides, tmp_path, name, monkeypatch):
    recipe = [*RECIPES[name], *tiny_overrides, *FEW, "trainer.max_epochs=4"]
    assert cli(*recipe, f"hydra.run.dir={tmp_path}/whole") == 0
    parts = killed_in_epoch(2, cli, monkeypatch, tmp_path / "parts", recipe)
    assert metrics_of(parts)["status"] == "failed"

    assert cli(f"resume={parts.path}") == 0
    same(Run(tmp_path / "whole"), parts)


LONG = ["model=bn_dropout", "scheduler=one_cycle", "trainer.max_epochs=4"]


@pytest.fixture(scope="module")
def whole(tiny_overrides, tmp_path_factory) -> Run:
    """The uninterrupted run that the others must equal."""
    return mc.fit(*LONG, *tiny_overrides, f"hydra.run.dir={tmp_path_factory.mktemp('whole')}/run").run


def test_killed_with_workers_and_resumed_with_auto_equals_uninterrupted(cli, whole, tiny_overrides, tmp_path):
    process = start([*LONG, *tiny_overrides, "data.num_workers=2"], tmp_path)
    run_dir = wait_for_epochs(tmp_path / "runs", 1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    run = Run(run_dir)
    assert metrics_of(run)["status"] == "running"
    assert cli(*LONG, *tiny_overrides, "data.num_workers=2", "resume=auto") == 0  # at once: no worker holds the lock
    same(whole, run)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_told_stop_ends_cleanly_and_says_how_to_resume(cli, whole, tiny_overrides, tmp_path, number, code):
    process = start([*LONG, *tiny_overrides], tmp_path)
    run_dir = wait_for_epochs(tmp_path / "runs", 1)
    process.send_signal(number)
    output = process.output()
    assert process.returncode == code, output
    assert f"resume={run_dir}" in output
    assert "Traceback" not in output
    assert metrics_of(Run(run_dir))["status"] == "interrupted"
    assert cli("resume=auto") == 0
    same(whole, Run(run_dir))


def test_a_run_that_another_process_trains_is_left_alone(cli, tiny_overrides, tmp_path, capsys):
    process = start([*LONG, *tiny_overrides, "trainer.max_epochs=50"], tmp_path)
    run_dir = wait_for_epochs(tmp_path / "runs", 1)
    assert cli(f"resume={run_dir}") == 2
    assert "another process is training this run" in capsys.readouterr().err
    assert cli("resume=auto") == 2
    assert "nothing to resume" in capsys.readouterr().err
    process.kill()
    process.wait()


def test_a_told_stop_ends_the_whole_sweep(tiny_overrides, tmp_path):
    process = start(["-m", "seed=1,2", "jobs=1", *LONG, *tiny_overrides, "trainer.max_epochs=50"], tmp_path)
    wait_for_epochs(tmp_path / "runs", 1)
    process.send_signal(signal.SIGTERM)
    output = process.output()
    assert process.returncode == 143, output
    assert len(list(tmp_path.rglob("config.yaml"))) == 1


def test_a_half_written_checkpoint_is_not_taken_for_a_good_one(cli, tiny_overrides, tmp_path, monkeypatch, capsys):
    recipe = ["model=gap", *tiny_overrides, *FEW, "trainer.max_epochs=4"]
    assert cli(*recipe, f"hydra.run.dir={tmp_path}/whole") == 0
    parts = killed_in_epoch(2, cli, monkeypatch, tmp_path / "parts", recipe)
    last = parts.checkpoint("last")
    shutil.copy(last, parts.checkpoint("best"))
    last.write_bytes(last.read_bytes()[:-1000])
    assert cli(f"resume={parts.path}") == 0
    assert "best.ckpt" in capsys.readouterr().out
    same(Run(tmp_path / "whole"), parts)


def test_a_run_directory_that_was_moved_keeps_its_best_epoch(cli, tiny_overrides, tmp_path):
    recipe = ["model=bn_dropout", *tiny_overrides]  # its validation accuracy is best in the first epochs
    assert cli(*recipe, "trainer.max_epochs=4", f"hydra.run.dir={tmp_path}/whole") == 0
    assert cli(*recipe, "trainer.max_epochs=2", f"hydra.run.dir={tmp_path}/before") == 0
    shutil.move(tmp_path / "before", tmp_path / "after")
    assert cli(f"resume={tmp_path}/after", "trainer.max_epochs=4") == 0
    whole, moved = Run(tmp_path / "whole"), Run(tmp_path / "after")
    same(whole, moved)
    best, kept = (load_checkpoint(run.checkpoint("best")) for run in (whole, moved))
    assert best["epoch"] == kept["epoch"] < 3


def test_a_run_that_stopped_early_is_finished(cli, tiny_overrides, tmp_path, capsys):
    stop = ["callbacks=[checkpoint,early_stopping]", "callbacks.early_stopping.patience=1"]
    recipe = ["model=sequential", *stop, "callbacks.early_stopping.min_delta=9", "trainer.max_epochs=9"]
    assert cli(*recipe, *tiny_overrides, f"hydra.run.dir={tmp_path}/run") == 0
    assert cli(f"resume={tmp_path}/run") == 2
    assert "already finished" in capsys.readouterr().err


def test_with_no_good_checkpoint_there_is_nothing_to_resume(cli, tiny_overrides, tmp_path, capsys):
    assert cli("model=sequential", "debug=one_batch", *tiny_overrides, f"hydra.run.dir={tmp_path}/run") == 0
    for which in ("best", "last"):
        Run(tmp_path / "run").checkpoint(which).write_bytes(b"PK")
    assert cli(f"resume={tmp_path}/run", "trainer.max_epochs=3") == 2
    message = capsys.readouterr().err
    assert "nothing to resume from" in message
    assert "last.ckpt: damaged" in message


def test_a_kill_in_mid_write_leaves_the_previous_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"epoch": torch.tensor(1)}, path)

    def die(descriptor: int) -> None:
        raise Killed

    monkeypatch.setattr(os, "fsync", die)
    with pytest.raises(Killed):
        AtomicCheckpointIO().save_checkpoint({"epoch": torch.tensor(2)}, path)
    assert load_checkpoint(path)["epoch"] == 1


def test_a_finished_run_can_be_prolonged(cli, tiny_overrides, tmp_path):
    recipe = ["model=bn_dropout", *tiny_overrides, *FEW]
    assert cli(*recipe, "trainer.max_epochs=3", f"hydra.run.dir={tmp_path}/whole") == 0
    assert cli(*recipe, "trainer.max_epochs=2", f"hydra.run.dir={tmp_path}/parts") == 0
    assert cli(f"resume={tmp_path}/parts", "trainer.max_epochs=3") == 0
    same(Run(tmp_path / "whole"), Run(tmp_path / "parts"))


def test_a_prolonged_run_says_that_it_read_the_test_images_before(cli, tiny_overrides, tmp_path, capsys):
    recipe = ["model=bn_dropout", *tiny_overrides, *FEW]
    assert cli(*recipe, "trainer.max_epochs=1", f"hydra.run.dir={tmp_path}/run") == 0
    assert Run(tmp_path / "run").record().protocol.summary.startswith("test images read once, after training")
    for epochs in (2, 3):
        assert cli(f"resume={tmp_path}/run", f"trainer.max_epochs={epochs}") == 0
    protocol = Run(tmp_path / "run").record().protocol
    assert protocol.read_after == [1, 2, 3]
    words = "test images read again after more training, first after epoch 1"
    assert protocol.summary.startswith(words)
    capsys.readouterr()
    assert cli(f"run_dir={tmp_path}/run", main=evaluate.main) == 0
    assert words in capsys.readouterr().out


def test_killed_between_training_and_test_resumes_to_the_test(cli, tiny_overrides, tmp_path, monkeypatch):
    recipe = ["model=sequential", *tiny_overrides, "trainer.max_epochs=2"]
    assert cli(*recipe, f"hydra.run.dir={tmp_path}/whole") == 0

    def die(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(pl.Trainer, "test", die)
        with pytest.raises(Killed):
            cli(*recipe, f"hydra.run.dir={tmp_path}/parts")
    assert cli(f"resume={tmp_path}/parts") == 0
    same(Run(tmp_path / "whole"), Run(tmp_path / "parts"))


@pytest.mark.parametrize("end", [{"status": "pruned"}, {"status": "failed", "error_type": "Diverged"}])
def test_auto_leaves_alone_what_a_search_stopped_or_what_diverged(cli, tiny_overrides, tmp_path, monkeypatch, end):
    recipe = ["model=sequential", *tiny_overrides, "trainer.max_epochs=2"]
    with monkeypatch.context() as patch:
        kill_in_epoch(patch, 1)
        for name in ("own", "other"):
            with pytest.raises(Killed):
                cli(*recipe, f"hydra.run.dir=runs/{name}")
    other, own = Run(tmp_path / "runs" / "other"), Run(tmp_path / "runs" / "own")
    other.save_record(other.record().model_copy(update=end))
    assert cli("resume=auto") == 0
    assert (own.record().status, other.record().status) == ("completed", end["status"])


def test_auto_with_other_overrides_names_a_run_to_resume(cli, tiny_overrides, tmp_path, monkeypatch, capsys):
    recipe = ["model=sequential", *tiny_overrides, "trainer.max_epochs=2"]
    with monkeypatch.context() as patch:
        kill_in_epoch(patch, 1)
        with pytest.raises(Killed):
            cli(*recipe)
    assert cli("model=gap", "resume=auto") == 2
    message = capsys.readouterr().err
    assert "model=gap" in message
    assert f"resume={tmp_path}/runs/sequential" in message
    assert cli(*recipe, "resume=auto") == 0
