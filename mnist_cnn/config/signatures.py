"""Holds a node of the configuration against the signature of the function or class that it names."""

import collections.abc
import contextlib
import functools
import inspect
import numbers
import sys
import types
import typing
from typing import Annotated, Any, Literal

import torch

from mnist_cnn.config.foreign import RANGES, why_not
from mnist_cnn.config.locate import check_inside as check_inside
from mnist_cnn.config.locate import locate as locate
from mnist_cnn.config.place import config_dir
from mnist_cnn.errors import nearest, shortened
from mnist_cnn.optim import RUN_LENGTHS
from mnist_cnn.values import Count, problem

# Passed in code, so a configuration neither needs nor may set them.
INJECTED = {
    "scheduler": {"optimizer"},
    "model": {"optimizer", "scheduler"},
    "data": {"augment"},
    "trainer": {
        "callbacks",
        "logger",
        "plugins",
        "default_root_dir",
        "enable_progress_bar",
        "enable_model_summary",
        "enable_checkpointing",
        "fast_dev_run",
    },
    "callbacks.checkpoint": {"dirpath"},
}
# What people look for in vain among them, and what does it here.
INSTEAD = {
    "trainer.fast_dev_run": "debug=one_batch does that, with checkpoint and report",
    "trainer.callbacks": "callbacks=[checkpoint,ema] chooses them",
    "trainer.logger": "logger=tensorboard chooses one",
    "trainer.default_root_dir": "run_root= and hydra.run.dir= say where a run goes",
}
# Filled in code where the configuration leaves it out.
FILLED = {"logger": {"save_dir"}, "callbacks": {"dirpath"}, "scheduler": set(RUN_LENGTHS)}
# Keys that the package reads before the target sees the node; those of `NEEDED` must be there.
OWN_KEYS: dict[str, dict[str, Any]] = {
    "scheduler": {"interval": Literal["epoch", "step"], "frequency": Count, "monitor": str},
    "optimizer": {"decay_norms": bool, "parts": dict[str, dict]},
}
NEEDED = {"scheduler": {"interval"}, "trainer": {"max_epochs", "precision", "accelerator"}}
HARMLESS = ("functools.partial", "datetime.timedelta")
HYDRAS = ("_target_", "_partial_", "_args_")


def check_node(node: Any, path: str, base: type | None) -> list[str]:
    """Problems of a node with a `_target_`, and of the nodes inside it, however deep.

    Args:
        base: what the target must be a subclass of; None if it must take an `optimizer`, `object` for anything.
    """
    if not isinstance(node, dict) or "_target_" not in node:
        options = [file.stem for file in sorted((config_dir() / path).glob("*.yaml")) if file.stem != "common"]
        found = (
            f"; choose one of {', '.join(options)}"
            if options and isinstance(node, dict)
            else f", found {shortened(node)}"
        )
        return [f"{path}: must be a mapping with a _target_{found}"]
    group, name = path.split(".")[0], node["_target_"]
    target, wrong = locate(name, path)
    if target is None:
        return [wrong]
    if reason := _kind_problem(target, base):
        return [f"{path}._target_ = {name!r}: {reason}"]
    hidden = INJECTED.get(path, INJECTED.get(group, set()))
    if group == "optimizer":
        hidden = {next(iter(arguments(target)[0]), "params")}  # the weights, whatever they are called
    own, needed = OWN_KEYS.get(group, {}), NEEDED.get(group, set())
    filled = FILLED.get(group, set()) | (
        arguments(target)[1] if group == "augment" and node.get("_partial_") else set()
    )
    problems = _check_arguments(node, path, target, hidden, own, needed - set(node), filled)
    if group != "model":  # `config.module` judges those otherwise
        problems += [wrong for key, value in node.items() for wrong in check_inside(value, f"{path}.{key}", _judge)]
    is_class = inspect.isclass(target)
    if group == "optimizer" and not problems and is_class:
        taken = arguments(target)[0]
        problems += check_parts(node, {name: hint for name, hint in taken.items() if name != "params"})
    return problems


def _kind_problem(target: Any, base: type | None) -> str | None:
    if reason := why_not(target):
        return reason
    if not callable(target):
        return "must be a class or a function"
    if base is None:
        return None if "optimizer" in arguments(target)[0] else "must take an optimizer"
    if base is object or (inspect.isclass(target) and issubclass(target, base)):
        return None
    if base is torch.optim.Optimizer and not inspect.isclass(target):
        # so that a file from elsewhere cannot name just anything to be called
        made, takes = _hints(target).get("return"), next(iter(arguments(target)[0]), None)
        if takes == "params" or (takes and inspect.isclass(made) and issubclass(made, base)):
            return None
        return "must be a class of Optimizer, or a function of `params` that makes one"
    return f"must be a {base.__name__}"


