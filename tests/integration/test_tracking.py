"""What loggers are told, read back by TensorBoard's own reader. MLflow and W&B: tests/cluster/test_trackers.py."""

import pytest
import yaml
from PIL import Image
from pytorch_lightning.loggers import TensorBoardLogger
from tracked import told_tensorboard

from mnist_cnn import train
from mnist_cnn.callbacks import AtomicCheckpointIO

BATCHES = 8  # of an epoch of `tiny`


class Killed(BaseException):
    pass


def test_tensorboard_has_every_figure_once_also_of_a_run_killed_before_it_saved_an_epoch(
    cli, tiny_overrides, run_of, monkeypatch
):
    save = AtomicCheckpointIO.save_checkpoint

    def killed(self, checkpoint, *given, **named):
        if checkpoint["epoch"] == 1:
            raise Killed
        save(self, checkpoint, *given, **named)

    words = ["model=gap", "trainer.max_epochs=3", "callbacks=[checkpoint,lr_monitor]", *tiny_overrides, "figures=true"]
    # Matplotlib takes its seconds.
    monkeypatch.setattr(train, "draw", lambda run, *_: Image.new("RGB", (4, 3), "red").save(run.path / "curves.png"))
    with monkeypatch.context() as patch:
        patch.setattr(AtomicCheckpointIO, "save_checkpoint", killed)
        with pytest.raises(Killed):
            cli(*words, "logger=tensorboard", "trainer.log_every_n_steps=1")
    run = run_of()
    assert cli(f"resume={run.path}") == 0

    told = told_tensorboard(run.path / "tensorboard")
    assert [step for step, _ in told.curves.pop("lr-Adam")] == list(range(3 * BATCHES))
    told.assert_is_that_of(run, BATCHES)
    [kept] = (run.path / "tensorboard").rglob("hparams.yaml")
    kept = yaml.safe_load(kept.read_text())
    assert (kept["model"], kept["seed"], kept["optimizer.lr"], kept["data.batch_size"]) == ("GAPCNN", 1, 0.015, 32)
    assert [name for name in kept if name.startswith("model.") or "md5" in name] == []


def test_a_logger_that_fails_costs_one_warning(cli, tiny_overrides, run_of, monkeypatch, capsys):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(TensorBoardLogger, "log_metrics", full)
    assert cli("model=sequential", "trainer.max_epochs=2", "logger=tensorboard", *tiny_overrides) == 0
    run = run_of()
    assert run.completed
    assert len(run.history()) == 2
    [warning] = [line for line in run.log_file.read_text().splitlines() if "warning" in line.lower()]
    assert all(words in warning for words in ("logger.tensorboard: OSError", "No space left", "metrics.csv"))


def test_what_was_told_of_a_run_that_cannot_be_read_is_refused_in_a_line(cli, tiny_overrides, run_of, capsys):
    words = ["model=sequential", "trainer.max_epochs=1", "logger=tensorboard", *tiny_overrides]
    assert cli(*words) == 0
    run = run_of()
    run.trackers_file.write_text("[1]")
    assert cli(f"resume={run.path}", "trainer.max_epochs=2") == 2
    error = capsys.readouterr().err
    assert "trackers.json: not what trackers know" in error
    assert len(error.strip().splitlines()) == 1
