"""Validation of a composed configuration: keys, types and ranges, before anything is built or written.

All problems are reported at once. A node with a `_target_` is held against the signature of its target; what only shows
when values are held together is in `config.checks`.
"""

from collections.abc import Collection, Iterator
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException
from pytorch_lightning.loggers import Logger

from mnist_cnn.config.checks import check_machine, check_meaning
from mnist_cnn.config.metrics import check_metrics
from mnist_cnn.config.module import check_module, try_module
from mnist_cnn.config.protocol import own_module_elsewhere
from mnist_cnn.config.signatures import check_keys, check_node
from mnist_cnn.errors import ConfigError, closest, nearest
from mnist_cnn.speed.measures import Speed
from mnist_cnn.values import Count, PathName, Positive, Seed, Some, Unit, problem

ROOT_KEYS: dict[str, Any] = {
    "seed": Seed,
    "test": Literal["auto", "once", "never"],  # the first is settled before
    "test_weights": Literal["best", "last"],
    "resume": PathName | None,
    "run_root": PathName,
    "figures": bool,
    "threads": Literal["auto"] | Count,
    "jobs": Literal["auto"] | Count,
    "bad_jobs": Literal["refuse", "skip"],
    "rehearse": bool,
    "detach": bool,
    "learning_rates": dict,
    "metrics": dict,
    "weights": PathName | None,
    "freeze": list[str] | None,
    "teacher": PathName | Some[PathName] | None,
    "teacher_share": Unit,
    "teacher_temperature": Positive,
}
# What a group's `_target_` must be: a configuration file that came with a run cannot name anything else to be called.
GROUPS: dict[str, type | None] = {
    "model": pl.LightningModule,  # or a net; `config.module`
    "optimizer": torch.optim.Optimizer,
    "scheduler": None,  # a scheduler class or a function that makes one: takes an `optimizer`
    "data": pl.LightningDataModule,
    "augment": object,  # any class or function of images
    "trainer": pl.Trainer,
    "callbacks": pl.Callback,
    "logger": Logger,
    "speed": Speed,
}
MAY_BE_EMPTY = ("scheduler", "augment")
OPEN = ("optimizer", "scheduler", "augment")  # have a file `any` without settings of its own
NAMED = ("callbacks", "logger")  # a node for each name


def validate(cfg: DictConfig) -> None:
    """Checks a composed configuration.

    Raises:
        ConfigError: with every problem found.
    """
    problems = find_problems(cfg)
    if problems:
        raise ConfigError(problems)


def find_problems(
    cfg: DictConfig, further: Collection[str] = (), optimizers: Collection[str] | None = None
) -> list[str]:
    """Everything that is wrong with a configuration, a line each.

    Args:
        further: names that the caller knows beside those of the root; one of them may have been meant.
        optimizers: the files there are for the group, which `learning_rates` may name; None if nobody knows.
    """
    try:
        tree = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        return [f"{error.full_key}: missing"]
    except OmegaConfBaseException as error:
        return [f"{error.full_key}: {str(error).splitlines()[0]}" if error.full_key else str(error).splitlines()[0]]
    assert isinstance(tree, dict)
    return _check_tree({str(key): value for key, value in tree.items()}, further, optimizers)


def problems_to_evaluate(cfg: DictConfig) -> list[str]:
    """What keeps a saved run from being evaluated here; its loggers and callbacks need not be there any more."""
    tree: Any = OmegaConf.to_container(cfg, resolve=True)
    problems = check_module(tree["model"])
    problems += [wrong for group in ("data", "trainer") for wrong in check_node(tree[group], group, GROUPS[group])]
    return problems or check_machine(tree["trainer"]) + try_module(tree["model"], None)


def _check_tree(tree: dict[str, Any], further: Collection[str], optimizers: Collection[str] | None) -> list[str]:
    keys = ROOT_KEYS | dict.fromkeys(GROUPS, dict)
    problems = check_keys(tree, keys, "", open_ended=True) + [f"{key}: missing" for key in keys if key not in tree]
    problems += [f"{key}: unknown key{_meant(key, tree, [*keys, *further])}" for key in tree if key not in keys]
    if any(not isinstance(tree.get(key), dict) for key, hint in keys.items() if hint is dict):
        return problems  # the rest reads into these
    for group, base in GROUPS.items():
        if group in NAMED:
            nodes = {f"{group}.{name}": node for name, node in tree[group].items() if node is not None}
        else:
            nodes = {group: tree[group]} if tree[group] or group not in MAY_BE_EMPTY else {}
        for path, node in nodes.items():
            misplaced = own_module_elsewhere(node) if group == "data" else []
            found = check_module(node) if group == "model" else check_node(node, path, base)
            problems += misplaced or _of_another_file(group, found)
    problems += check_metrics(tree["metrics"])
    for name, rate in tree["learning_rates"].items():
        path = f"learning_rates.{name}"
        if optimizers is not None and name not in optimizers:
            problems.append(f"{path}: unknown optimizer{nearest(name, optimizers, 'learning_rates.')}")
        elif wrong := problem(path, rate, Positive):
            problems.append(wrong)
    return problems or check_meaning(tree)


def _of_another_file(group: str, problems: list[str]) -> list[str]:
    """Several unknown keys in one line: another target was named without leaving the file that has them."""
    unknown = [text.partition(":")[0] for text in problems if ": unknown key" in text]
    if group not in OPEN or len(unknown) < 2:
        return problems
    hint = f"unknown keys, perhaps of the file chosen before; begin with {group}=any {group}._target_=..."
    return [f"{', '.join(unknown)}: {hint}", *(text for text in problems if ": unknown key" not in text)]


def _meant(name: str, tree: dict[str, Any], roots: list[str]) -> str:
    """The end of a message about an unknown name: a key of the root or, anywhere in the tree, one that ends like it."""
    places: dict[str, list[str]] = {}
    for path in _paths({key: node for key, node in tree.items() if key in roots}):
        places.setdefault(path.rpartition(".")[2], []).append(path)
    near = name if name in places else closest(name, roots, cutoff=0.6) or closest(name, places, cutoff=0.6)
    if near is None:
        return f"; allowed: {', '.join(sorted(roots))}"
    return f"; did you mean {' or '.join(map(repr, [near] if near in roots else places[near]))}?"


def _paths(tree: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in tree.items():
        yield f"{prefix}{key}"
        if isinstance(value, dict):
            yield from _paths(value, f"{prefix}{key}.")
