"""The one place that turns a node of the configuration into an object."""

from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf
from torchmetrics import Metric

from mnist_cnn.config.instantiate import build as build
from mnist_cnn.config.metrics import metric_node
from mnist_cnn.config.module import build_module, own_options, plain_node
from mnist_cnn.config.protocol import data_class, settle_protocol
from mnist_cnn.config.recipe import build_optimizer, build_schedule
from mnist_cnn.data.adopted import AdoptedDataModule, adopt
from mnist_cnn.data.base import ImageDataModule
from mnist_cnn.models.classifier import Classifier

DataModule = ImageDataModule | AdoptedDataModule


def build_model(cfg: DictConfig, classes: int | None = None) -> pl.LightningModule:
    """The model of a configuration with its optimizer, schedule and metrics; a LightningModule brings its own.

    Args:
        classes: of the data; None for 10.
    """
    parts = {"optimizer": build_optimizer(cfg.optimizer), "scheduler": build_schedule(cfg.scheduler)}
    model = build_module(plain_node(cfg.model), classes, **parts)
    if isinstance(model, Classifier):
        model.watch(build_metrics(plain_node(cfg.metrics), model.num_classes))
    return model


def build_metrics(nodes: Any, classes: int) -> dict[str, Metric]:
    """The group `metrics` by name."""
    given = {name: node for name, node in nodes.items() if node is not None}
    return {name: build(metric_node(node, classes), f"metrics.{name}") for name, node in given.items()}


def build_data(cfg: DictConfig, training: bool = True) -> DataModule:
    """The images of a configuration with their augmentation, which only training needs."""
    augment = build(cfg.augment, "augment") if training and cfg.augment else None
    target = data_class(cfg.data)
    if target is not None and issubclass(target, ImageDataModule):
        return build(cfg.data, "data", augment=augment)
    return adopt(build(cfg.data, "data"), augment, cfg.seed)


def with_defaults(cfg: DictConfig) -> DictConfig:
    """Writes the options that every net has, where the configuration leaves them out, as `Classifier` has them.

    So config.yaml names every value that a run was made with, whatever becomes of a default.
    """
    settle_protocol(cfg)
    model = OmegaConf.select(cfg, "model", throw_on_missing=False)
    if not isinstance(model, DictConfig) or (options := own_options(model.get("_target_"))) is None:
        return cfg
    OmegaConf.set_struct(cfg, False)
    for option, default in options.items():
        if isinstance(default, str | bool | int | float):
            model.setdefault(option, default)
    return cfg
