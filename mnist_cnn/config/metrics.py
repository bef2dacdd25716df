"""The group `metrics`: figures of torchmetrics, or of somebody's own class, beside loss and accuracy."""

import inspect
import json
import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torchmetrics import Metric

from mnist_cnn.config.instantiate import build, named
from mnist_cnn.config.signatures import check_node, locate
from mnist_cnn.config.tried import kept_for_a_call
from mnist_cnn.errors import ConfigError
from mnist_cnn.models.layers import CLASSES
from mnist_cnn.models.metrics import columns

OURS = ["train/loss", "train/acc", "val/loss", "val/acc"]
TAKEN = ("loss", "acc")


@dataclass(frozen=True)
class Tried:
    """What a metric gives.

    Args:
        names: as a monitor has them: `val/f1`, or `val/f1_0` and so on.
        mode: `max` or `min`, what is better; None where the metric does not say.
        problems: why it cannot be used.
    """

    names: list[str]
    mode: str | None
    problems: list[str]


def metric_node(node: dict[str, Any], classes: int) -> dict[str, Any]:
    """The node with the number of classes and the task, where the metric takes them and the node says nothing."""
    target, _ = locate(node.get("_target_"), "metrics")
    try:
        takes = inspect.signature(target).parameters
    except (TypeError, ValueError):
        return node
    known = {"num_classes": classes, "task": "multiclass"}
    return {key: value for key, value in known.items() if key in takes} | node


def check_metrics(nodes: dict[str, Any]) -> list[str]:
    """Problems of the group's names, targets and keys; nothing is called."""
    problems = []
    for name, node in nodes.items():
        if not name.isidentifier() or name in TAKEN:
            problems.append(f"metrics.{name}: needs a plain name other than {' and '.join(TAKEN)}")
        elif node is not None:
            filled = metric_node(node, CLASSES) if isinstance(node, dict) else node
            problems += check_node(filled, f"metrics.{name}", Metric)
    return problems


def try_metrics(nodes: dict[str, Any], classes: int) -> dict[str, Tried]:
    """Every metric of a checked group, tried on two made-up predictions per class."""
    return {name: _try(name, json.dumps(node), classes) for name, node in nodes.items() if node is not None}


def monitors(tree: Any) -> dict[str, str]:
    """The figures that callbacks and the schedule follow, by the path of who does."""
    nodes = {f"callbacks.{name}": node for name, node in tree["callbacks"].items()} | {"scheduler": tree["scheduler"]}
    return {path: node["monitor"] for path, node in nodes.items() if node and node.get("monitor") is not None}


@kept_for_a_call(64)
def _try(name: str, node: str, classes: int) -> Tried:
    random = torch.Generator().manual_seed(0)
    probabilities = torch.rand(2 * classes, classes, generator=random).softmax(1)
    try:
        with warnings.catch_warnings(), named(f"metrics.{name}", tree := json.loads(node)):
            warnings.simplefilter("ignore")  # of so few predictions
            metric = build(metric_node(tree, classes), f"metrics.{name}")
            metric.update(probabilities, torch.arange(classes).repeat(2))
            names = list(columns(f"val/{name}", metric.compute()))
    except ConfigError as error:
        return Tried([], None, error.problems)
    mode = {True: "max", False: "min"}.get(metric.higher_is_better)
    return Tried(names, mode, [])
