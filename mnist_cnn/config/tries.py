"""Builds the parts of a recipe without training: their own classes know best what they refuse."""

import inspect
import json
import warnings
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.seed import isolate_rng
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from mnist_cnn.config.instantiate import build, named, problems_of
from mnist_cnn.config.module import loss_alone
from mnist_cnn.config.quiet import quiet_libraries
from mnist_cnn.config.recipe import build_optimizer, build_schedule, offered
from mnist_cnn.config.signatures import arguments, check_parts, locate
from mnist_cnn.config.tried import kept_for_a_call
from mnist_cnn.data.augment import Augmentation
from mnist_cnn.errors import ConfigError
from mnist_cnn.models.layers import CLASSES
from mnist_cnn.optim import EpochAveraging, spans_run

TRIED_STEPS = 100  # length of a schedule that is only tried
TRIED_IMAGES = 16


def try_optimizer(tree: dict[str, Any], net: torch.nn.Module | None) -> list[str]:
    """Problems of optimizer and schedule for the parameters of a net.

    Args:
        net: None where it cannot be built beforehand: tried on those of a convolution.
    """
    node = tree["optimizer"]
    tried = net if net is not None else torch.nn.Conv2d(1, 1, 3)
    if net is None:
        node = {key: value for key, value in node.items() if key != "parts"}
    advice = " (optimizer=muon also takes convolutions and biases)" if node["_target_"] == "torch.optim.Muon" else ""
    with named("optimizer", node, lambda words: advice):
        optimizer = build_optimizer(node)(tried.named_parameters())
    if problems := _check_made(node, optimizer):
        return problems
    schedule = build_schedule(tree["scheduler"])
    if schedule is None:
        return []
    if schedule.interval == "epoch" and "total_steps" in inspect.signature(schedule.factory).parameters:
        return ["scheduler.interval = 'epoch': this schedule counts steps; it must be 'step'"]
    with named("scheduler", tree["scheduler"]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no step of the optimizer comes before it
        made = schedule.build(optimizer, TRIED_STEPS)["scheduler"]
        if problems := _check_schedule(tree, made, spans_run(schedule.factory)):
            return problems
        made.step(*([0.0] if isinstance(made, ReduceLROnPlateau) else []))
    return []


def _check_made(node: dict[str, Any], made: Any) -> list[str]:
    """What only the optimizer itself tells where a function makes it; the keys of a class are checked before."""
    target = locate(node["_target_"], "optimizer")[0]
    if not isinstance(made, torch.optim.Optimizer):
        return [f"optimizer._target_ = {node['_target_']!r}: makes a {type(made).__name__}, no optimizer of PyTorch's"]
    if inspect.isclass(target):
        return []
    options = dict.fromkeys(made.defaults, Any) | {k: v for k, v in arguments(target)[0].items() if k in made.defaults}
    return check_parts(node, options, lacks="makes one without")


def _check_schedule(tree: dict[str, Any], made: Any, spans: bool) -> list[str]:
    node, every = tree["scheduler"], tree["trainer"].get("check_val_every_n_epoch", 1)
    if not isinstance(made, LRScheduler):
        return [f"scheduler._target_ = {node['_target_']!r}: makes a {type(made).__name__}, no schedule of PyTorch's"]
    if not isinstance(made, ReduceLROnPlateau):
        if "monitor" in node:
            return ["scheduler.monitor: only ReduceLROnPlateau follows a figure"]
        varying = [
            n for n, c in tree["callbacks"].items() if c and c["_target_"].endswith("GradientAccumulationScheduler")
        ]
        if spans and node["interval"] == "step" and varying:
            return [f"callbacks.{varying[0]}: with it nobody knows the number of steps that the schedule spans"]
        return []
    if node["interval"] == "step":
        return ["scheduler.interval = 'step': ReduceLROnPlateau follows a figure of whole epochs; it must be 'epoch'"]
    if node.get("monitor", "val/loss").startswith("val/") and node.get("frequency", 1) % every:
        return [f"scheduler.frequency: must be a multiple of trainer.check_val_every_n_epoch = {every}"]
    return []


def try_augmentation(node: dict[str, Any]) -> list[str]:
    """Problems of an augmentation, tried on a few images."""
    return _try_augmentation(json.dumps(node)) if node else []


@kept_for_a_call(64)
def _try_augmentation(text: str) -> list[str]:
    return problems_of(_augment, json.loads(text))


def _augment(node: dict[str, Any]) -> None:
    with named("augment", node), isolate_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the training will say them
        torch.manual_seed(0)
        images = torch.rand(TRIED_IMAGES, 1, 28, 28)
        Augmentation(build(node, "augment"))(images, torch.arange(TRIED_IMAGES) % 2)


def try_mixed_labels(augment: dict[str, Any], model: dict[str, Any]) -> list[str]:
    """MixUp and CutMix under a loss that takes no mixed labels."""
    if not isinstance(model.get("loss"), dict) or not Augmentation(build(augment, "augment")).mixes:
        return []
    try:
        loss_alone(model)(torch.zeros(2, CLASSES), torch.full((2, CLASSES), 1 / CLASSES))
    except Exception:
        return [
            f"augment: MixUp and CutMix make labels (N, classes) of probabilities, which {model['loss']['_target_']} "
            "does not take"
        ]
    return []


def try_callbacks(tree: dict[str, Any], net: torch.nn.Module | None) -> list[str]:
    """Problems of the callbacks: what their own constructors refuse, and what they need beside them."""
    problems, made = [], {}
    logs = any(tree["logger"].values())
    for name, node in tree["callbacks"].items():
        if node is None:
            continue
        path = f"callbacks.{name}"
        target = locate(node["_target_"], path)[0]
        needs_logger = (
            pl.callbacks.LearningRateMonitor,
            pl.callbacks.DeviceStatsMonitor,
            pl.callbacks.ThroughputMonitor,
        )
        if not logs and inspect.isclass(target) and issubclass(target, needs_logger):
            problems.append(f"{path}: needs a logger, e.g. logger=tensorboard")
            continue
        try:
            with quiet_libraries():
                made[path] = offered(node, path, dirpath="checkpoints")
        except ConfigError as error:
            problems += error.problems
            continue
        if isinstance(made[path], pl.callbacks.BackboneFinetuning) and not hasattr(net, "backbone"):
            problems.append(f"{path}: needs a model with a `backbone`")
        last = tree["trainer"]["max_epochs"] - 1
        if isinstance(made[path], EpochAveraging) and made[path].from_epoch > last:
            problems.append(f"{path}.from_epoch = {made[path].from_epoch}: the last epoch is {last}, counted from 0")
    keys: dict[str, str] = {}
    for path, callback in made.items():
        if type(callback).state_dict is not pl.Callback.state_dict and callback.state_key in keys:
            problems.append(
                f"{path}: the same as {keys[callback.state_key]}; a checkpoint can tell them apart only by "
                "their arguments"
            )
        keys[callback.state_key] = path
    return problems
