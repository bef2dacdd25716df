"""Checkpoints that can be trusted: tensors and plain values only."""

import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

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
