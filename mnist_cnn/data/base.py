"""What every data module of the package does: splits in memory, batches by index, scaling and augmentation."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytorch_lightning as pl
import torch
from platformdirs import user_cache_path
from torch.utils.data import DataLoader, Sampler

from mnist_cnn.data import splits
from mnist_cnn.data.augment import Augmentation, augmentation
from mnist_cnn.data.images import Batch, ImageSet
from mnist_cnn.data.photo import Preparation, is_like_mnist
from mnist_cnn.data.resident import ResidentLoader
from mnist_cnn.data.sampling import ShardSampler, end_with_parent, training_sampler
from mnist_cnn.errors import DataError
from mnist_cnn.values import (
    Count,
    FoldCount,
    NotNegativeInt,
    OpenShare,
    PathName,
    Positive,
    PositiveShare,
    Ratio,
    Seed,
    SplitSeed,
)

log = logging.getLogger(__name__)
TestImages = Literal["labelled", "unlabelled", "none"]
SAMPLED = 1000  # images for training that are looked at


class ImageDataModule(pl.LightningDataModule):
    """Images of 28 x 28 pixels, the whole set in memory as uint8, under one of two protocols.

    `holdout`: part of the training images validates and chooses, the test images are read by `test` alone.
    `test`: trains on all training images and validates on the test images, as the documents do.

    A subclass says in `prepare_data`, `read` and `class_names` where the images come from and what they show.

    Args:
        root: folder of the files; None for the user's cache folder.
        class_names: of the classes in order of their numbers; None for what the data say.
        batch_size, eval_batch_size: images per step (and per process).
        validation_size: images held out of the training set under `holdout`, or a share of each class; 0 for none.
        fold: validate on this one of `folds` parts of the training images instead; each has an equal share of a class.
        split_seed: seeds the split alone.
        fraction: share of each class that trains, of the images left after the split.
        imbalance: thins classes out after that; see `splits.kept`.
        balanced: draw as many images of each class in an epoch; see `BalancedSampler`.
        seed: seeds the order of the training images; epoch e of a seed always has the same order.
        limit_train, limit_val, limit_test: use only the first so many images of a split.
        divide_by: pixels 0 to 255 are divided by this.
        augment: maps a float batch (N, 1, 28, 28) to the same shape (see `Augmentation`); training batches only.
    """

    dataset: str  # its name
    preparation: Preparation = "resize"  # of what is not 28 x 28 and grey
    scaled = False  # whether most images for training had been of another size
    resident = False  # images on the GPU; for its training alone, and unless `num_workers` read them
    raw = False  # training batches stay uint8 and as they are: whoever trains on them calls `prepared`
    first_epoch = 0  # to be trained; Lightning tells a sampler only when workers have drawn their first batches

    def __init__(
        self,
        root: PathName | None,
        class_names: list[str] | None,
        batch_size: Count,
        eval_batch_size: Count,
        validate_on: Literal["holdout", "test"],
        validation_size: NotNegativeInt | OpenShare,
        fold: NotNegativeInt | None,
        folds: FoldCount,
        split_seed: SplitSeed,
        fraction: PositiveShare,
        imbalance: Ratio | list[PositiveShare] | None,
        balanced: bool,
        seed: Seed,
        num_workers: NotNegativeInt,
        pin_memory: Literal["auto"] | bool,
        limit_train: Count | None,
        limit_val: Count | None,
        limit_test: Count | None,
        divide_by: Positive,
        augment: Callable[..., Any] | None = None,
    ) -> None:
        super().__init__()
        self.root = Path(root).expanduser() if root is not None else cache_folder()
        self.given_names = class_names
        self.batch_size, self.eval_batch_size = batch_size, eval_batch_size
        self.validate_on, self.validation_size, self.split_seed = validate_on, validation_size, split_seed
        self.fold, self.folds = fold, folds
        self.fraction, self.imbalance, self.balanced = fraction, imbalance, balanced
        self.seed, self.num_workers, self.pin_memory = seed, num_workers, pin_memory
        self.limit_train, self.limit_val, self.limit_test = limit_train, limit_val, limit_test
        self.divide_by = divide_by
        self.transform: Callable[..., Any] | None = augment
        self.augment: Augmentation | None = None  # the second by `setup`: it takes the number of classes
        self.splits: dict[str, ImageSet] = {}
        self.digests: dict[str, str] = {}  # of what was read, by split

    def read(self, split: Literal["train", "test"]) -> ImageSet:
        """All images for training, or for the test.

        Raises:
            DataError: files that are not what they should be, by name.
        """
        raise NotImplementedError

    @property
    def class_names(self) -> list[str]:
        """One for each class, in order of their numbers; may read the labels."""
        raise NotImplementedError

    @property
    def for_pictures(self) -> Preparation:
        """How a picture from outside becomes like the images for training, once they have been read."""
        return "mnist" if self.preparation == "mnist" or (not self.scaled and self.handwritten) else "resize"

    @property
    def handwritten(self) -> bool:
        """Whether most of the images for training are placed as MNIST's are, by `SAMPLED` of them."""
        images = self.splits["train"].images[:, 0].numpy()
        some = images[:: max(1, len(images) // SAMPLED)]
        return 2 * sum(map(is_like_mnist, some)) > len(some)

    @property
    def verified(self) -> bool:
        """Whether the files were held against published checksums."""
        return False

    @property
    def test_images(self) -> TestImages:
        """What there is to test on."""
        return "labelled"

    @property
    def limits(self) -> dict[str, int]:
        """How many images are used at most, where a limit is set."""
        all_limits = {"training": self.limit_train, "validation": self.limit_val, "test": self.limit_test}
        return {name: limit for name, limit in all_limits.items() if limit is not None}

    @property
    def holds_out(self) -> bool:
        """Whether any image validates."""
        return self.validate_on == "test" or self.fold is not None or self.validation_size != 0

    def setup(self, stage: str | None = None) -> None:
        """Reads the splits that `stage` needs; the test images only for `test`, unless validation watches them."""
        if stage != "test" and "train" not in self.splits:
            self.augment = augmentation(self.transform, self.class_names)
            train = self.read("train")
            if self.validate_on == "test":
                validation = self.read("test")
            else:
                train, validation = self._split(train)
            self.splits["train"] = _limited(self._thinned(train), self.limit_train)
            if self.holds_out:
                self.splits["val"] = _limited(validation, self.limit_val)
        if stage == "test" and "test" not in self.splits:
            self.splits["test"] = _limited(self.read("test"), self.limit_test)

    def protocol(self) -> dict[str, Any]:
        """Which images did what; goes into every report, with `runs.protocol` around it."""
        sizes = {f"{name}_images": len(images) for name, images in self.splits.items()}
        watched = self.validate_on == "test"
        unusual = {"fold": self.fold, "folds": self.folds if self.fold is not None else None,
                   "fraction": self.fraction if self.fraction != 1 else None, "imbalance": self.imbalance,
                   "balanced": self.balanced or None}  # fmt: skip
        return {
            "dataset": self.dataset,
            "verified": self.verified,
            "validate_on": self.validate_on,
            "split_seed": None if watched else self.split_seed,
            "test_images_watched": watched,
            **sizes,
            **{name: value for name, value in unusual.items() if value is not None},
            **({"images": dict(self.digests)} if self.digests and not self.verified else {}),
        }

    def mean(self) -> float:
        """Of the training images' pixels, 0 to 255."""
        pixels = self.splits["train"].images.numpy()
        return float(pixels.sum(dtype=np.uint64)) / pixels.size  # ten times as fast as PyTorch's sum

    def train_dataloader(self) -> DataLoader[Batch] | ResidentLoader:
        images = self.splits["train"]
        sampler = training_sampler(images, images.labels, self.balanced, self.seed, *self._place(), self.first_epoch)
        return self._loader("train", sampler, self.batch_size)

    def val_dataloader(self) -> DataLoader[Batch] | ResidentLoader | list[Any]:
        return self._evaluation_loader("val") if "val" in self.splits else []

    def test_dataloader(self) -> DataLoader[Batch] | ResidentLoader:
        return self._evaluation_loader("test")

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """uint8 to float, scaled, then augmentation while training, on the device."""
        training = self.trainer is not None and self.trainer.training
        return batch if training and self.raw else self.prepared(batch, training)

    def prepared(self, batch: Batch, training: bool = True) -> Batch:
        """A batch of uint8 images as the net gets it."""
        images, labels = batch
        images = images.float().div_(self.divide_by)
        if self.augment is not None and training:
            return self.augment(images, labels)
        return images, labels

    def _evaluation_loader(self, split: str) -> DataLoader[Batch] | ResidentLoader:
        rank, processes = self._place()
        return self._loader(split, ShardSampler(len(self.splits[split]), rank, processes), self.eval_batch_size)

    def _loader(self, split: str, sampler: Sampler[int], batch_size: int) -> DataLoader[Batch] | ResidentLoader:
        if self.resident and self.num_workers == 0 and self.trainer is not None:
            return ResidentLoader(self.splits[split].to(self.trainer.strategy.root_device), sampler, batch_size)
        on_gpu = self.trainer is not None and self.trainer.strategy.root_device.type == "cuda"
        return DataLoader(
            self.splits[split],
            batch_size=batch_size,
            sampler=sampler,
            collate_fn=_as_is,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            worker_init_fn=end_with_parent,
            pin_memory=on_gpu if self.pin_memory == "auto" else self.pin_memory,
            generator=torch.Generator(),  # its own: iterating must not draw from the global random numbers
        )

    def _place(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer is not None else (0, 1)

    def _split(self, images: ImageSet) -> tuple[ImageSet, ImageSet]:
        if self.fold is not None:
            rest, held_out = splits.fold(images.labels, self.fold, self.folds, self.split_seed)
        elif isinstance(self.validation_size, float):
            rest, held_out = splits.stratified(images.labels, self.validation_size, self.split_seed)
        elif self.validation_size >= len(images):
            raise DataError(
                f"data.validation_size = {self.validation_size}: {self.dataset} has only {len(images)} training images"
            )
        else:
            rest, held_out = splits.holdout(len(images), self.validation_size, self.split_seed)
        if self.holds_out and not len(held_out):
            raise DataError(f"data.validation_size = {self.validation_size}: no image of {self.dataset} is left for it")
        return images.chosen(rest), images.chosen(held_out)

    def _thinned(self, images: ImageSet) -> ImageSet:
        if self.fraction == 1 and self.imbalance is None:
            return images
        return images.chosen(splits.kept(images.labels, self.fraction, self.imbalance, self.split_seed))


def _limited(images: ImageSet, count: int | None) -> ImageSet:
    """The first, unless they come class by class, as from folders: then some of each."""
    labels = images.labels
    if count is None or count >= len(images) or labels[0] >= labels[-1] or bool((labels[1:] < labels[:-1]).any()):
        return images.first(count)
    return images.chosen(torch.arange(count) * len(images) // count)


def cache_folder() -> Path:
    """Of the user, for data: where the platform has such folders.

    Raises:
        DataError: a user without a home; nothing is written into the working folder, nor into the root of all.
    """
    folder = user_cache_path("mnist_cnn")
    if not folder.is_absolute() or not any(parent.is_dir() for parent in folder.parents[:-1]):
        raise DataError(
            f"data.root: there is no home folder for a cache ({folder}); name one: data.root=<folder>, or "
            "MNIST_CNN_DATA=<folder> in the environment"
        )
    return folder


def _as_is(batch: Any) -> Any:
    return batch
