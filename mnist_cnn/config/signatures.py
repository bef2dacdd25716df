"""Holds a node of the configuration against the signature of the function or class that it names."""

import functools
import importlib
import importlib.util
import inspect
import typing
from pkgutil import resolve_name
from typing import Any, Literal

import pytorch_lightning as pl
import torch

from mnist_cnn.errors import nearest
from mnist_cnn.values import Count, NotNegative, Positive, Share, problem

# Passed in code, so a configuration neither needs nor may set them.
INJECTED = {
    "optimizer": {"params"},
    "scheduler": {"optimizer", "total_steps"},
    "model": {"optimizer", "scheduler"},
    "data": {"augment"},
    "callbacks": {"dirpath"},
    "trainer": {
        "callbacks",
        "logger",
        "plugins",
        "default_root_dir",
        "enable_progress_bar",
        "enable_model_summary",
        "enable_checkpointing",
        "fast_dev_run",  # fast_dev_run: debug=one_batch does it with checkpoint and report
    },
}
# Filled in code where the configuration leaves it out.
FILLED = {"logger": {"save_dir"}}
# Keys that the package reads before the target sees the node.
OWN_KEYS = {"scheduler": {"interval": Literal["epoch", "step"]}}
Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
# What other people's signatures do not say and their classes do not refuse in a line; all else is theirs to judge.
RANGES: dict[type, dict[str, Any]] = {
    torch.optim.Optimizer: {
        "lr": Positive,
        "weight_decay": NotNegative,
        "momentum": Share,
        "alpha": Share,
        "eps": Positive | list | None,  # Adafactor has two
    },
    torch.optim.Adam: {"betas": tuple[Share, Share]},
    torch.optim.lr_scheduler.LRScheduler: {"step_size": Count, "gamma": Positive},
    pl.callbacks.EarlyStopping: {"patience": Count, "min_delta": NotNegative},
    pl.callbacks.EMAWeightAveraging: {"decay": Share},
    pl.Trainer: {
        "precision": Precision,
        "max_epochs": Count,
        "gradient_clip_val": Positive | None,
        "accumulate_grad_batches": Count,
        "check_val_every_n_epoch": Count,
        "limit_train_batches": Positive | None,
        "limit_val_batches": Positive | None,
        "limit_test_batches": Positive | None,
    },
}


def check_node(node: Any, path: str, base: type | None) -> list[str]:
    """Problems of a node with a `_target_`, which must be a subclass of `base`, or take an `optimizer` if None."""
    if not isinstance(node, dict) or "_target_" not in node:
        return [f"{path}: must be a mapping with a _target_, found {node!r}"]
    group, name = path.split(".")[0], node["_target_"]
    target, wrong = locate(name, path)
    if target is None:
        return [wrong]
    if base is not None and not (inspect.isclass(target) and issubclass(target, base)):
        return [f"{path}._target_ = {name!r}: must be a {base.__name__}"]
    allowed, required, open_ended = arguments(target)
    if base is None and "optimizer" not in allowed:
        return [f"{path}._target_ = {name!r}: must take an optimizer"]
    hidden, own = INJECTED.get(group, set()), OWN_KEYS.get(group, {})
    allowed, required = {k: v for k, v in allowed.items() if k not in hidden} | own, required | set(own)
    given = {k: v for k, v in node.items() if k not in ("_target_", "_partial_")}
    problems = check_keys(given, allowed, f"{path}.", open_ended)
    return problems + [
        f"{path}.{k}: missing" for k in sorted(required - hidden - FILLED.get(group, set()) - set(given))
    ]


def check_keys(given: dict[str, Any], allowed: dict[str, Any], prefix: str, open_ended: bool = False) -> list[str]:
    """Unknown keys, and values that are not of their key's type or range."""
    problems = []
    for key, value in given.items():
        path = f"{prefix}{key}"
        if key in allowed:
            problems += [wrong] if (wrong := problem(path, value, allowed[key])) else []
        elif not open_ended:
            problems.append(f"{path}: unknown key{nearest(key, allowed, prefix)}")
    return problems


def locate(name: Any, path: str) -> tuple[Any, str]:
    """The object of a dotted name, or None and what is wrong with the name."""
    if not isinstance(name, str) or not name:
        return None, f"{path}._target_ = {name!r}: must be the dotted name of a class or function"
    top = name.split(".")[0]
    if importlib.util.find_spec(top) is None:
        return None, f"{path}._target_: no package named {top!r} is installed"
    try:
        return resolve_name(name), ""
    except Exception:
        module, _, leaf = name.rpartition(".")
        try:
            near = [n for n in dir(importlib.import_module(module)) if not n.startswith("_")]
        except ImportError:
            near = []
        return None, f"{path}._target_: cannot import {name}{nearest(leaf, near)}"


@functools.cache
def arguments(target: Any) -> tuple[dict[str, Any], set[str], bool]:
    """Arguments by name with their type, the required ones, and whether any other is accepted.

    A `**options` of a class stands for the arguments of its base class, as in jsonargparse.
    """
    allowed: dict[str, Any] = {}
    required: set[str] = set()
    classes = inspect.getmro(target) if inspect.isclass(target) else (target,)
    open_ended = True
    makers = [c for c in classes if not inspect.isclass(c) or "__init__" in vars(c)]
    for owner in makers:
        function = owner.__init__ if inspect.isclass(owner) else owner
        try:
            hints = typing.get_type_hints(function, include_extras=True)
        except Exception:  # names that only exist while type checking
            hints = {}
        open_ended = False
        for name, parameter in inspect.signature(function).parameters.items():
            if name == "self" or parameter.kind is parameter.VAR_POSITIONAL:
                continue
            if parameter.kind is parameter.VAR_KEYWORD:
                open_ended = True
                continue
            allowed.setdefault(name, hints.get(name, Any))
            if parameter.default is parameter.empty and owner is makers[0]:
                required.add(name)
        if not open_ended:
            break
    ranges = [found for base, found in RANGES.items() if base in classes]
    for found in ranges:
        allowed |= {name: hint for name, hint in found.items() if name in allowed}
    return allowed, required, open_ended
