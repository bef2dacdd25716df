"""Which jobs of a sweep are alike enough that one rehearsal speaks for all."""

import json
from collections.abc import Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from mnist_cnn.config.call import CheckedJob


def kinds_of(jobs: Sequence[CheckedJob]) -> list[list[CheckedJob]]:
    """The jobs by kind, in the order of the first of each."""
    kinds: dict[str, list[CheckedJob]] = {}
    for job in jobs:
        kinds.setdefault(_kind(job.cfg), []).append(job)
    return list(kinds.values())


def _kind(cfg: DictConfig) -> str:
    """Equal where one rehearsal says all: the same net but for fractions such as a dropout, the same classes."""
    tree: Any = OmegaConf.to_container(cfg, resolve=True)
    net = {key: value for key, value in tree["model"].items() if not isinstance(value, float)}
    data = {key: tree["data"].get(key) for key in ("_target_", "dataset", "train", "validation_size")}
    return json.dumps([net, data, _classes(tree), tree["trainer"]["precision"], tree["test"], tree["freeze"]])


def _classes(tree: Any) -> Any:
    if isinstance(tree, dict):
        inner = {key: found for key, value in tree.items() if (found := _classes(value)) is not None}
        return tree["_target_"] if set(inner) <= {"_target_"} and "_target_" in tree else inner or None
    return None
