"""The Trainer of a run: with the callbacks that every run has, and those of its configuration."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import Logger

from mnist_cnn.callbacks import AtomicCheckpointIO, History, SeedEpochs, SelfContained, every_epoch
from mnist_cnn.config.build import DataModule, build
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
from mnist_cnn.training.loggers import TellEpochs, TellSettings
from mnist_cnn.training.trackers import Trackers


@dataclass(frozen=True)
class Parts:
    """What a run is made of.

    Args:
        said: what a reader should know of the weights it starts from.
    """

    model: pl.LightningModule
    history: History
    trainer: pl.Trainer
    trackers: Trackers
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
    scale = Scale(data.divide_by, data.mean(), data.for_pictures)
    classes = [str(name) for name in data.class_names]  # NumPy's texts would make checkpoints that hold code
    model, node, said = ready_model(cfg, data, scale, checkpoint)
    if isinstance(model, Classifier):
        model.scale, model.class_names = scale, classes
        on_gpu = cfg.trainer.accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
        mixed, clips = "mixed" in cfg.trainer.precision, bool(cfg.trainer.gradient_clip_val)
        speed.apply(model, mixed, clips, on_gpu)
    history = History(run.history_file, began, monitors(OmegaConf.to_container(cfg)), first_step)
    contained = SelfContained(node, scale, lasting(cfg), classes)
    own: list[pl.Callback] = [history, contained, *speed.callbacks(data), *further]
    trackers = Trackers(run, cfg.logger, going_on=checkpoint is not None)
    saving: list[pl.Callback] = [every_epoch(run.path)]
    if trackers.all:
        own, saving = [TellSettings(trackers, cfg, model), *own], [*saving, TellEpochs(trackers, history)]
    trainer = build_trainer(cfg, run, model, own, saving, trackers.loggers, data)
    return Parts(model, history, trainer, trackers, said)


def build_trainer(
    cfg: DictConfig,
    run: Run,
    model: pl.LightningModule,
    callbacks: Sequence[pl.Callback],
    saving: Sequence[pl.Callback],
    loggers: Sequence[Logger],
    data: DataModule,
) -> pl.Trainer:
    """Args:
    callbacks: of this run, beside what every run and its configuration have.
    saving: come after all others: they save what those have become.
    data: set up.
    """
    last = [*saving, *([ProgressBar()] if interactive() else [])]
    chosen = [
        offered(node, f"callbacks.{name}", dirpath=str(run.checkpoints))
        for name, node in cfg.callbacks.items()
        if node is not None
    ]
    without = {} if data.holds_out else {"limit_val_batches": 0}
    trainer: pl.Trainer = build(
        cfg.trainer,
        "trainer",
        **without,
        callbacks=[SeedEpochs(cfg.seed), PlateausResume(), *callbacks, *chosen, *last],
        logger=list(loggers) or False,
        plugins=[AtomicCheckpointIO()],
        default_root_dir=str(run.path),
        enable_progress_bar=interactive(),
        enable_model_summary=False,
    )
    if not isinstance(model, Classifier):  # rehearses its validation: does it log what is followed?
        trainer.num_sanity_val_steps = max(1, trainer.num_sanity_val_steps)
    return trainer
