"""The model of a run as it goes into training: for the classes of the data, with the weights it starts from."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig
from pytorch_lightning.utilities.model_helpers import is_overridden

from mnist_cnn.config.build import build_model
from mnist_cnn.config.module import plain_node, try_module, with_classes
from mnist_cnn.errors import ConfigError
from mnist_cnn.models.classifier import Classifier
from mnist_cnn.models.layers import LayerRow, rows_of
from mnist_cnn.models.reading import Scale
from mnist_cnn.models.start import freeze, start_from
from mnist_cnn.runs.checkpoint import weights_of


def ready_model(
    cfg: DictConfig, data: pl.LightningDataModule, scale: Scale, checkpoint: Path | None
) -> tuple[pl.LightningModule, dict[str, Any], dict[str, str]]:
    """The model, the node to build it from again, and what a reader should know of its weights.

    Args:
        data: set up; `scale`: of its images.
        checkpoint: to go on from, if any.

    Raises:
        ConfigError: weights that do not fit, or a net for another number of classes than the data have.
        RunError: no weights where `cfg.weights` says.
    """
    classes = len(data.class_names) if hasattr(data, "class_names") else None
    problems = try_module(plain_node(cfg.model), classes)  # once more: now the data have said how many classes
    if problems:
        raise ConfigError(problems)
    model, said = build_model(cfg, classes), {}
    if isinstance(model, Classifier) and classes is not None and model.num_classes != classes:
        raise ConfigError([f"model.num_classes = {model.num_classes}: the data have {classes} classes"])
    if isinstance(model, Classifier):
        model.scale = scale
    if cfg.weights is not None and checkpoint is None:
        said["weights"] = start_from(model, weights_of(Path(cfg.weights)), cfg.weights)
    if cfg.freeze is not None:
        said["frozen"] = freeze(model, cfg.freeze)
    if checkpoint is not None:
        said["resumed"] = str(checkpoint)
    return model, with_classes(plain_node(cfg.model), classes), said


def layer_rows(model: pl.LightningModule) -> list[LayerRow]:
    """The printed summary of any model."""
    return model.layer_rows if isinstance(model, Classifier) else rows_of(model)


def asked_test(cfg: DictConfig, model: pl.LightningModule) -> str:
    """`once` or `never`: what is to become of the test images, which a model without a `test_step` never reads."""
    asked: str = cfg.test
    return asked if is_overridden("test_step", model) else "never"
