"""A run directory: what lies in it, which of its checkpoints can be trusted, and how it is found again."""

import contextlib
import fcntl
import hashlib
import json
import os
import pickle
import platform
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.utilities import rank_zero_only

from mnist_cnn import NUMERICS
from mnist_cnn.errors import RunError
from mnist_cnn.files import write_atomically

PACKAGES = ["torch", "torchvision", "pytorch-lightning", "torchmetrics", "hydra-core", "numpy"]


@dataclass(frozen=True)
class Run:
    """A run directory on disk; creating the object touches nothing."""

    path: Path

    @property
    def config_file(self) -> Path:
        return self.path / "config.yaml"

    @property
    def overrides_file(self) -> Path:
        return self.path / "overrides.yaml"

    @property
    def metrics_file(self) -> Path:
        return self.path / "metrics.json"

    @property
    def history_file(self) -> Path:
        return self.path / "metrics.csv"

    @property
    def predictions_file(self) -> Path:
        return self.path / "predictions.csv"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    def checkpoint(self, which: str) -> Path:
        return self.checkpoints / f"{which}.ckpt"

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keeps other processes from training the same run; ends with the process, however it ends.

        Raises:
            RunError: another process holds it.
        """
        if getattr(rank_zero_only, "rank", 0) != 0:
            yield
            return
        self.path.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RunError(f"{self.path}: another process is training this run") from None
            yield
        finally:
            os.close(descriptor)

    @property
    def busy(self) -> bool:
        try:
            with self.held():
                return False
        except RunError:
            return True

    @rank_zero_only
    def require_unused(self) -> None:
        """Raises RunError if the directory already holds a run: starting another one would overwrite it."""
        if self.config_file.exists():
            raise RunError(f"{self.path}: already holds a run; continue it with resume={self.path}, or name another")

    @rank_zero_only
    def save_config(self, cfg: DictConfig, overrides: list[str]) -> None:
        """The full configuration with every value resolved, and what was asked for on the command line."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_atomically(self.config_file, OmegaConf.to_yaml(cfg, resolve=True).encode())
        plain = [override.lstrip("+") for override in overrides]
        write_atomically(self.overrides_file, OmegaConf.to_yaml(plain).encode())

    def config(self) -> DictConfig:
        if not self.config_file.is_file():
            raise RunError(f"{self.path}: not a run directory (no config.yaml)")
        loaded = OmegaConf.load(self.config_file)
        assert isinstance(loaded, DictConfig)
        return loaded

    def overrides(self) -> list[str]:
        return list(OmegaConf.load(self.overrides_file)) if self.overrides_file.is_file() else []

    def metrics(self) -> dict[str, Any]:
        try:
            return json.loads(self.metrics_file.read_text())
        except FileNotFoundError:
            return {}

    @rank_zero_only
    def save_metrics(self, metrics: dict[str, Any]) -> None:
        text = json.dumps(metrics, indent=2) + "\n"
        text = re.sub(r"\[[\d\s,]+\]", lambda row: " ".join(row[0].split()), text)  # a row of numbers in one line
        write_atomically(self.metrics_file, text.encode())

    @property
    def completed(self) -> bool:
        return self.metrics().get("status") == "completed"

    def save_predictions(self, rows: torch.Tensor) -> None:
        """predictions.csv from (N, 3): label, predicted class, its probability; a row per test image, in order."""
        lines = [f"{i},{label:.0f},{predicted:.0f},{p:.4f}" for i, (label, predicted, p) in enumerate(rows.tolist())]
        text = "\n".join(["image,label,predicted,probability", *lines, ""])
        write_atomically(self.predictions_file, text.encode())


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Loads tensors and plain values only.

    Raises:
        RunError: missing, cut short, or holding anything else, which could be code.
    """
    if not path.is_file():
        raise RunError(f"{path}: no such checkpoint")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if zipfile.is_zipfile(path):
            raise RunError(f"{path}: refused, it holds objects that could run code when loaded") from error
        raise RunError(f"{path}: damaged or not a checkpoint") from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
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


def unfinished(root: Path) -> list[Run]:
    """Runs below `root` that began, did not complete, have a checkpoint and are not being trained, newest first."""
    found = [Run(file.parent) for file in root.rglob("config.yaml")] if root.is_dir() else []
    candidates = [r for r in found if r.checkpoint("last").exists() and not r.completed and not r.busy]
    return sorted(candidates, key=lambda r: r.config_file.stat().st_mtime_ns, reverse=True)


def digest(cfg: DictConfig) -> str:
    """The same for runs that differ in nothing but the seed, where their files lie and what they report."""
    tree: Any = OmegaConf.to_container(cfg, resolve=True)
    for key in ("seed", "resume", "run_root", "speed", "logger", "figures", "jobs", "bad_jobs"):
        tree.pop(key, None)
    for key in ("seed", "root", "num_workers", "pin_memory"):
        tree["data"].pop(key, None)
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()[:12]


def environment(device: torch.device) -> dict[str, Any]:
    """Versions, code version and hardware: what a reader needs to judge a figure."""
    return {
        "versions": {"python": platform.python_version(), "mnist-cnn": _version("mnist-cnn")}
        | {name: _version(name) for name in PACKAGES},
        "numerics": NUMERICS,
        "git": _git(),
        "hardware": {
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
            "cpu": _cpu_name(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "platform": platform.platform(),
        },
        "command": [Path(sys.argv[0]).stem if "/" in sys.argv[0] else sys.argv[0], *sys.argv[1:]],
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git() -> dict[str, Any] | None:
    """Commit of the package's own checkout; None for an installed wheel."""
    folder = Path(__file__).parent
    if not (folder.parent / ".git").exists():
        return None

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.CalledProcessError):
        return None


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
