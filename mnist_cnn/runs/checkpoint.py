"""Checkpoints that can be trusted: tensors and plain values only."""

import pickletools
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf

from mnist_cnn.errors import RunError, in_one_line
from mnist_cnn.files import require_file
from mnist_cnn.runs.directory import Run, with_todays_keys
from mnist_cnn.runs.settings import changed, lasting

OWN = "mnist_cnn"  # what a checkpoint has beside Lightning's parts
# Without these training does not go on as it would have; of the callbacks at least the history is there.
PARTS: dict[str, type] = {
    "state_dict": dict, "optimizer_states": list, "lr_schedulers": list, "loops": dict, "callbacks": dict,
    "callbacks/History": dict, "epoch": int, "global_step": int,
}  # fmt: skip
# What a pickle may name: whatever makes tensors of stored bytes, and nothing that makes things of any size.
PLAIN = re.compile(
    r"collections (OrderedDict|Counter)|torch._utils _rebuild_(tensor_v2|parameter|parameter_with_state)|"
    r"torch (\w+Storage|Size|device|b?float\d+\w*|u?int\d+|bool|complex\d+)|torch.storage UntypedStorage"
)
AT_MOST = 10  # times the bytes of the file: several views of the same ones


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Loads tensors and plain values only, and no more of them than the file holds.

    Raises:
        RunError: missing, damaged, no checkpoint, or holding anything else, which could be code.
    """
    if not path.exists():
        raise RunError(f"{path}: no such checkpoint")
    size = require_file(path, RunError)
    try:
        _require_sound(path, size)
        # First without memory for what it declares: a few bytes can ask for any number of gigabytes.
        declared = torch.load(path, map_location="meta", weights_only=True)
        if (unpacked := sum(each.numel() * each.itemsize for each in _tensors(declared))) > AT_MOST * size:
            raise RunError(f"{path}: refused, its {size:,} bytes unpack to {unpacked:,} bytes of tensors")
        state = torch.load(path, map_location="cpu", weights_only=True)
    except RunError:
        raise
    except Exception as error:  # of a reader of damaged bytes, which has an error for every kind of damage
        raise RunError(f"{path}: damaged or not a checkpoint ({in_one_line(error)})") from error
    if not isinstance(state, dict):
        raise RunError(f"{path}: not a checkpoint: it holds a {type(state).__name__}")
    return state


def _require_sound(path: Path, size: int) -> None:
    """What is declared in the directory of the archive, and by its pickle; neither is unpacked."""
    if not zipfile.is_zipfile(path):
        raise RunError(f"{path}: damaged or not a checkpoint (cut short, or not written by PyTorch 1.6 or newer)")
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(each.file_size for each in archive.infolist())
        if unpacked > size:
            raise RunError(f"{path}: refused, its {size:,} bytes unpack to {unpacked:,}; a checkpoint is not packed")
        if (bad := archive.testzip()) is not None:
            raise RunError(f"{path}: damaged: {bad} has another checksum than when it was written")
        pickled = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
        for code, argument, _ in pickletools.genops(archive.read(pickled)):
            if code.name == "STACK_GLOBAL" or (code.name == "GLOBAL" and not PLAIN.fullmatch(str(argument))):
                raise RunError(f"{path}: refused, it holds objects that could run code when loaded ({argument})")


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict | list | tuple):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _tensors(each)


@dataclass(frozen=True)
class Trained:
    """What a checkpoint holds for whoever has no more than it.

    Args:
        model: the node of its net.
        scale: arguments of `Scale`.
        epoch: the last complete one, counted from 0; None where nobody tells.
        data: the node of its images, without what is of one machine; None where nobody tells, or somebody's own code.
        class_names: of its images; None where nobody tells.
        test: whether its run reads the test images, `once` or `never`; None where nobody tells.
    """

    weights: dict[str, Any]
    model: dict[str, Any]
    scale: dict[str, Any]
    epoch: int | None
    data: dict[str, Any] | None = None
    class_names: list[str] | None = None
    test: str | None = None


def load_trained(path: Path) -> Trained:
    """What a checkpoint holds; one of version 0.1.0 takes its net from the run directory that it lies in.

    Raises:
        RunError: as `load_checkpoint`; not a checkpoint of ours, or a lone one of version 0.1.0.
    """
    state = load_checkpoint(path)
    if not isinstance(state.get("state_dict"), dict):
        raise RunError(f"{path}: not the checkpoint of a net (no state_dict)")
    own = state.get(OWN)
    if own is None:
        run = Run(path.resolve().parent.parent)
        if not run.config_file.is_file():
            raise RunError(
                f"{path}: of version 0.1.0, so it needs the run directory it was made in; or of other software"
            )
        cfg = run.config()
        own = {"model": OmegaConf.to_container(cfg.model), "scale": {"divide_by": cfg.data.divide_by}}
    if not isinstance(own, dict) or not all(isinstance(own.get(part), dict) for part in ("model", "scale")):
        raise RunError(f"{path}: lacks what its net and its images are ({OWN}.model, {OWN}.scale)")
    settings: dict[str, Any] = own["settings"] if isinstance(own.get("settings"), dict) else {}
    data = _ours(settings.get("data"))
    names = own.get("class_names") or (data or {}).get("class_names")
    known = (state["state_dict"], own["model"], own["scale"], state.get("epoch"))
    return Trained(*known, data, names, settings.get("test"))


def _ours(data: Any) -> dict[str, Any] | None:
    """The node of a data module of this package."""
    return data if isinstance(data, dict) and str(data.get("_target_")).startswith(f"{OWN}.data.") else None


def find_checkpoint(run: Run) -> tuple[Path, dict[str, Any]] | None:
    """The checkpoint with the most epochs that has all its parts; None where no epoch was complete.

    Raises:
        RunError: none is whole; or config.yaml was changed since.
    """
    if run.unbegun:
        return None
    good, bad = [], []
    for which in ("last", "best"):
        try:
            good.append((run.checkpoint(which), load_to_resume(run.checkpoint(which))))
        except RunError as error:
            bad.append(str(error))
    if not good:
        raise RunError(f"{run.path}: nothing to resume from: {'; '.join(bad)}")
    path, state = max(good, key=lambda pair: pair[1]["global_step"])
    require_same_settings(run, path, state)
    return path, state


def load_to_resume(path: Path) -> dict[str, Any]:
    """A checkpoint with all that training goes on from.

    Raises:
        RunError: as `load_checkpoint`; or a part is not there, by name.
    """
    state = load_checkpoint(path)
    own = state.get(OWN)
    parts = own.get("parts", PARTS) if isinstance(own, dict) else PARTS
    missing = [part for part in parts if not _has(state, part)]
    if missing:
        raise RunError(f"{path}: lacks {', '.join(missing)}, so training cannot go on from it")
    return state


def _has(state: dict[str, Any], part: str) -> bool:
    group, _, name = part.partition("/")
    kind = PARTS.get(group, object)
    return isinstance(state.get(group), kind) and (not name or name in state[group])


def parts_of(state: dict[str, Any]) -> list[str]:
    """Names of all that a checkpoint has, for `load_to_resume` to miss."""
    return [*(key for key in state if key != OWN), *(f"callbacks/{key}" for key in state.get("callbacks", ()))]


def require_same_settings(run: Run, path: Path, state: dict[str, Any]) -> None:
    """Raises RunError where config.yaml says something else than the training was begun with.

    A checkpoint of version 0.1.0 does not tell.
    """
    own = state.get(OWN)
    if isinstance(own, dict) and isinstance(before := own.get("settings"), dict):
        differences = changed(lasting(with_todays_keys(OmegaConf.create(before))), lasting(run.config()))
        if differences:
            raise RunError(
                f"{run.config_file}: changed since {path} was made: {'; '.join(differences)}. Put it back, or begin a "
                "new run"
            )


def weights_of(path: Path) -> dict[str, Any]:
    """Tensors by name, of a run directory (those that it tested), of a checkpoint, or of a file of a bare net's.

    Raises:
        RunError: missing, damaged, or no weights.
    """
    if path.is_dir():
        path = Run(path).tested_checkpoint
    state: Any = load_checkpoint(path)
    weights = state.get("state_dict", state)
    if not isinstance(weights, dict):
        raise RunError(f"{path}: holds no weights by name")
    return weights
