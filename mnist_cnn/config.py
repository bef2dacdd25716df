"""Validation of a composed configuration, and the one helper that instantiates parts of it.

Every check runs before data or model are built and reports all problems at once. A node with a `_target_` is held
against the signature of its target: unknown keys, missing arguments, types, then value ranges.
"""

import importlib.util
import math
import typing
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pytorch_lightning.loggers import Logger

from mnist_cnn.data.source import PACKAGES
from mnist_cnn.errors import ConfigError, LayerError
from mnist_cnn.models.classifier import Classifier, spans_run
from mnist_cnn.signatures import check_keys, check_node, fits, unknown
from mnist_cnn.speed import Speed

ROOT_KEYS: dict[str, Any] = {
    "seed": int,
    "test_weights": typing.Literal["best", "last"],
    "resume": str | None,
    "run_root": str,
    "figures": bool,
    "jobs": typing.Literal["auto"] | int,
    "bad_jobs": typing.Literal["refuse", "skip"],
    "learning_rates": dict,
    "model": dict,
    "optimizer": dict,
    "scheduler": dict,
    "data": dict,
    "augment": dict,
    "trainer": dict,
    "callbacks": dict,
    "logger": dict,
    "speed": dict,
}
# What a group's `_target_` must be: a configuration file that came with a run cannot name anything else to be called.
BASES: dict[str, type | None] = {
    "model": Classifier,
    "optimizer": torch.optim.Optimizer,
    "scheduler": None,  # a scheduler class or a function that makes one: takes an `optimizer`
    "data": pl.LightningDataModule,
    "augment": torch.nn.Module,
    "trainer": pl.Trainer,
    "callbacks": pl.Callback,
    "logger": Logger,
    "speed": Speed,
}
METRICS = ["train/loss", "train/acc", "val/loss", "val/acc"]
OPTIMIZERS = ["adadelta", "adagrad", "adam", "adamw", "rmsprop", "sgd"]
LOGGER_PACKAGES = {"TensorBoardLogger": "tensorboard", "MLFlowLogger": "mlflow", "WandbLogger": "wandb"}
PRECISIONS = ["32-true", "bf16-mixed", "16-mixed"]


def build(node: Any, **injected: Any) -> Any:
    """Instantiates one configuration node; every `instantiate` of the package goes through here."""
    return instantiate(node, _convert_="all", **injected)


def validate(cfg: DictConfig) -> None:
    """Checks a composed configuration.

    Raises:
        ConfigError: with every problem found.
    """
    problems = find_problems(cfg)
    if problems:
        raise ConfigError(problems)


def find_problems(cfg: DictConfig) -> list[str]:
    try:
        tree = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        return [str(error).splitlines()[0]]
    assert isinstance(tree, dict)
    return _check_tree({str(key): value for key, value in tree.items()})


def problems_to_evaluate(cfg: DictConfig) -> list[str]:
    """What keeps a saved run from being evaluated here; its loggers and callbacks need not be there any more."""
    tree: Any = OmegaConf.to_container(cfg, resolve=True)
    problems = [problem for group in ("model", "data") for problem in check_node(tree[group], group, BASES[group])]
    plain = {key: tree["trainer"][key] for key in ("_target_", "accelerator", "precision")}
    return problems or _check_machine(plain) + _check_layers(tree["model"])


def _check_tree(tree: dict[str, Any]) -> list[str]:
    problems = check_keys(tree, ROOT_KEYS, "") + [f"{key}: missing" for key in ROOT_KEYS if key not in tree]
    if any(not isinstance(tree.get(key), dict) for key, hint in ROOT_KEYS.items() if hint is dict):
        return problems  # the rest reads into these
    for group, base in BASES.items():
        if group in ("callbacks", "logger"):
            nodes = {f"{group}.{name}": node for name, node in tree[group].items() if node is not None}
        else:
            nodes = {group: tree[group]} if tree[group] or group not in ("scheduler", "augment") else {}
        for path, node in nodes.items():
            problems += check_node(node, path, base)
    for name, rate in tree["learning_rates"].items():
        if name not in OPTIMIZERS:
            problems.append(unknown(f"learning_rates.{name}", name, OPTIMIZERS, "unknown optimizer", "learning_rates."))
        elif not fits(rate, float) or not 0 < rate < math.inf:
            problems.append(f"learning_rates.{name} = {rate!r}: must be a number > 0")
    return problems or _check_meaning(tree)


