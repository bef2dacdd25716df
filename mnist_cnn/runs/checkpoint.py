"""Checkpoints that can be trusted: tensors and plain values only."""

import pickle
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf

from mnist_cnn.errors import RunError
from mnist_cnn.runs.directory import Run


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Loads tensors and plain values only.

    Raises:
        RunError: missing, cut short, or holding anything else, which could be code.
    """
    if not path.is_file():
        raise RunError(f"{path}: no such checkpoint")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        if isinstance(error, pickle.UnpicklingError) and zipfile.is_zipfile(path):
            raise RunError(f"{path}: refused, it holds objects that could run code when loaded") from error
        raise RunError(f"{path}: damaged or not a checkpoint") from error


@dataclass(frozen=True)
class Trained:
    """What a checkpoint holds for whoever has no more than it.

    Args:
        model: the node of its net.
        scale: arguments of `Scale`.
    """

    weights: dict[str, Any]
    model: dict[str, Any]
    scale: dict[str, Any]


def load_trained(path: Path) -> Trained:
    """What a checkpoint holds; one of version 0.1.0 takes its net from the run directory that it lies in.

    Raises:
        RunError: as `load_checkpoint`; not a checkpoint of ours, or a lone one of version 0.1.0.
    """
    state = load_checkpoint(path)
    if not isinstance(state, dict) or "state_dict" not in state:
        raise RunError(f"{path}: not the checkpoint of a net")
    known = state.get("mnist_cnn")
    if known is None:
        run = Run(path.resolve().parent.parent)
        if not run.config_file.is_file():
            raise RunError(f"{path}: of version 0.1.0, so it needs the run directory it was made in")
        cfg = run.config()
        known = {"model": OmegaConf.to_container(cfg.model), "scale": {"divide_by": cfg.data.divide_by}}
    return Trained(state["state_dict"], known["model"], known["scale"])


def newest_good_checkpoint(run: Run) -> tuple[Path, dict[str, Any]]:
    """The checkpoint with the most epochs that loads completely.

    Raises:
        RunError: none does.
    """
    good, bad = [], []
    for which in ("last", "best"):
        try:
            good.append((run.checkpoint(which), load_checkpoint(run.checkpoint(which))))
        except RunError as error:
            bad.append(str(error))
    if not good:
        raise RunError(f"{run.path}: nothing to resume from: {'; '.join(bad)}")
    return max(good, key=lambda pair: pair[1]["global_step"])


def weights_of(path: Path) -> dict[str, Any]:
    """Tensors by name, of a run directory (those that it tested), of a checkpoint, or of a file of a bare net's.

    Raises:
        RunError: missing, damaged, or no weights.
    """
    if path.is_dir():
        run = Run(path)
        path = run.checkpoint(run.config().test_weights)
    state: Any = load_checkpoint(path)
    weights = state.get("state_dict", state) if isinstance(state, dict) else None
    if not isinstance(weights, dict):
        raise RunError(f"{path}: holds no weights by name")
    return weights
