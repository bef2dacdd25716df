"""The Trainer of a run: with the callbacks that every run has, and those of its configuration."""

from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig

from mnist_cnn.callbacks import AtomicCheckpointIO, SeedEpochs, every_epoch
from mnist_cnn.config.build import DataModule, build
from mnist_cnn.config.recipe import offered
from mnist_cnn.models.classifier import Classifier
from mnist_cnn.optim import PlateausResume
from mnist_cnn.report.console import ProgressBar, interactive
from mnist_cnn.runs.directory import Run
from mnist_cnn.training.loggers import LogSettings


def build_trainer(
    cfg: DictConfig, run: Run, model: pl.LightningModule, callbacks: Sequence[pl.Callback], data: DataModule
) -> pl.Trainer:
    """Args:
    callbacks: of this run, beside what every run and its configuration have.
    data: set up.
    """
    last = [every_epoch(run.path), *([ProgressBar()] if interactive() else [])]  # saves what the others have become
    chosen = _built(cfg, "callbacks", dirpath=str(run.checkpoints))
    loggers = _built(cfg, "logger", save_dir=str(run.path))
    told = [LogSettings(cfg, model)] if loggers else []
    without = {} if data.holds_out else {"limit_val_batches": 0}
    trainer: pl.Trainer = build(
        cfg.trainer,
        "trainer",
        **without,
        callbacks=[SeedEpochs(cfg.seed), PlateausResume(), *callbacks, *told, *chosen, *last],
        logger=loggers or False,
        plugins=[AtomicCheckpointIO()],
        default_root_dir=str(run.path),
        enable_progress_bar=interactive(),
        enable_model_summary=False,
    )
    if not isinstance(model, Classifier):  # rehearses its validation: does it log what is followed?
        trainer.num_sanity_val_steps = max(1, trainer.num_sanity_val_steps)
    return trainer


def _built(cfg: DictConfig, group: str, **folder: str) -> list[Any]:
    """The entries of a group that are not switched off by null."""
    return [offered(node, f"{group}.{name}", **folder) for name, node in cfg[group].items() if node is not None]