def _check_meaning(tree: dict[str, Any]) -> list[str]:
    """What only shows when several values are held together."""
    problems = []
    monitors = {f"callbacks.{k}": v for k, v in tree["callbacks"].items() if v} | {"scheduler": tree["scheduler"]}
    for path, node in monitors.items():
        monitor, mode = node.get("monitor"), node.get("mode")
        if monitor is None:
            continue
        if monitor not in METRICS:
            problems.append(unknown(f"{path}.monitor", monitor, METRICS))
        elif mode != (right := "min" if monitor.endswith("loss") else "max"):
            problems.append(f"{path}.mode = {mode!r}: with monitor {monitor} it must be {right!r}")
    for name, node in tree["logger"].items():
        package = LOGGER_PACKAGES.get(node["_target_"].rpartition(".")[2]) if node else None
        if package and importlib.util.find_spec(package) is None:
            problems.append(f'logger.{name}: {package} is not installed; pip install "mnist-cnn[{package}]"')
    if tree["callbacks"].get("lr_monitor") and not any(tree["logger"].values()):
        problems.append(
            "callbacks.lr_monitor: needs a logger, e.g. logger=tensorboard (metrics.csv has the rate anyway)"
        )
    if tree["model"].get("loss") == "mse" and tree["model"].get("label_smoothing"):
        problems.append("model.label_smoothing: is for cross_entropy; with loss mse it must be 0")
    if tree["trainer"].get("sync_batchnorm") and tree["model"].get("bn_debias"):
        problems.append("trainer.sync_batchnorm: torch's has no bn_debias; it needs model.bn_debias=false")
    if tree["callbacks"].get("checkpoint") is None:
        problems.append("callbacks.checkpoint: a run without checkpoints can be neither resumed nor evaluated")
    trainer, scheduler = tree["trainer"], tree["scheduler"]
    if trainer["max_epochs"] is None:
        return [*problems, "trainer.max_epochs = None: must be a whole number >= 1"]
    every = trainer.get("check_val_every_n_epoch", 1)
    if every > trainer["max_epochs"]:
        problems.append(f"trainer.check_val_every_n_epoch = {every}: more than trainer.max_epochs, so no validation")
    if every > 1 and tree["callbacks"].get("early_stopping"):
        problems.append("trainer.check_val_every_n_epoch: early stopping needs a validation after every epoch")
    if scheduler and scheduler["interval"] == "epoch" and spans_run(get_object(scheduler["_target_"])):
        problems.append("scheduler.interval = 'epoch': this schedule counts steps; it must be 'step'")
    if tree["data"]["md5"] is not None and tree["data"]["dataset"] not in PACKAGES:
        problems.append(unknown("data.dataset", tree["data"]["dataset"], PACKAGES) + " (any name with data=custom)")
    return problems + _check_machine(tree["trainer"]) + _check_layers(tree["model"])


def _check_machine(trainer: dict[str, Any]) -> list[str]:
    problems = []
    precision, accelerator = trainer["precision"], trainer["accelerator"]
    has_gpu = torch.cuda.is_available()
    if precision not in PRECISIONS:
        problems.append(unknown("trainer.precision", precision, PRECISIONS))
    if accelerator in ("gpu", "cuda") and not has_gpu:
        problems.append("trainer.accelerator = 'gpu': this machine has no usable CUDA GPU; use trainer=cpu or auto")
    if precision == "16-mixed" and (accelerator == "cpu" or not has_gpu):
        problems.append("trainer.precision = '16-mixed': needs a CUDA GPU; on a CPU use bf16-mixed or 32-true")
    if problems:
        return problems
    try:  # Lightning knows its own accelerators, strategies, profilers and what goes together
        build(trainer, logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False)
    except Exception as error:
        return [f"trainer: {str(error.__cause__ or error).splitlines()[0]}"]
    return []


def _check_layers(model: dict[str, Any]) -> list[str]:
    try:
        with torch.device("meta"):  # shapes only: no memory, no random numbers
            build(model)
    except Exception as error:
        cause = error.__cause__ or error
        if isinstance(cause, LayerError):
            return [f"model: {cause}"]
        return [f"model: {str(cause).splitlines()[0]}"]
    return []
