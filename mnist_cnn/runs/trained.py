"""A trained net: the file that a user means, and the net in it, ready to be asked."""

import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf

from mnist_cnn.config.module import build_module, check_module
from mnist_cnn.config.place import NETS
from mnist_cnn.config.python_values import setting
from mnist_cnn.config.signatures import check_keys
from mnist_cnn.errors import ConfigError, RunError
from mnist_cnn.models.classifier import Classifier
from mnist_cnn.models.reading import Scale
from mnist_cnn.runs.checkpoint import load_trained
from mnist_cnn.runs.directory import Run
from mnist_cnn.runs.layout import PLAN
from mnist_cnn.runs.own_code import changes_of_code
from mnist_cnn.runs.record import Record
from mnist_cnn.runs.shipped import run_path

log = logging.getLogger(__name__)
MOST_NAMED = 12  # classes of a message


@dataclass(frozen=True)
class Net:
    """Args:
    module: from (N, 1, 28, 28) floats to logits (N, classes), in evaluation mode, on the CPU.
    scale: of the images that it was trained on.
    class_names: of its classes; None where neither a record nor the checkpoint tells.
    """

    module: Any
    scale: Scale
    class_names: list[str] | None = None


def checkpoint_of(path: Path, weights: str | None) -> Path:
    """The file of a run directory's weights, by default those that the run itself tested; a file is what it is."""
    if not path.is_dir():
        return path
    run = Run(path)
    return run.checkpoint(weights) if weights else run.tested_checkpoint


def load_net(file: Path) -> Net:
    """The net of a checkpoint. Building it draws random numbers.

    Raises:
        RunError: a damaged checkpoint, or one that could run code.
        ConfigError: a net that this version does not have.
    """
    trained = load_trained(file)
    run = Run(file.resolve().parent.parent)
    run.find_classes()
    if problems := check_module(trained.model):
        raise ConfigError([f"{file}: {problem}" for problem in problems])
    module, scale = build_module(trained.model), Scale(**trained.scale)
    try:
        module.load_state_dict(trained.weights)
    except RuntimeError as error:
        raise RunError(f"{file}: its weights do not fit its net") from error
    names = class_names_of(run) or trained.class_names
    if isinstance(module, Classifier):
        module.scale, module.class_names = scale, names
    for words in changes_of_code(trained.model, readable_record(run)):
        log.warning(words)
    return Net(module.eval(), scale, names)


def class_names_of(run: Run) -> list[str] | None:
    """As its record has them; None of a lone checkpoint, or where the record cannot be read."""
    record = readable_record(run)
    return record.protocol.class_names if record is not None and record.protocol is not None else None


def readable_record(run: Run) -> Record | None:
    """None of a lone checkpoint, and where it cannot be read: no answer of a net hangs on it."""
    with contextlib.suppress(RunError):
        return run.record() if run.config_file.is_file() else None
    return None


def require_its_classes(data: pl.LightningDataModule, module: Any, learned: list[str] | None, where: Path) -> None:
    """Raises RunError where the data show other classes than a net was trained to tell apart.

    Args:
        learned: their names, as far as they are known.
    """
    names = list(getattr(data, "class_names", []))
    count = len(learned) if learned else getattr(module, "num_classes", len(names))
    if names and (count != len(names) or learned not in (None, names)):
        known = f" ({listed(learned)})" if learned else ""
        words = f"tells {count} classes apart{known}; the data have {len(names)} ({listed(names)})"
        alone = not Run(where.resolve().parent.parent).config_file.is_file()
        raise RunError(f"{where}: {words}{'; its run directory says which are its own: run_dir=' * alone}")


def listed(names: Sequence[str]) -> str:
    return ", ".join(names[:MOST_NAMED]) + (", ..." if len(names) > MOST_NAMED else "")


def locate(cfg: DictConfig, settings: dict[str, Any]) -> tuple[Run, Path]:
    """The run directory and the checkpoint that the configuration names.

    Args:
        settings: the types of its keys.
    """
    plain: Any = OmegaConf.to_container(cfg)
    problems = check_keys(plain, settings, "")
    told = any(key in words for words in problems for key in ("run_dir", "checkpoint"))  # of a typo, for example
    if (cfg.run_dir is None) == (cfg.checkpoint is None) and not told:
        problems = ["give either run_dir=<run directory> or checkpoint=<file>", *problems]
    if problems:
        raise ConfigError(problems)
    if cfg.checkpoint:
        path = Path(cfg.checkpoint)
        if path.is_dir():
            raise RunError(f"{path}: a folder; for a run directory: {setting('run_dir', path)}")
        return Run(path.resolve().parent.parent), path
    run = Run(run_path(cfg.run_dir))
    if run.path.is_file():
        raise RunError(f"{cfg.run_dir}: a file; for a checkpoint: checkpoint={cfg.run_dir}")
    if (run.path / PLAN).is_file():
        first = next((file.parent for file in sorted(run.path.glob("*/config.yaml"))), run.path / "0")
        raise RunError(f"{cfg.run_dir}: a sweep; name one of its jobs: {setting('run_dir', first)}")
    return run, run.checkpoint(cfg.weights) if cfg.weights else run.tested_checkpoint


def folder_of(run: Run, checkpoint: Path) -> Path:
    """Where what is made of a net goes: the run's directory, or the folder of a lone checkpoint.

    Nothing is written into the package: of a shipped net it is a folder of its name in the working folder.
    """
    if not run.config_file.is_file():
        return checkpoint.resolve().parent
    return Path(run.path.name) if run.path.parent == NETS else run.path
