"""What trackers are told, and when: the settings by which people compare runs, and every row of metrics.csv."""

from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig
from pytorch_lightning.callbacks import Checkpoint

from mnist_cnn.callbacks import History
from mnist_cnn.runs.settings import settings_that_count
from mnist_cnn.training.trackers import Trackers

LEFT_OUT = ("data.md5.", "callbacks.", "test", "model._target_")
UNLOGGED = ("lr", "images", "train_seconds", "seconds")  # columns that no module logs


class TellSettings(pl.Callback):
    """Seed, learning rate and all else that changes a training; of a net's own options those that it does not log.

    TensorBoard shows them beside what validation measured last. It comes before whoever logs something in an epoch.
    """

    def __init__(self, trackers: Trackers, cfg: DictConfig, model: pl.LightningModule) -> None:
        self.trackers = trackers
        kept = {name: value for name, value in settings_that_count(cfg).items() if not name.startswith(LEFT_OUT)}
        own = {f"model.{name}" for name in model.hparams}
        named = {"model": type(model).__name__, "seed": cfg.seed}
        self.settings: dict[str, Any] = named | {name: value for name, value in kept.items() if name not in own}

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        for logger in trainer.loggers if stage == "fit" else []:  # files are written once, before training
            logger.log_hyperparams(self.settings)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for tracker in self.trackers.all:
            tracker.begin(trainer.current_epoch + 1)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        figures = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("val/")}
        for tracker in self.trackers.all:
            tracker.end()
            tracker.summarize(self.settings, figures)


class TellEpochs(Checkpoint):
    """For Lightning a `Checkpoint`, as `History` is, and the last of them: by then the epoch is saved."""

    def __init__(self, trackers: Trackers, history: History) -> None:
        self.trackers, self.history = trackers, history

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        row = self.history.rows[-1]
        figures = {name: row[name] for name in UNLOGGED if row.get(name) is not None}
        for tracker in self.trackers.all:
            tracker.saved(trainer.global_step - 1, figures)  # as Lightning counts the end of an epoch
