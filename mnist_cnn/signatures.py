"""Holds plain YAML values against the signature of the function or class that they are meant for."""

import difflib
import importlib
import importlib.util
import inspect
import math
import types
import typing
from collections.abc import Callable, Iterable
from typing import Any

from hydra.utils import get_object

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
OWN_KEYS = {"scheduler": {"interval": typing.Literal["epoch", "step"]}}

Rule = tuple[str, Callable[[Any], bool]]
POSITIVE: Rule = ("> 0", lambda v: v > 0)
NOT_NEGATIVE: Rule = (">= 0", lambda v: v >= 0)
COUNT: Rule = (">= 1", lambda v: v >= 1)
SHARE: Rule = ("in [0, 1)", lambda v: 0 <= v < 1)
UNIT: Rule = ("in [0, 1]", lambda v: 0 <= v <= 1)
# What the signatures cannot say, by the last part of the key.
RANGES: dict[str, Rule] = {
    "lr": POSITIVE, "eps": POSITIVE, "bn_eps": POSITIVE, "weight_decay": NOT_NEGATIVE, "momentum": SHARE,
    "rho": UNIT, "alpha": UNIT, "decay": NOT_NEGATIVE, "rate": POSITIVE, "decay_steps": COUNT, "gamma": POSITIVE,
    "step_size": COUNT, "restart_every": COUNT, "warmup_fraction": SHARE, "final_factor": UNIT,
    "start_factor": ("in (0, 1]", lambda v: 0 < v <= 1),
    "betas": ("two numbers in [0, 1)", lambda v: len(v) == 2 and all(0 <= b < 1 for b in v)),
    "dropout": SHARE, "label_smoothing": SHARE, "bn_momentum": ("in (0, 1]", lambda v: 0 < v <= 1),
    "batch_size": COUNT, "eval_batch_size": COUNT, "validation_size": COUNT, "num_workers": NOT_NEGATIVE,
    "split_seed": NOT_NEGATIVE, "seed": ("in [0, 2**32)", lambda v: 0 <= v < 2**32),
    "limit_train": COUNT, "limit_val": COUNT, "limit_test": COUNT, "divide_by": POSITIVE,
    "degrees": ("in [0, 180]", lambda v: 0 <= v <= 180), "translate": UNIT, "scale": NOT_NEGATIVE,
    "shear": ("in [0, 90)", lambda v: 0 <= v < 90),
    "jobs": COUNT, "max_epochs": COUNT, "gradient_clip_val": POSITIVE, "patience": COUNT, "min_delta": NOT_NEGATIVE,
    "check_val_every_n_epoch": COUNT, "accumulate_grad_batches": COUNT, "ema.decay": SHARE,
    "limit_train_batches": POSITIVE, "limit_val_batches": POSITIVE, "limit_test_batches": POSITIVE,
}  # fmt: skip


def check_node(node: Any, path: str, base: type | None) -> list[str]:
    """Problems of a node with a `_target_`, which must be a subclass of `base`, or take an `optimizer` if None."""
    if not isinstance(node, dict) or "_target_" not in node:
        return [f"{path}: must be a mapping with a _target_, found {node!r}"]
    group = path.split(".")[0]
    target, problem = _locate(node["_target_"], path)
    if target is None:
        return [problem]
    if base is not None and not (inspect.isclass(target) and issubclass(target, base)):
        return [f"{path}._target_ = {node['_target_']!r}: must be a {base.__name__}"]
    allowed, required, open_ended = _arguments(target)
    if base is None and "optimizer" not in allowed:
        return [f"{path}._target_ = {node['_target_']!r}: must take an optimizer"]
    hidden = INJECTED.get(group, set())
    own = OWN_KEYS.get(group, {})
    allowed, required = {k: v for k, v in allowed.items() if k not in hidden} | own, required | set(own)
    given = {k: v for k, v in node.items() if k not in ("_target_", "_partial_")}
    problems = check_keys(given, allowed, f"{path}.", open_ended)
    problems += [f"{path}.{k}: missing" for k in sorted(required - hidden - FILLED.get(group, set()) - set(given))]
    return problems


def _locate(name: str, path: str) -> tuple[Any, str]:
    top = name.split(".")[0]
    if importlib.util.find_spec(top) is None:
        return None, unknown(f"{path}._target_", name, [], f"no package named {top!r} is installed")
    try:
        return get_object(name), ""
    except Exception:
        module, _, leaf = name.rpartition(".")
        try:
            near = [n for n in dir(importlib.import_module(module)) if not n.startswith("_")]
        except ImportError:
            near = []
        return None, unknown(f"{path}._target_", leaf, near, f"cannot import {name}")