def _check_arguments(
    node: dict[str, Any],
    path: str,
    target: Any,
    hidden: set[str],
    own: dict[str, Any],
    needed: set[str],
    filled: set[str],
) -> list[str]:
    allowed, required, open_ended = arguments(target)
    allowed = {k: v for k, v in allowed.items() if k not in hidden} | own
    given = {k: v for k, v in node.items() if k not in HYDRAS}
    if "_args_" in node:
        names = [name for name in allowed if name not in own]
        if hidden & set(arguments(target)[0]):
            return [f"{path}._args_: do not go with what is passed in code ({', '.join(sorted(hidden))}); name them"]
        if not isinstance(node["_args_"], list) or (len(node["_args_"]) > len(names) and not open_ended):
            return [f"{path}._args_ = {node['_args_']!r}: must be a list of at most {len(names)}: {', '.join(names)}"]
        given = dict(zip(names, node["_args_"], strict=False)) | given
    problems = check_keys(given, allowed, f"{path}.", open_ended)
    if not isinstance(partial := node.get("_partial_", False), bool):
        problems.append(f"{path}._partial_ = {shortened(partial)}: must be true or false")
    missing = (required - hidden - filled - set(given)) | needed
    meant = [k for k in missing if any(repr(f"{path}.{k}") in line for line in problems)]  # by a typo already told of
    of_images = path.startswith("augment") and not inspect.isclass(target)
    hint = f" (a function of the images themselves has {path}._partial_=true)" if of_images else ""
    problems += [f"{path}.{k}: missing{hint}" for k in sorted(missing - set(meant))]
    return problems


def _judge(target: Any, node: dict[str, Any], path: str) -> list[str]:
    """Any class or function, but none of Python's own that could do harm."""
    name = node["_target_"]
    if str(name).split(".")[0] in sys.stdlib_module_names and name not in HARMLESS:
        return [f"{path}._target_ = {name!r}: of Python's own, only {', '.join(HARMLESS)} may be called"]
    if reason := _kind_problem(target, object):
        return [f"{path}._target_ = {name!r}: {reason}"]
    hidden = {"optimizer"} if path.startswith("scheduler.") else set()
    later = arguments(target)[1] if node.get("_partial_") else set()
    return _check_arguments(node, path, target, hidden, {}, set(), later)


def check_parts(node: dict[str, Any], options: dict[str, Any], lacks: str = "has no") -> list[str]:
    """Problems of `parts` and `decay_norms` of an optimizer with these options."""
    problems = []
    for pattern, given in node.get("parts", {}).items():
        problems += check_keys(given, options, f"optimizer.parts.{pattern}.")
    if node.get("decay_norms") is False and "weight_decay" not in options:
        problems.append(f"optimizer.decay_norms: {node['_target_']} {lacks} weight_decay")
    return problems


def check_keys(given: dict[str, Any], allowed: dict[str, Any], prefix: str, open_ended: bool = False) -> list[str]:
    """Unknown keys, and values that are not of their key's type or range."""
    problems = []
    for key, value in given.items():
        path = f"{prefix}{key}"
        if key in allowed:
            problems += [wrong] if (wrong := problem(path, value, allowed[key])) else []
        elif not open_ended:
            hint = f"; {INSTEAD[path]}" if path in INSTEAD else nearest(key, allowed, prefix)
            problems.append(f"{path}: unknown key{hint}")
    return problems


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
        hints = _hints(function)
        try:
            parameters = inspect.signature(function).parameters
        except ValueError:  # written in C
            return {}, set(), True
        open_ended = False
        for place, (name, parameter) in enumerate(parameters.items()):
            if (place == 0 and inspect.isclass(owner)) or parameter.kind is parameter.VAR_POSITIONAL:
                continue  # the object itself, whatever it is called
            if parameter.kind is parameter.VAR_KEYWORD:
                open_ended = True
                continue
            hint = hints.get(name, bool if isinstance(parameter.default, bool) else Any)
            allowed.setdefault(name, _plain(hint))
            if parameter.default is parameter.empty and owner is makers[0]:
                required.add(name)
        if not open_ended:
            break
    ranges = [found for base, found in RANGES.items() if base in classes]
    for found in ranges if not str(target.__module__).startswith("mnist_cnn.") else []:  # ours say theirs themselves
        allowed |= {name: hint for name, hint in found.items() if name in allowed}
    return allowed, required, open_ended


def _hints(function: Any) -> dict[str, Any]:
    """By argument; names that a module imports for type checkers alone are looked up where they mostly come from."""
    for known in (None, vars(collections.abc) | vars(typing) | {"Tensor": torch.Tensor}):
        with contextlib.suppress(Exception):
            return typing.get_type_hints(function, localns=known, include_extras=True)
    return {}


def _plain(hint: Any) -> Any:
    """A type as values of YAML can have it: a list for anything that is gone through, a number for `Number`."""
    if hint is numbers.Number:
        return int | float
    if hint in (collections.abc.Sequence, collections.abc.Iterable):
        return list
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return Annotated[_plain(inner[0]), *inner[1:]]
    if origin in (collections.abc.Sequence, collections.abc.Iterable):
        return list[_plain(inner[0])]  # type: ignore[misc]
    if origin in (typing.Union, types.UnionType):
        return typing.Union[tuple(_plain(each) for each in inner)]  # noqa: UP007
    return hint
