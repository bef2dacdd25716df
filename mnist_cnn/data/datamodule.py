"""The MNIST data module: whole set in memory as uint8, batches by index, scaling and augmentation on the device."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytorch_lightning as pl
import torch
from platformdirs import user_cache_path
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, DistributedSampler, Sampler
from torchvision.datasets.mnist import read_image_file, read_label_file

from mnist_cnn.data.augment import Augmentation
from mnist_cnn.data.source import FILES, prepare
from mnist_cnn.errors import DataError
from mnist_cnn.values import Count, NotNegativeInt, Positive, Seed, SplitSeed

Batch = tuple[Tensor, Tensor]


class ImageSet(Dataset[Batch]):
    """Images (N, 1, 28, 28) uint8 and labels (N,) int64 in memory; hands out a whole batch for a list of indices."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Batch:
        return self.images[index], self.labels[index]

    def __getitems__(self, indices: list[int]) -> Batch:
        chosen = torch.tensor(indices)
        return self.images[chosen], self.labels[chosen]

    def first(self, count: int | None) -> "ImageSet":
        return ImageSet(self.images[:count], self.labels[:count])


class ShardSampler(Sampler[int]):
    """Every image once, in order, dealt out among the processes; unlike DistributedSampler it never pads."""

    def __init__(self, size: int, rank: int, processes: int) -> None:
        self.indices = range(rank, size, processes)

    def __iter__(self) -> Any:
        return iter(self.indices)

    def __len__(self) -> int:
        return len(self.indices)


