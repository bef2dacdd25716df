"""What makes two runs "the same settings": that which changes the training, never where code or files lie."""

import hashlib
import json
from fnmatch import fnmatch
from typing import Any

from omegaconf import DictConfig, OmegaConf

from mnist_cnn.config.protocol import BEFORE
from mnist_cnn.runs.listing import leaves

# Repeats the same with other random numbers or another fold, has no part in what is trained, or rounds otherwise at
# most; `speed` draws other random numbers as well.
WITHOUT_EFFECT = [
    "seed", "data.seed", "data.fold", "resume", "run_root", "figures", "threads", "jobs", "bad_jobs", "rehearse",
    "detach", "learning_rates", "speed", "logger", "data.root", "data.class_names", "data.num_workers",
    "data.pin_memory", "data.eval_batch_size", "trainer.accelerator", "trainer.benchmark", "trainer.deterministic",
    "trainer.log_every_n_steps", "trainer.num_sanity_val_steps", "trainer.profiler", "callbacks.lr_monitor",
    "callbacks.pruning", "metrics",
]  # fmt: skip
# Settings that later versions added, with the value that stands for what was done before there was a choice. They count
# only when they have another one, so that finished runs stay the same.
ADDED_LATER: dict[str, Any] = {**BEFORE}
# What leaves the meaning of the epochs already trained alone, and what a checkpoint does not restore over.
MAY_CHANGE = [
    "trainer.max_epochs",
    "threads",
    "trainer.accelerator",
    "trainer.devices",
    "data.root",
    "data.num_workers",
    "data.pin_memory",
    "data.eval_batch_size",
    "test_weights",
    "callbacks.early_stopping.*",
    "run_root",
    "figures",
]
OF_CALL = ["resume", "jobs", "bad_jobs", "rehearse", "detach"]
NOT_KEPT = [*MAY_CHANGE, *OF_CALL, "logger"]  # the last has no effect, and passwords


def lasting(cfg: DictConfig) -> dict[str, Any]:
    """The settings that a run keeps from its first step to its last, as plain values."""
    tree: Any = OmegaConf.to_container(cfg, resolve=True)
    return _kept(tree)


def _kept(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    return {
        key: _kept(value, f"{prefix}{key}.") if isinstance(value, dict) else value
        for key, value in tree.items()
        if not any(fnmatch(f"{prefix}{key}", each) for each in NOT_KEPT)
    }


def changed(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What two sets of settings do not share, a text for each key; one that is null is as good as one left out."""
    old, new = dict(leaves(before)), dict(leaves(now))
    keys = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    return [f"{key} = {new.get(key)!r}, was {old.get(key)!r}" for key in keys]


def settings_digest(cfg: DictConfig) -> str:
    """The same for runs that differ in nothing but the seed, the fold, where their files lie and what they report."""
    kept = {
        path: value
        for path, value in settings_that_count(cfg).items()
        if not (path in ADDED_LATER and value == ADDED_LATER[path])
    }
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:12]


def settings_that_count(cfg: DictConfig) -> dict[str, Any]:
    """By dotted key what changes the training, beside the seed."""
    tree: Any = OmegaConf.to_container(cfg, resolve=True)
    return {
        path: value
        for path, value in _leaves(tree)
        if not any(fnmatch(path, key) or path.startswith(f"{key}.") for key in WITHOUT_EFFECT)
    }


def _leaves(tree: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Settings by dotted key; the name of a class of this package without its module; what is off left out."""
    found: list[tuple[str, Any]] = []
    for key, value in tree.items():
        if isinstance(value, dict):
            found += _leaves(value, f"{prefix}{key}.")
        elif key == "_target_" and str(value).startswith("mnist_cnn."):
            found.append((f"{prefix}{key}", str(value).rpartition(".")[2]))
        elif value is not None and key != "_partial_":
            found.append((f"{prefix}{key}", value))
    return found
