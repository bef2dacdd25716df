"""Versions, code version and hardware: what a reader needs to judge a figure."""

import functools
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from mnist_cnn import NUMERICS

PACKAGES = ["torch", "torchvision", "pytorch-lightning", "torchmetrics", "hydra-core", "numpy"]


def environment(device: torch.device, command: list[str]) -> dict[str, Any]:
    """Fields of a run's record.

    Args:
        command: that makes the same figures again.
    """
    return {
        "versions": {"python": platform.python_version(), "mnist-cnn": _version("mnist-cnn")}
        | {name: _version(name) for name in PACKAGES},
        "numerics": NUMERICS,
        "git": git_state(),
        "hardware": {
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
            "cpu": cpu_name(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "platform": platform.platform(),
        },
        "command": command,
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def git_state() -> dict[str, Any] | None:
    """Commit of the package's own checkout; None for an installed wheel."""
    folder = Path(__file__).parent
    if not (folder.parent.parent / ".git").exists():
        return None

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.CalledProcessError):
        return None


@functools.cache
def cpu_name() -> str:
    """Of this machine's processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
