"""The images that a data module of somebody's own gives, read as Lightning's evaluation reads them."""

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.model_helpers import is_overridden

from mnist_cnn.data.adopted import WHITE, AdoptedDataModule, check_batch
from mnist_cnn.data.images import Batch, ImageSet
from mnist_cnn.errors import DataError, ForeignError, UserError, foreign

MOST_READ = 10_000  # images of a loader, which may never end


def images_of(data: AdoptedDataModule, split: str) -> ImageSet | None:
    """Images of the loader of `train`, `val` or `test`, 10,000 at most, to the nearest byte.

    None where there is no such loader, or nothing in it; of the test also where its images are not labelled.

    Raises:
        DataError: images that are no pixels.
        ForeignError: what a hook or a loader raises.
    """
    name = type(data).__name__
    if not is_overridden(f"{split}_dataloader", data, pl.LightningDataModule):
        return None
    reader = _Reader(name, len(data.class_names))
    try:
        _read(data, split, reader)
    except UserError as error:
        if split == "test" and isinstance(error, DataError):
            return None
        raise
    except Exception as error:
        told = foreign(error, f"{split}_dataloader of {name} could not be read")
        if isinstance(told, ForeignError) and not told.in_log:
            raise told from error
        raise
    if not reader.batches:
        return None
    pixels = torch.cat([images for images, _ in reader.batches])
    low, high = float(pixels.min()), float(pixels.max())
    if not (low >= 0 and high <= 1):  # also refuses NaN
        needed = "needed: pixels from 0 to 1, or bytes; an export prepares pictures no other way"
        raise DataError(f"{name}: {split} images from {low:.3g} to {high:.3g}; {needed}")
    labels = torch.cat([labels for _, labels in reader.batches])
    return ImageSet((pixels * WHITE).round().byte(), labels).first(MOST_READ)


def _read(data: AdoptedDataModule, split: str, reader: "_Reader") -> None:
    trainer = pl.Trainer(
        accelerator="cpu", devices=1, logger=False, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False, use_distributed_sampler=False,
    )  # fmt: skip
    if split == "train":
        data.setup("fit")
    # Training images as if they were to validate: without what is done to batches in training alone.
    ask, hook = (trainer.test, "test_dataloader") if split == "test" else (trainer.validate, "val_dataloader")
    given = getattr(data, f"{split}_dataloader")
    setattr(data, hook, lambda: [] if (loader := given()) is None else loader)
    try:
        ask(reader, datamodule=data, verbose=False)
    except _Enough:
        pass
    finally:
        delattr(data, hook)


class _Enough(Exception):
    """Has been read."""


class _Reader(pl.LightningModule):
    """Keeps the batches as a net would get them."""

    def __init__(self, name: str, classes: int) -> None:
        super().__init__()
        self.name, self.classes = name, classes
        self.batches: list[Batch] = []
        self.count = 0

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        check_batch(batch, self.name, self.classes)
        self.batches.append(batch)
        self.count += len(batch[1])
        if self.count >= MOST_READ:
            raise _Enough

    test_step = validation_step
