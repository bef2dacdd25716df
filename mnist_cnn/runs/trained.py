"""A trained net from a file, ready to be asked."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnist_cnn.config.module import build_module, check_module
from mnist_cnn.errors import ConfigError, RunError
from mnist_cnn.models.classifier import Classifier
from mnist_cnn.models.reading import Scale
from mnist_cnn.runs.checkpoint import load_trained
from mnist_cnn.runs.directory import Run


@dataclass(frozen=True)
class Net:
    """Args:
    module: from (N, 1, 28, 28) floats to logits (N, classes), in evaluation mode, on the CPU.
    scale: of the images that it was trained on.
    """

    module: Any
    scale: Scale


def checkpoint_of(path: Path, weights: str | None) -> Path:
    """The file of a run directory's weights, by default those that the run itself tested; a file is what it is."""
    if not path.is_dir():
        return path
    run = Run(path)
    return run.checkpoint(weights or run.config().test_weights)


def load_net(file: Path) -> Net:
    """The net of a checkpoint. Building it draws random numbers.

    Raises:
        RunError: a damaged checkpoint, or one that could run code.
        ConfigError: a net that this version does not have.
    """
    trained = load_trained(file)
    if problems := check_module(trained.model):
        raise ConfigError([f"{file}: {problem}" for problem in problems])
    module, scale = build_module(trained.model), Scale(**trained.scale)
    try:
        module.load_state_dict(trained.weights)
    except RuntimeError as error:
        raise RunError(f"{file}: its weights do not fit its net") from error
    if isinstance(module, Classifier):
        module.scale = scale
    return Net(module.eval(), scale)
