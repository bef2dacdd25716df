"""Validation of a composed configuration, and the one helper that instantiates parts of it.

Every check runs before data or model are built and reports all problems at once. A node with a `_target_` is held
against the signature of its target: unknown keys, missing arguments, types, then value ranges.
"""

import difflib
import importlib
import importlib.util
import inspect
import math
import types
import typing
from collections.abc import Callable, Iterable
from typing import Any

import torch
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mnist_cnn.errors import ConfigError, LayerError

ROOT_KEYS: dict[str, Any] = {
    "seed": int,
    "test_weights": typing.Literal["best", "last"],
    "resume": str | None,
    "run_root": str,
    "learning_rates": dict,
    "model": dict,
    "optimizer": dict,
    "scheduler": dict,
    "data": dict,
    "augment": dict,
    "trainer": dict,
    "callbacks": dict,
    "logger": dict,
}
# Passed in code, so a configuration neither needs nor may set them.
INJECTED = {
    "optimizer": {"params"},
    "scheduler": {"optimizer", "total_steps"},
    "model": {"optimizer", "scheduler"},
    "data": {"augment"},
    "trainer": {"callbacks", "logger", "plugins", "default_root_dir"},
}
# Filled in code where the configuration leaves it out.
FILLED = {"logger": {"save_dir"}, "callbacks": {"dirpath"}}
# Keys that the package reads before the target sees the node.
OWN_KEYS = {"scheduler": {"interval": typing.Literal["epoch", "step"]}}
METRICS = ["train/loss", "train/acc", "val/loss", "val/acc"]
OPTIMIZERS = ["adadelta", "adagrad", "adam", "adamw", "rmsprop", "sgd"]
LOGGER_PACKAGES = {"TensorBoardLogger": "tensorboard", "MLFlowLogger": "mlflow", "WandbLogger": "wandb"}
PRECISIONS = ["32-true", "bf16-mixed", "16-mixed"]

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
    "step_size": COUNT, "warmup_fraction": SHARE, "final_factor": UNIT,
    "start_factor": ("in (0, 1]", lambda v: 0 < v <= 1),
    "betas": ("two numbers in [0, 1)", lambda v: len(v) == 2 and all(0 <= b < 1 for b in v)),
    "dropout": SHARE, "label_smoothing": SHARE, "bn_momentum": ("in (0, 1]", lambda v: 0 < v <= 1),
    "batch_size": COUNT, "eval_batch_size": COUNT, "validation_size": COUNT, "num_workers": NOT_NEGATIVE,
    "split_seed": NOT_NEGATIVE, "seed": ("in [0, 2**32)", lambda v: 0 <= v < 2**32),
    "limit_train": COUNT, "limit_val": COUNT, "limit_test": COUNT,
    "degrees": ("in [0, 180]", lambda v: 0 <= v <= 180), "translate": UNIT, "scale": NOT_NEGATIVE,
    "shear": ("in [0, 90)", lambda v: 0 <= v < 90),
    "max_epochs": COUNT, "gradient_clip_val": POSITIVE, "patience": COUNT, "min_delta": NOT_NEGATIVE,
    "check_val_every_n_epoch": COUNT,
}  # fmt: skip


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


def _check_tree(tree: dict[str, Any]) -> list[str]:
    problems = _check_keys(tree, ROOT_KEYS, "")
    if problems and any(not isinstance(tree.get(k), dict) for k in ("model", "data", "trainer", "optimizer")):
        return problems  # the rest reads into these
    for path in ("model", "optimizer", "data", "trainer"):
        problems += _check_node(tree[path], path)
    for path in ("scheduler", "augment"):
        if tree[path]:
            problems += _check_node(tree[path], path)
    for group in ("callbacks", "logger"):
        for name, node in tree[group].items():
            if node is not None:
                problems += _check_node(node, f"{group}.{name}")
    for name, rate in tree["learning_rates"].items():
        if name not in OPTIMIZERS:
            problems.append(unknown(f"learning_rates.{name}", name, OPTIMIZERS, "unknown optimizer", "learning_rates."))
        elif not _fits(rate, float) or not 0 < rate < math.inf:
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
    if tree["callbacks"].get("checkpoint") is None:
        problems.append("callbacks.checkpoint: a run without checkpoints can be neither resumed nor evaluated")
    return problems + _check_machine(tree["trainer"]) + _check_layers(tree["model"])


def _check_machine(trainer: dict[str, Any]) -> list[str]:
    problems = []
    precision, accelerator = trainer.get("precision"), trainer.get("accelerator")
    has_gpu = torch.cuda.is_available()
    if precision not in PRECISIONS:
        problems.append(unknown("trainer.precision", precision, PRECISIONS))
    if accelerator in ("gpu", "cuda") and not has_gpu:
        problems.append("trainer.accelerator = 'gpu': this machine has no usable CUDA GPU; use trainer=cpu or auto")
    if precision == "16-mixed" and (accelerator == "cpu" or not has_gpu):
        problems.append("trainer.precision = '16-mixed': needs a CUDA GPU; on a CPU use bf16-mixed or 32-true")
    return problems


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


def _check_node(node: Any, path: str) -> list[str]:
    if not isinstance(node, dict) or "_target_" not in node:
        return [f"{path}: must be a mapping with a _target_, found {node!r}"]
    group = path.split(".")[0]
    target, problem = _locate(node["_target_"], path)
    if target is None:
        return [problem]
    allowed, required, open_ended = _arguments(target)
    hidden = INJECTED.get(group, set())
    own = OWN_KEYS.get(group, {})
    allowed, required = {k: v for k, v in allowed.items() if k not in hidden} | own, required | set(own)
    given = {k: v for k, v in node.items() if k not in ("_target_", "_partial_")}
    problems = _check_keys(given, allowed, f"{path}.", open_ended)
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


def _check_keys(given: dict[str, Any], allowed: dict[str, Any], prefix: str, open_ended: bool = False) -> list[str]:
    problems = []
    for key, value in given.items():
        path = f"{prefix}{key}"
        if key not in allowed:
            if not open_ended:
                problems.append(unknown(path, key, list(allowed), "unknown key", prefix))
        elif not _fits(value, allowed[key]):
            problems.append(_wrong_type(path, value, allowed[key]))
        elif key in RANGES and value is not None:
            text, holds = RANGES[key]
            numbers = value if isinstance(value, list) else [value]
            if not all(_fits(n, float) and math.isfinite(n) for n in numbers) or not holds(value):
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


def _fits(value: Any, hint: Any) -> bool:
    """Whether a plain YAML value can stand for the annotated type."""
    if hint is Any or isinstance(hint, typing.TypeVar):
        return True
    options = _options(hint)
    if len(options) > 1:
        return any(_fits(value, option) for option in options)
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
        return isinstance(value, list) and (not elements or all(any(_fits(v, e) for e in elements) for v in value))
    if kind is dict:
        return isinstance(value, dict)
    return isinstance(value, dict)  # an object: only a nested node can stand for it


def unknown(path: str, value: Any, allowed: Iterable[Any], reason: str = "", prefix: str = "") -> str:
    """One line that names the bad value, the nearest allowed one, and, for a short list, all of them."""
    names = [str(a) for a in allowed]
    line = f"{path}: {reason}" if reason else f"{path} = {value!r}: unknown value"
    near = difflib.get_close_matches(str(value), names, n=1, cutoff=0.5)
    if near:
        line += f"; did you mean {prefix + near[0]!r}?"
    if names and not near and len(names) <= 30:
        line += f"; allowed: {', '.join(sorted(names))}"
    return line
