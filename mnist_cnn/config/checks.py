"""What only shows when several values are held together, or when the parts are built."""

import importlib.util
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.strategies import SingleDeviceStrategy

from mnist_cnn.config.foreign import Precision
from mnist_cnn.config.instantiate import build, problems_of
from mnist_cnn.config.memory import check_sizes
from mnist_cnn.config.metrics import OURS, try_metrics
from mnist_cnn.config.module import blank_module, is_classifier, try_module
from mnist_cnn.config.place import NETS, net_meant
from mnist_cnn.config.protocol import check_protocol, classes_of, no_validation
from mnist_cnn.config.quiet import quiet_libraries
from mnist_cnn.config.tried import kept_for_a_call
from mnist_cnn.config.tries import try_augmentation, try_callbacks, try_mixed_labels, try_optimizer
from mnist_cnn.errors import ConfigError, nearest
from mnist_cnn.models.layers import CLASSES
from mnist_cnn.values import problem

WORKERS = 16  # processes that load data for one core: more are a slip
OPTIMIZED_BY = ("optimizer", "scheduler")
LOGGER_PACKAGES = {"TensorBoardLogger": "tensorboard", "MLFlowLogger": "mlflow", "WandbLogger": "wandb"}


def check_meaning(tree: dict[str, Any]) -> list[str]:
    """Problems of a tree whose keys, types and ranges are right."""
    problems = _check_monitors(tree) + _check_loggers(tree) + _check_model(tree) + _check_epochs(tree)
    if tree["callbacks"].get("checkpoint") is None and not no_validation(tree):
        problems.append("callbacks.checkpoint: a run without checkpoints can be neither resumed nor evaluated")
    workers, cores = tree["data"].get("num_workers", 0), os.cpu_count() or 1
    if isinstance(workers, int) and workers > WORKERS * cores:
        problems.append(f"data.num_workers = {workers}: more than {WORKERS} for each of the {cores} cores")
    tried = try_module(tree["model"], classes_of(tree["data"])) or check_recipe(Recipe.of(tree))
    return problems + check_protocol(tree) + check_machine(tree["trainer"]) + tried


def _check_monitors(tree: dict[str, Any]) -> list[str]:
    """Is what is watched measured, and in the right direction? A LightningModule's figures show when it trains."""
    if not is_classifier(tree["model"]):
        return [f"metrics.{name}: the model is a LightningModule, which logs its own" for name in tree["metrics"]]
    tried = try_metrics(tree["metrics"], tree["model"].get("num_classes") or classes_of(tree["data"]) or CLASSES)
    problems = [found for each in tried.values() for found in each.problems]
    modes: dict[str, str | None] = {name: "min" if name.endswith("loss") else "max" for name in OURS}
    modes |= {name: each.mode for each in tried.values() for name in each.names}
    monitors = {f"callbacks.{name}": node for name, node in tree["callbacks"].items() if node}
    for path, node in (monitors | {"scheduler": tree["scheduler"]}).items():
        monitor, mode = node.get("monitor"), node.get("mode", "min")
        if monitor is None:
            continue
        if monitor not in modes:
            problems.append(f"{path}.monitor = {monitor!r}: unknown value{nearest(monitor, modes)}")
        elif mode != (right := modes[monitor] or mode):
            problems.append(f"{path}.mode = {mode!r}: with monitor {monitor} it must be {right!r}")
    return problems


def _check_loggers(tree: dict[str, Any]) -> list[str]:
    problems = []
    for name, node in tree["logger"].items():
        package = LOGGER_PACKAGES.get(node["_target_"].rpartition(".")[2]) if node else None
        if package and importlib.util.find_spec(package) is None:
            problems.append(f'logger.{name}: {package} is not installed; pip install "mnist-cnn[{package}]"')
    return problems


def _check_model(tree: dict[str, Any]) -> list[str]:
    problems = []
    given, classes = tree["model"].get("num_classes"), classes_of(tree["data"])
    if None not in (given, classes) and given != classes:
        problems.append(f"model.num_classes = {given}: the data have {classes} classes")
    if tree["weights"] is not None and not Path(tree["weights"]).exists():
        problems.append(f"weights = {tree['weights']!r}: no such run directory or checkpoint")
    loss = tree["model"].get("loss", "cross_entropy")
    problems += _check_teacher(tree["teacher"], loss)
    if loss != "cross_entropy" and tree["model"].get("label_smoothing"):
        problems.append(f"model.label_smoothing: is for cross_entropy; with {_named(loss)} it must be 0")
    if loss != "cross_entropy" and tree["model"].get("class_weights") is not None:
        problems.append(f"model.class_weights: are for cross_entropy; with {_named(loss)} they must be null")
    if tree["trainer"].get("sync_batchnorm") and tree["model"].get("bn_debias"):
        problems.append("trainer.sync_batchnorm: torch's has no bn_debias; it needs model.bn_debias=false")
    return problems


