"""A user's own LightningDataModule, taken in: its own loaders and split, with what the package asks of every module."""

import contextlib
from collections.abc import Callable, Iterator, Sized
from typing import Any, ClassVar

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.model_helpers import is_overridden
from pytorch_lightning.utilities.seed import isolate_rng
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, IterableDataset

from mnist_cnn.data.augment import Augmentation, augmentation
from mnist_cnn.data.base import TestImages
from mnist_cnn.data.images import DIGITS, SIDE, Batch, ImageSet
from mnist_cnn.data.photo import Preparation
from mnist_cnn.data.sampling import EpochSeeded
from mnist_cnn.errors import DataError

WHITE = 255.0


class AdoptedDataModule(pl.LightningDataModule):
    """Comes before the user's class, whose hooks it calls; made by `adopt`."""

    transform: Callable[..., Any] | None
    augment: Augmentation | None = None
    order_seed: int
    divide_by = WHITE
    for_pictures: Preparation = "mnist"  # as long as nobody says how its images were made
    limits: ClassVar[dict[str, int]] = {}
    verified = False
    first_epoch = 0
    last_batch: Batch | None = None

    class_names: list[str]

    @property
    def splits(self) -> dict[str, ImageSet]:
        """None in memory."""
        return {}

    @property
    def holds_out(self) -> bool:
        return is_overridden("val_dataloader", self, pl.LightningDataModule)

    @property
    def test_images(self) -> TestImages:
        return "labelled" if is_overridden("test_dataloader", self, pl.LightningDataModule) else "none"

    def mean(self) -> float | None:
        """Of the training images: not known."""
        return None

    def setup(self, stage: str | None = None) -> None:
        """Looks at the first batch before training, without a trace in the random numbers.

        Raises:
            DataError: it is not what a net here can read.
        """
        super().setup(stage)  # type: ignore[arg-type]
        self.augment = augmentation(self.transform, self.class_names)
        if stage == "fit" and self.trainer is None:
            with isolate_rng():
                check_batch(next(iter(self.train_dataloader()), None), type(self).__name__, len(self.class_names))

    def train_dataloader(self) -> Any:
        """The user's, whose order of an epoch then follows from seed and epoch, so that a resumed run goes on in it."""
        loader = super().train_dataloader()
        if isinstance(loader, DataLoader) and isinstance(loader.dataset, IterableDataset):
            return loader  # a stream has an order of its own, and its sampler no end
        if isinstance(loader, DataLoader) and isinstance(loader.batch_sampler, BatchSampler):
            loader.generator = loader.generator or torch.Generator()  # iterating must not draw from the global numbers
            sampler = EpochSeeded(loader.batch_sampler.sampler, self.order_seed, loader.generator, self.first_epoch)
            loader.batch_sampler.sampler = sampler
        return loader

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Batch:
        """Bytes to floats from 0 to 1, and augmentation while training."""
        images, labels = self.last_batch = _pair(
            super().on_after_batch_transfer(batch, dataloader_idx), type(self).__name__
        )
        if images.dtype == torch.uint8:
            images = images.float().div_(WHITE)
        if self.augment is not None and self.trainer is not None and self.trainer.training:
            return self.augment(images, labels.long())
        return images, labels.long()

    def protocol(self) -> dict[str, Any]:
        """Which images did what, as far as it can be seen from outside."""
        counts = {}
        for split, loader in (("train", self.train_dataloader), ("val", self.val_dataloader)):
            if split == "train" or self.holds_out:
                data = getattr(loader(), "dataset", None)
                counts[f"{split}_images"] = len(data) if isinstance(data, Sized) else None
        return {"dataset": type(self).__name__, "verified": False, "validate_on": "own", "split_seed": None,
                "test_images_watched": False, **counts}  # fmt: skip


@contextlib.contextmanager
def labels_blamed(data: pl.LightningDataModule) -> Iterator[None]:
    """A label beyond the classes, which a loss tells as an index out of bounds, is told as what it is.

    Raises:
        DataError: the last batch of somebody's own data module is not what a net here can read.
    """
    try:
        yield
    except IndexError:
        if isinstance(data, AdoptedDataModule) and data.last_batch is not None:
            check_batch(data.last_batch, type(data).__name__, len(data.class_names))
        raise


def adopt(data: pl.LightningDataModule, augment: Callable[..., Any] | None, seed: int) -> AdoptedDataModule:
    """The same object, which from now on is an `AdoptedDataModule` too.

    Args:
        seed: of the order in which it trains, where PyTorch's samplers make that.
    """
    kind = type(data)
    names = getattr(data, "class_names", None)
    data.__class__ = type(kind.__name__, (AdoptedDataModule, kind), {"__module__": kind.__module__})
    assert isinstance(data, AdoptedDataModule)
    data.transform = augment
    data.order_seed = seed
    if names is None:
        data.class_names = DIGITS
    return data


def _pair(batch: Any, name: str) -> Batch:
    if not isinstance(batch, list | tuple) or len(batch) != 2 or not all(isinstance(part, Tensor) for part in batch):
        raise DataError(f"{name}: a batch is a {type(batch).__name__}; needed: two tensors, (images, labels)")
    return batch[0], batch[1]


def check_batch(batch: Any, name: str, classes: int) -> None:
    """Raises DataError for what a net here cannot read."""
    if batch is None:
        raise DataError(f"{name}: its train_dataloader gives no batch")
    images, labels = _pair(batch, name)
    if images.ndim != 4 or tuple(images.shape[1:]) != (1, SIDE, SIDE):
        raise DataError(f"{name}: images have shape {tuple(images.shape)}; needed: (N, 1, {SIDE}, {SIDE})")
    if not (images.is_floating_point() or images.dtype == torch.uint8):
        raise DataError(f"{name}: images are {images.dtype}; needed: floats, or uint8 from 0 to 255")
    if labels.shape != (len(images),) or labels.is_floating_point() or labels.dtype == torch.bool:
        raise DataError(f"{name}: labels are {labels.dtype} of shape {tuple(labels.shape)}; needed: whole numbers (N,)")
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise DataError(
            f"{name}: labels from {int(labels.min())} to {int(labels.max())}; needed: 0 to {classes - 1} "
            "(its class_names say how many classes there are)"
        )