def _arguments(target: Any) -> tuple[dict[str, Any], set[str], bool]:
    """Arguments by name with their type, the required ones, and whether any other is accepted.

    A `**options` of a class stands for the arguments of its base class, as in jsonargparse.
    """
    allowed: dict[str, Any] = {}
    required: set[str] = set()
    classes = inspect.getmro(target) if inspect.isclass(target) else [target]
    for owner in classes:
        if inspect.isclass(owner):
            if "__init__" not in vars(owner):
                continue
            function = owner.__init__
        else:
            function = owner
        try:
            hints = typing.get_type_hints(function)
        except Exception:
            hints = {}
        keywords = False
        for name, parameter in inspect.signature(function).parameters.items():
            if name == "self" or parameter.kind is parameter.VAR_POSITIONAL:
                continue
            if parameter.kind is parameter.VAR_KEYWORD:
                keywords = True
                continue
            allowed.setdefault(name, hints.get(name, Any))
            if parameter.default is parameter.empty and owner is classes[0]:
                required.add(name)
        if not keywords:
            return allowed, required, False
    return allowed, required, True


def check_keys(given: dict[str, Any], allowed: dict[str, Any], prefix: str, open_ended: bool = False) -> list[str]:
    problems = []
    for key, value in given.items():
        path = f"{prefix}{key}"
        if key not in allowed:
            if not open_ended:
                problems.append(unknown(path, key, list(allowed), "unknown key", prefix))
        elif not fits(value, allowed[key]):
            problems.append(_wrong_type(path, value, allowed[key]))
        elif isinstance(value, str) or value is None:
            continue  # a word that the type allows, such as jobs: auto
        elif rule := RANGES.get(".".join(path.split(".")[-2:]), RANGES.get(key)):
            text, holds = rule
            numbers = value if isinstance(value, list) else [value]
            scalar = not isinstance(value, list) or key == "betas"
            if not scalar or not all(fits(n, float) and math.isfinite(n) for n in numbers) or not holds(value):
                problems.append(f"{path} = {value!r}: must be {text}")
    if not prefix:
        problems += [f"{key}: missing" for key in allowed if key not in given]
    return problems


def _wrong_type(path: str, value: Any, hint: Any) -> str:
    choices = [c for h in _options(hint) if typing.get_origin(h) is typing.Literal for c in typing.get_args(h)]
    if choices and isinstance(value, str):
        return unknown(path, value, choices)
    plain = [h for h in _options(hint) if h in (int, float, str, bool, dict, types.NoneType) or typing.get_origin(h)]
    names = {h.__name__ if isinstance(h, type) else str(h).replace("typing.", "") for h in plain or _options(hint)}
    return f"{path} = {value!r}: must be {' or '.join(sorted(names)).replace('NoneType', 'null')}"


def _options(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)


def fits(value: Any, hint: Any) -> bool:
    """Whether a plain YAML value can stand for the annotated type."""
    if hint is Any or isinstance(hint, typing.TypeVar):
        return True
    options = _options(hint)
    if len(options) > 1:
        return any(fits(value, option) for option in options)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return value in arguments
    if hint is None or hint is types.NoneType:
        return value is None
    if hint is bool:
        return isinstance(value, bool)
    if hint in (int, float):
        return isinstance(value, (int, float) if hint is float else int) and not isinstance(value, bool)
    if hint is str:
        return isinstance(value, str)
    kind = origin or hint
    if inspect.isclass(kind) and kind is not dict and issubclass(kind, Iterable) and not issubclass(kind, dict):
        elements = [a for a in arguments if a is not Ellipsis]
        return isinstance(value, list) and (not elements or all(any(fits(v, e) for e in elements) for v in value))
    if kind is dict:
        return isinstance(value, dict)
    return isinstance(value, dict)  # an object: only a nested node can stand for it


def unknown(path: str, value: Any, allowed: Iterable[Any], reason: str = "", prefix: str = "") -> str:
    """One line that names the bad value, the nearest allowed one, and, for a short list, all of them."""
    names = [str(a) for a in allowed]
    line = f"{path}: {reason}" if reason else f"{path} = {value!r}: unknown value"
    lower = {name.lower(): name for name in names}
    near = [lower[n] for n in difflib.get_close_matches(str(value).lower(), lower, n=1, cutoff=0.5)]
    if near:
        line += f"; did you mean {prefix + near[0]!r}?"
    if names and not near and len(names) <= 30:
        line += f"; allowed: {', '.join(sorted(names))}"
    return line
