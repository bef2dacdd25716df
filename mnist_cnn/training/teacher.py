"""Distillation: training labels that say what trained nets think of each image (Hinton, Vinyals and Dean, 2015)."""

import logging
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from mnist_cnn.config.build import DataModule
from mnist_cnn.data.base import ImageDataModule
from mnist_cnn.data.images import ImageSet
from mnist_cnn.errors import ConfigError
from mnist_cnn.models.answers import logits_of
from mnist_cnn.report.calibration import mean_of_probabilities
from mnist_cnn.runs.directory import Run
from mnist_cnn.runs.shipped import run_path
from mnist_cnn.runs.trained import Net, checkpoint_of, load_net

log = logging.getLogger(__name__)
SPLIT = ("validate_on", "validation_size", "split_seed", "fold", "folds")  # which images of `data` train


def learn_from(cfg: DictConfig, data: DataModule) -> None:
    """Gives the training images of a configuration with teachers their answers for labels.

    The labels become (1 - `teacher_share`) · the true class + `teacher_share` · the softmax of the teachers' logits
    divided by `teacher_temperature`, of several the mean. The teachers see each training image once, as it is, and no
    other image.

    Raises:
        ConfigError: a teacher for other classes, or data, augmentation or a loss that have no room for its answers.
        RunError: no such run, or a damaged checkpoint.
    """
    if cfg.teacher is None:
        return
    names = [cfg.teacher] if isinstance(cfg.teacher, str) else list(cfg.teacher)
    if not isinstance(data, ImageDataModule) or (data.augment is not None and data.augment.mixes):
        raise ConfigError([f"teacher = {names}: needs data of the package, and no augmentation that mixes images"])
    train, classes = data.splits["train"], len(data.class_names)
    with torch.random.fork_rng():  # building a net draws random numbers
        teachers = [load_net(checkpoint_of(run_path(name), None)) for name in names]
    answers = mean_of_probabilities([_logits(one, train, name, classes) / cfg.teacher_temperature
                                     for one, name in zip(teachers, names, strict=True)]).softmax(1)  # fmt: skip
    share = cfg.teacher_share
    train.targets = ((1 - share) * F.one_hot(train.labels, classes) + share * answers).float()
    right = float((answers.argmax(1) == train.labels).double().mean())
    log.info(f"teacher: {', '.join(names)}; right on {right:.2%} of the training images, which is no test")
    if others := _of_other_splits(cfg, names):
        what = "may have trained on images that validate or are tested here, whose figures would be too good"
        log.warning(f"teacher: {', '.join(others)} {what}")


def _logits(teacher: Net, images: ImageSet, name: str, classes: int) -> Tensor:
    logits = logits_of(teacher.module, teacher.scale, images.images)
    if logits.shape[1] != classes:
        raise ConfigError([f"teacher = {name}: a net for {logits.shape[1]} classes; the data have {classes}"])
    return logits


def _of_other_splits(cfg: DictConfig, names: Sequence[str]) -> list[str]:
    """Teachers that may have trained on what validates or is tested here; of a lone checkpoint nobody knows."""
    # images put aside as the test's are so for one share and seed alone
    keys = ["test_share", "val", *(["split_seed"] if cfg.data.get("test_share") else [])]
    if cfg.data.validate_on == "holdout" and (cfg.data.validation_size != 0 or cfg.data.fold is not None):
        keys += SPLIT
    own = [cfg.data.get(key) for key in keys]
    found = []
    for name in names:
        run = Run(run_path(name))
        theirs = OmegaConf.select(run.config(), "data") if Path(run.config_file).is_file() else {}
        if [theirs.get(key) for key in keys] != own:
            found.append(name)
    return found
