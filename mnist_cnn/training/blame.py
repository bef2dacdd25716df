"""Whose fault is it? The key of a configuration that an error in the middle of a training belongs to."""

import traceback
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import Logger
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torchmetrics import Metric

from mnist_cnn.config.refusal import refusal
from mnist_cnn.config.signatures import locate
from mnist_cnn.data.augment import Augmentation
from mnist_cnn.errors import ConfigError, ForeignError, UserError, is_ours

PARTS: dict[str, type] = {
    "callbacks": pl.Callback, "logger": Logger, "metrics": Metric, "optimizer": Optimizer, "scheduler": LRScheduler,
    "data": pl.LightningDataModule, "augment": Augmentation, "trainer": pl.Trainer,
}  # fmt: skip


def tell(error: Exception, cfg: DictConfig) -> None:
    """Raises what the error says of the part of the configuration that it comes from."""
    cause = error.__cause__ if isinstance(error, ForeignError) and error.__cause__ is not None else error
    if isinstance(cause, UserError) or is_ours(cause):
        raise cause
    key, node = _part(cause, cfg)
    raise ConfigError([refusal(key, node, cause)]) from error


def _part(error: BaseException, cfg: DictConfig) -> tuple[str, dict[str, Any]]:
    """The key of the innermost object that was at work, with its node."""
    tree: Any = OmegaConf.to_container(cfg, resolve=True)
    for frame, _ in reversed(list(traceback.walk_tb(error.__traceback__))):
        found = frame.f_locals.get("self")
        for group, kind in PARTS.items():
            if not isinstance(found, kind) or not tree[group]:
                continue
            if "_target_" in tree[group]:
                return group, tree[group]
            named = {name: node for name, node in tree[group].items() if node and _made(node, found)}
            if named:
                name, node = next(iter(named.items()))
                return f"{group}.{name}", node
        if isinstance(found, torch.nn.Module):
            return "model", tree["model"]
    return "trainer", tree["trainer"]


def _made(node: dict[str, Any], found: Any) -> bool:
    target = locate(node["_target_"], "")[0]
    return isinstance(target, type) and isinstance(found, target)
