"""What is exported: a trained net with its images, and what it says of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig
from torch import nn

from mnist_cnn.config.build import DataModule, build_data
from mnist_cnn.config.schema import problems_to_evaluate
from mnist_cnn.data.base import ImageDataModule
from mnist_cnn.data.images import ImageSet
from mnist_cnn.data.loaders import images_of
from mnist_cnn.errors import ConfigError, DataError
from mnist_cnn.evaluate import saved_config
from mnist_cnn.models.classifier import Classifier
from mnist_cnn.models.layers import INPUT_SHAPE
from mnist_cnn.models.net import NetClassifier
from mnist_cnn.models.reading import Scale
from mnist_cnn.runs.checkpoint import load_trained
from mnist_cnn.runs.record import Record
from mnist_cnn.runs.trained import folder_of, load_net, locate, require_its_classes

Pixels = np.ndarray[Any, np.dtype[np.uint8]]  # (N, 28, 28)
Logits = np.ndarray[Any, Any]  # (N, classes)
AT_ONCE = 1000
# With their names, in the order in which they are asked for.
SPLITS = {"test": "test", "val": "validation", "train": "training"}


@dataclass(frozen=True)
class Source:
    """A trained net.

    Args:
        net: from (N, 1, 28, 28) floats to logits, in evaluation mode, without what only training needs.
        scale: of the images that it was trained on.
        weights: checkpoint file.
        folder: where what is made of it goes: see `folder_of`.
        record: of the run; None for a lone checkpoint.
        data: its images; those of conf/ where a lone checkpoint does not tell.
        is_told: whether it is known that the net was trained on these images.
        spares_test: whether the run never reads the test images, so that its export does not either.
        epochs: that its weights were trained; None where nobody tells.
    """

    net: nn.Module
    name: str
    scale: Scale
    weights: Path
    folder: Path
    record: Record | None
    data: DataModule
    is_told: bool
    spares_test: bool = False
    epochs: int | None = None

    @property
    def divide_by(self) -> float:
        """Pixels from 0 to 255 were divided by this."""
        return self.scale.divide_by

    @property
    def classes(self) -> Sequence[str]:
        """Their names; of a run without reading its data."""
        return self._learned or self.data.class_names

    @property
    def _learned(self) -> list[str] | None:
        protocol = self.record.protocol if self.record is not None else None
        return protocol.class_names if protocol is not None else None

    @property
    def dataset(self) -> str:
        return self.data.dataset if isinstance(self.data, ImageDataModule) else type(self.data).__name__

    @cached_property
    def measured_on(self) -> str:
        """Of the images that hold an export against its checkpoint: the first of `SPLITS` that has labelled ones."""
        free = [split for split in SPLITS if split != "test" or not self.spares_test]
        return next(split for split in free if self._of(split) is not None)

    @property
    def unfinished(self) -> str | None:
        """How far a run came that did not come to its end."""
        if self.record is None or self.record.completed:
            return None
        status = "not finished" if self.record.status == "running" else self.record.status
        of = f" of {self.record.max_epochs}" if self.record.max_epochs else ""
        return f"{status}; these are its weights after epoch {self.epochs}{of}"

    def images(self, split: str) -> ImageSet:
        """Of one that is there."""
        found = self._of(split)
        if found is None:
            raise DataError(f"{self.weights}: {self.dataset} has no {SPLITS[split]} images")
        return found

    def require_pixels(self) -> None:
        """Raises DataError where images for training were no pixels, so that no picture becomes like them."""
        if not isinstance(self.data, ImageDataModule):
            self.images(self.measured_on)

    def _of(self, split: str) -> ImageSet | None:
        if split not in self._read:
            self._read[split] = _labelled(self._fetched, split)
        return self._read[split]

    @cached_property
    def _read(self) -> dict[str, ImageSet | None]:
        return {}

    @cached_property
    def _fetched(self) -> DataModule:
        if isinstance(self.data, ImageDataModule):  # `images_of` has a Trainer that does it
            self.data.prepare_data()
        require_its_classes(self.data, self.net, self._learned, self.weights)
        return self.data

    def logits(self, pixels: Pixels) -> Logits:
        """What the checkpoint says, on the CPU."""
        with torch.inference_mode():
            parts = torch.from_numpy(pixels).reshape(-1, *INPUT_SHAPE).split(AT_ONCE)
            return torch.cat([self.net(part.float() / self.divide_by) for part in parts]).numpy()


def _labelled(data: DataModule, split: str) -> ImageSet | None:
    """None where there are none."""
    if not isinstance(data, ImageDataModule):
        return images_of(data, split)
    if split == "test" and data.test_images != "labelled":
        return None
    data.setup("test" if split == "test" else "fit")
    return data.splits.get(split)


def pixels_of(images: ImageSet) -> Pixels:
    return images.images.numpy()[:, 0]


def find_source(cfg: DictConfig, settings: dict[str, Any]) -> Source:
    """The net that a configuration names, with its images.

    Raises:
        ConfigError, RunError, DataError: no such run, a checkpoint that is damaged or could run code, or images of
            other classes.
    """
    run, path = locate(cfg, settings)
    saved, where = saved_config(cfg, run, path)
    trained = load_trained(path)
    saved.model = trained.model
    if problems := problems_to_evaluate(saved):
        raise ConfigError([f"{where}: {problem}" for problem in problems])
    data, net = build_data(saved, training=False), load_net(path)
    record = run.record()
    if record is None:  # names the data's classes as the net's
        require_its_classes(data, net.module, net.class_names, path)
    is_told = run.config_file.is_file() or trained.data is not None
    module = net.module.net if isinstance(net.module, Classifier) else net.module
    named = module if isinstance(net.module, NetClassifier) else net.module
    folder = folder_of(run, path)
    spares_test, epochs = saved.get("test") == "never", None if trained.epoch is None else trained.epoch + 1
    name = type(named).__name__
    return Source(module, name, net.scale, path, folder, record, data, is_told, spares_test, epochs)
