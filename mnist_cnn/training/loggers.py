"""What loggers are told beside the figures: the settings by which people compare runs."""

from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig
from pytorch_lightning.loggers import TensorBoardLogger

from mnist_cnn.runs.settings import settings_that_count

LEFT_OUT = ("data.md5.", "callbacks.", "test", "model._target_")


class LogSettings(pl.Callback):
    """Seed, learning rate and all else that changes a training; of a net's own options those that it does not log.

    TensorBoard shows them beside what validation measured last.
    """

    def __init__(self, cfg: DictConfig, model: pl.LightningModule) -> None:
        kept = {name: value for name, value in settings_that_count(cfg).items() if not name.startswith(LEFT_OUT)}
        own = {f"model.{name}" for name in model.hparams}
        named = {"model": type(model).__name__, "seed": cfg.seed}
        self.settings: dict[str, Any] = named | {name: value for name, value in kept.items() if name not in own}

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        for logger in trainer.loggers if stage == "fit" else []:  # files are written once, before training
            logger.log_hyperparams(self.settings)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        figures = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("val/")}
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger) and figures:
                logger.log_hyperparams(self.settings, figures, trainer.global_step)
