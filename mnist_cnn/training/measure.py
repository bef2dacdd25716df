"""What is measured when training is over, and left in the run's directory: of which weights, on which images."""

import logging
from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig

from mnist_cnn.callbacks import History
from mnist_cnn.config.build import DataModule
from mnist_cnn.config.metrics import OURS
from mnist_cnn.data.adopted import labels_blamed
from mnist_cnn.data.base import ImageDataModule
from mnist_cnn.models.classifier import Classifier
from mnist_cnn.runs.checkpoint import load_checkpoint
from mnist_cnn.runs.directory import Run
from mnist_cnn.runs.history import final_figures, timing
from mnist_cnn.runs.model import asked_test
from mnist_cnn.runs.protocol import how_tested, protocol_of
from mnist_cnn.runs.stopping import foreign_errors
from mnist_cnn.runs.submission import write_submission

log = logging.getLogger(__name__)


def measure(
    cfg: DictConfig,
    run: Run,
    history: History,
    trainer: pl.Trainer,
    model: pl.LightningModule,
    data: DataModule,
    read: Sequence[int] = (),
) -> dict[str, Any]:
    """Tests the weights that `test_weights` names, and writes what they say of each image.

    Args:
        read: the epochs after which the run had read the test images before.

    Where `max_steps` or `max_time` ends the first epoch before its validation there is no best: the last are tested.

    Returns:
        the fields that a completed run adds to its record.
    """
    weights = cfg.test_weights
    if weights == "best" and not run.checkpoint("best").exists() and run.checkpoint("last").exists():
        log.info("It ended before its first validation: the last weights are tested.")
        weights = "last"
    state = load_checkpoint(run.checkpoint(weights))
    model.load_state_dict(state["state_dict"])
    asked = asked_test(cfg, model)
    how = how_tested(data, asked)
    tested: dict[str, float] = {}
    classified: dict[str, Any] = {}
    with foreign_errors(run), labels_blamed(data):
        if how == "once" and (found := trainer.test(model, datamodule=data, verbose=False)):
            tested = dict(found[0])
        elif how == "once":
            asked = "none"  # somebody's own test_dataloader has no loader to give
        if isinstance(model, Classifier) and tested:
            classified = {"confusion": model.confusion.compute().tolist()}  # rows: true class
            if trainer.world_size == 1:
                rows = torch.cat(model.predictions)
                run.save_predictions(rows, "test", _sources(data, "test", len(rows)), data.class_names)
        alone = isinstance(model, Classifier) and data.holds_out and trainer.world_size == 1
        if alone and (on_validation := _predict_validation(trainer, model, data)):
            rows = torch.cat(on_validation)
            run.save_predictions(rows, "val", _sources(data, "val", len(rows)), data.class_names)
    if how == "unlabelled" and trainer.is_global_zero:
        write_submission(run.path, model, data)
    chosen = cfg.callbacks.checkpoint or {"monitor": None, "mode": None}
    followed = {} if chosen["monitor"] in (None, *OURS) else {name: chosen[name] for name in ("monitor", "mode")}
    figures = final_figures(history.rows, chosen["monitor"], chosen["mode"])
    return {
        "protocol": protocol_of(cfg, data, asked, model, read, len(history.rows)),
        "test_weights": weights,
        "test_epoch": len(state["callbacks"][history.state_key]["rows"]),
        "epochs": len(history.rows),
        "figures": figures | {name: float(value) for name, value in tested.items()},
        **followed,
        **classified,
        "timing": timing(history.rows) | {"start_seconds": history.start_seconds},
    }


def _sources(data: DataModule, split: str, rows: int) -> list[str]:
    """Of the first images of a split; none where somebody's own data module or loader may have others."""
    images = data.splits.get(split) if isinstance(data, ImageDataModule) else None
    own = getattr(type(data), f"{split}_dataloader") is not getattr(ImageDataModule, f"{split}_dataloader")
    return [] if images is None or own or rows > len(images) else images.sources


def _predict_validation(
    trainer: pl.Trainer, model: pl.LightningModule, data: pl.LightningDataModule
) -> list[torch.Tensor]:
    """What the tested weights say of the validation images; a prediction, which callbacks and loggers do not count."""
    data.predict_dataloader = data.val_dataloader  # type: ignore[method-assign]
    trainer.limit_predict_batches = trainer.limit_val_batches
    rows: Any = trainer.predict(model, datamodule=data)
    return rows or []