def _check_teacher(teacher: str | list[str] | None, loss: Any) -> list[str]:
    names = [teacher] if isinstance(teacher, str) else teacher or []
    lost = [name for name in names if not (NETS / name).is_dir() and not Path(name).exists()]
    problems = [f"teacher = {name!r}: no such run directory or checkpoint{net_meant(name)}" for name in lost]
    if names and isinstance(loss, dict):
        problems.append(f"teacher: its answers are probabilities; with {_named(loss)} it must be null")
    return problems


def _named(loss: Any) -> str:
    return f"loss {loss['_target_'] if isinstance(loss, dict) else loss}"


def _check_epochs(tree: dict[str, Any]) -> list[str]:
    trainer = tree["trainer"]
    problems = []
    every = trainer.get("check_val_every_n_epoch", 1)
    if (trainer.get("min_epochs") or 0) > trainer["max_epochs"]:
        problems.append(f"trainer.min_epochs = {trainer['min_epochs']}: more than trainer.max_epochs")
    if every > trainer["max_epochs"]:
        problems.append(f"trainer.check_val_every_n_epoch = {every}: more than trainer.max_epochs, so no validation")
    if every > 1 and tree["callbacks"].get("early_stopping"):
        problems.append("trainer.check_val_every_n_epoch: early stopping needs a validation after every epoch")
    return problems


def check_machine(trainer: dict[str, Any]) -> list[str]:
    """What this machine cannot do, and what does not go together in Lightning's own judgement."""
    problems = []
    precision, accelerator = trainer["precision"], trainer["accelerator"]
    has_gpu = torch.cuda.is_available()
    if wrong := problem("trainer.precision", precision, Precision):
        problems.append(wrong)
    if accelerator in ("gpu", "cuda") and not has_gpu:
        problems.append(
            f"trainer.accelerator = {accelerator!r}: this machine has no usable CUDA GPU; use trainer=cpu or auto"
        )
    if precision == "16-mixed" and (accelerator == "cpu" or not has_gpu):
        problems.append("trainer.precision = '16-mixed': needs a CUDA GPU; on a CPU use bf16-mixed or 32-true")
    return problems or _try_trainer(json.dumps(trainer))[0]


def starts_processes(trainer: DictConfig) -> bool:
    """Whether Lightning would start further processes by the command line of this one; of a valid node."""
    return _try_trainer(json.dumps(OmegaConf.to_container(trainer, resolve=True)))[1]


@kept_for_a_call(32)
def _try_trainer(trainer: str) -> tuple[list[str], bool]:
    """What Lightning says of its own accelerators, strategies, profilers and what goes together; once for equal nodes.

    And whether it takes more than one device of one process.
    """
    off = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    try:
        with quiet_libraries():
            made = build(json.loads(trainer), "trainer", **off)
    except ConfigError as error:
        return error.problems, False
    return [], not isinstance(made.strategy, SingleDeviceStrategy)


@dataclass(frozen=True)
class Recipe:
    """What the parts of a training are tried with; the same for all seeds of a sweep."""

    text: str
    tree: dict[str, Any] = field(compare=False)

    @classmethod
    def of(cls, tree: dict[str, Any]) -> "Recipe":
        parts = [tree[key] for key in ("model", "freeze", "augment", "callbacks", "logger", "trainer", *OPTIMIZED_BY)]
        return cls(repr([*parts, classes_of(tree["data"]), tree["data"].get("batch_size")]), tree)


@kept_for_a_call(1024)
def check_recipe(recipe: Recipe) -> list[str]:
    tree = recipe.tree
    try:
        net = blank_module(tree["model"], classes_of(tree["data"]), tree["freeze"])
    except ConfigError as error:
        return error.problems
    if net is not None and (problems := check_sizes(tree["model"], net, tree["data"].get("batch_size", 1))):
        return problems
    problems = try_augmentation(tree["augment"]) or try_mixed_labels(tree["augment"], tree["model"])
    problems = problems + try_callbacks(tree, net)
    return problems + (problems_of(try_optimizer, tree, net) if is_classifier(tree["model"]) else [])
