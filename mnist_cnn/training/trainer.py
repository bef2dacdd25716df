"""The Trainer of a run: with the callbacks that every run has, and those of its configuration."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf

from mnist_cnn.callbacks import AtomicCheckpointIO, History, SeedEpochs, SelfContained, every_epoch
from mnist_cnn.config.build import DataModule, build
from mnist_cnn.config.instantiate import named
from mnist_cnn.config.metrics import monitors
from mnist_cnn.config.recipe import offered
from mnist_cnn.models.classifier import Classifier
from mnist_cnn.models.reading import Scale
from mnist_cnn.optim import PlateausResume
from mnist_cnn.report.console import ProgressBar, interactive
from mnist_cnn.runs.directory import Run
from mnist_cnn.runs.model import ready_model
from mnist_cnn.runs.settings import lasting
from mnist_cnn.speed.measures import Speed
from mnist_cnn.training.loggers import LogSettings


@dataclass(frozen=True)
class Parts:
    """What a run is made of.

    Args:
        said: what a reader should know of the weights it starts from.
    """

    model: pl.LightningModule
    history: History
    trainer: pl.Trainer
    said: dict[str, str]


def assemble(
    cfg: DictConfig,
    run: Run,
    data: DataModule,
    speed: Speed,
    checkpoint: Path | None,
    began: float | None = None,
    first_step: Callable[[], None] = lambda: None,
    further: Sequence[pl.Callback] = (),
) -> Parts:
    """All that trains: the model with the measures of the group `speed`, and its Trainer.

    Args:
        data: set up.
        checkpoint: to go on from, if any; `began`, `first_step`: see `History`.

    Raises:
        ConfigError: parts that refuse their values, or do not go together with the data.
    """
    scale = Scale(data.divide_by, data.mean())
    model, node, said = ready_model(cfg, data, scale, checkpoint)
    if isinstance(model, Classifier):
        on_gpu = cfg.trainer.accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
        mixed, clips = "mixed" in cfg.trainer.precision, bool(cfg.trainer.gradient_clip_val)
        speed.apply(model, mixed, clips, on_gpu)
    history = History(run.history_file, began, monitors(OmegaConf.to_container(cfg)), first_step)
    own = [history, SelfContained(node, scale, lasting(cfg)), *speed.callbacks(data), *further]
    trainer = build_trainer(cfg, run, model, own, data)
    return Parts(model, history, trainer, said)


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
    for logger, (name, node) in zip(loggers, _entries(cfg.logger), strict=True):
        with named(f"logger.{name}", node):
            _ = logger.experiment  # made by its first use, from what the configuration gives
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
    """The entries of a group that are not switched off by null, as objects."""
    return [offered(node, f"{group}.{name}", **folder) for name, node in _entries(cfg[group])]


def _entries(group: DictConfig) -> list[tuple[str, Any]]:
    return [(str(name), node) for name, node in group.items() if node is not None]