class MNISTDataModule(pl.LightningDataModule):
    """MNIST, or any data set in its format, under one of two protocols.

    `holdout`: a seeded split of the training images; validation chooses, the test images are read by `test` alone.
    `test`: trains on all training images and validates on the test images, as the documents do.

    Args:
        dataset: torchvision's name of the set; the files lie under `root`/`dataset`/raw.
        root: folder of data sets; None for the user's cache folder.
        md5: digests of the four uncompressed files, or None to trust them.
        batch_size, eval_batch_size: images per step (and per process).
        validation_size: images held out of the training set under `holdout`.
        split_seed: seeds the split alone.
        seed: seeds the order of the training images; epoch e of a seed always has the same order.
        limit_train, limit_val, limit_test: use only the first so many images of a split.
        divide_by: pixels 0 to 255 are divided by this.
        augment: maps a float batch (N, 1, 28, 28) to the same shape (see `Augmentation`); training batches only.
    """

    def __init__(
        self,
        dataset: str,
        root: str | None,
        md5: dict[str, str] | None,
        batch_size: Count,
        eval_batch_size: Count,
        validate_on: Literal["holdout", "test"],
        validation_size: Count,
        split_seed: SplitSeed,
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
        self.dataset, self.md5 = dataset, md5
        self.root = Path(root).expanduser() if root is not None else user_cache_path("mnist_cnn")
        self.batch_size, self.eval_batch_size = batch_size, eval_batch_size
        self.validate_on, self.validation_size, self.split_seed = validate_on, validation_size, split_seed
        self.seed, self.num_workers, self.pin_memory = seed, num_workers, pin_memory
        self.limit_train, self.limit_val, self.limit_test = limit_train, limit_val, limit_test
        self.divide_by = divide_by
        self.augment = Augmentation(augment) if augment is not None else None
        self.splits: dict[str, ImageSet] = {}

    def prepare_data(self) -> None:
        """Fetches and verifies the files (one process per machine)."""
        prepare(self.dataset, self.root, self.md5)

    def setup(self, stage: str | None = None) -> None:
        """Reads the splits that `stage` needs; the test images only for `test`, unless validation watches them."""
        if stage != "test" and "train" not in self.splits:
            train = self._read(*FILES[:2])
            if self.validate_on == "holdout":
                train, validation = self._split(train)
            else:
                validation = self._read(*FILES[2:])
            self.splits["train"] = train.first(self.limit_train)
            self.splits["val"] = validation.first(self.limit_val)
        if stage == "test" and "test" not in self.splits:
            self.splits["test"] = self._read(*FILES[2:]).first(self.limit_test)

    def protocol(self) -> dict[str, Any]:
        """Which images did what; goes into every report."""
        sizes = {f"{name}_images": len(images) for name, images in self.splits.items()}
        watched = self.validate_on == "test"
        words = "test images watched during training" if watched else "test images read once, after training"
        limits = {"training": self.limit_train, "validation": self.limit_val, "test": self.limit_test}
        if few := [f"{limit:,} {name}" for name, limit in limits.items() if limit is not None]:
            words += f"; at most {', '.join(few)} images used"
        return {
            "dataset": self.dataset,
            "verified": self.md5 is not None,
            "validate_on": self.validate_on,
            "split_seed": None if watched else self.split_seed,
            "test_images_watched": watched,
            "summary": words,
            **sizes,
        }

    def mean(self) -> float:
        """Of the training images' pixels, 0 to 255."""
        pixels = self.splits["train"].images.numpy()
        return float(pixels.sum(dtype=np.uint64)) / pixels.size  # ten times as fast as PyTorch's sum

    def train_dataloader(self) -> DataLoader[Batch]:
        rank, processes = self._place()
        # A hashed seed: consecutive seeds must not share permutations (the sampler adds the epoch to its seed).
        mixed = int(np.random.SeedSequence(self.seed).generate_state(1)[0])
        sampler: Sampler[int] = DistributedSampler(
            self.splits["train"], num_replicas=processes, rank=rank, shuffle=True, seed=mixed, drop_last=False
        )
        return self._loader("train", sampler, self.batch_size)

    def val_dataloader(self) -> DataLoader[Batch]:
        return self._evaluation_loader("val")

    def test_dataloader(self) -> DataLoader[Batch]:
        return self._evaluation_loader("test")

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """uint8 to float, scaled, then augmentation while training, on the device."""
        images, labels = batch
        images = images.float().div_(self.divide_by)
        if self.augment is not None and self.trainer is not None and self.trainer.training:
            return self.augment(images, labels)
        return images, labels

    def _evaluation_loader(self, split: str) -> DataLoader[Batch]:
        rank, processes = self._place()
        return self._loader(split, ShardSampler(len(self.splits[split]), rank, processes), self.eval_batch_size)

    def _loader(self, split: str, sampler: Sampler[int], batch_size: int) -> DataLoader[Batch]:
        on_gpu = self.trainer is not None and self.trainer.strategy.root_device.type == "cuda"
        return DataLoader(
            self.splits[split],
            batch_size=batch_size,
            sampler=sampler,
            collate_fn=_as_is,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=on_gpu if self.pin_memory == "auto" else self.pin_memory,
            generator=torch.Generator(),  # its own: iterating must not draw from the global random numbers
        )

    def _place(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer is not None else (0, 1)

    def _split(self, images: ImageSet) -> tuple[ImageSet, ImageSet]:
        if self.validation_size >= len(images):
            raise DataError(
                f"data.validation_size = {self.validation_size}: {self.dataset} has only {len(images)} training images"
            )
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(self.split_seed))
        held_out, rest = order[: self.validation_size], order[self.validation_size :]
        return ImageSet(*images.__getitems__(rest.tolist())), ImageSet(*images.__getitems__(held_out.tolist()))

    def _read(self, images_name: str, labels_name: str) -> ImageSet:
        folder = self.root / self.dataset / "raw"
        pixels = _read_idx(read_image_file, folder / images_name)
        labels = _read_idx(read_label_file, folder / labels_name)
        if tuple(pixels.shape[1:]) != (28, 28) or len(pixels) == 0:
            raise DataError(f"{folder / images_name}: {tuple(pixels.shape)}; needed: images of 28 x 28 pixels")
        if len(labels) != len(pixels):
            raise DataError(f"{folder / labels_name}: {len(labels)} labels for {len(pixels)} images")
        if int(labels.max()) > 9:
            raise DataError(f"{folder / labels_name}: label {int(labels.max())}; needed: 0 to 9")
        return ImageSet(pixels.unsqueeze(1), labels)


def _read_idx(read: Any, path: Path) -> Tensor:
    try:
        return read(str(path))
    except (OSError, AssertionError, ValueError, KeyError, IndexError) as error:
        raise DataError(f"{path}: not a complete IDX file ({str(error) or 'cut short'})") from error


def _as_is(batch: Any) -> Any:
    return batch
