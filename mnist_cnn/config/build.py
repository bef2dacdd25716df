"""The one place that turns a node of the configuration into an object."""

import inspect
from pkgutil import resolve_name
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from mnist_cnn.data.datamodule import MNISTDataModule
from mnist_cnn.models.classifier import Classifier
from mnist_cnn.optim import Schedule


def build(node: Any, **injected: Any) -> Any:
    """Instantiates one configuration node; every `instantiate` of the package goes through here."""
    return instantiate(node, _convert_="all", **injected)


def build_model(cfg: DictConfig) -> Classifier:
    """The net of a configuration with its optimizer and schedule."""
    return build(cfg.model, optimizer=build(cfg.optimizer), scheduler=build_schedule(cfg.scheduler))


def build_data(cfg: DictConfig) -> MNISTDataModule:
    """The images of a configuration with their augmentation."""
    return build(cfg.data, augment=build(cfg.augment) if cfg.augment else None)


def build_schedule(node: Any) -> Schedule | None:
    """The schedule of the group `scheduler`; None where it is empty: a constant rate."""
    if not node:
        return None
    return Schedule(build({k: v for k, v in node.items() if k != "interval"}), node["interval"])


def with_defaults(cfg: DictConfig) -> DictConfig:
    """Writes the options that every net has, where the configuration leaves them out, as `Classifier` has them.

    So config.yaml names every value that a run was made with, whatever becomes of a default.
    """
    model = OmegaConf.select(cfg, "model", throw_on_missing=False)
    if not isinstance(model, DictConfig) or not isinstance(name := model.get("_target_"), str):
        return cfg
    try:
        found = resolve_name(name)
    except Exception:  # validation says what is wrong with it
        return cfg
    if inspect.isclass(found) and issubclass(found, Classifier):
        OmegaConf.set_struct(cfg, False)
        for option, parameter in inspect.signature(Classifier.__init__).parameters.items():
            if isinstance(parameter.default, str | bool | int | float):
                model.setdefault(option, parameter.default)
    return cfg
