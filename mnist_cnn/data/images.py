"""Images and labels in memory, and what must hold for them whatever they were read from."""

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.data import Dataset

from mnist_cnn.errors import DataError

Batch = tuple[Tensor, Tensor]
SIDE = 28
DIGITS = [str(digit) for digit in range(10)]
MOST_CLASSES = 1000
UNKNOWN = -1  # the label of a test image that has none


class ImageSet(Dataset[Batch]):
    """Images (N, 1, 28, 28) uint8 and labels (N,) int64 in memory; hands out a whole batch for a list of indices.

    Args:
        targets: handed out for the labels: probabilities (N, classes), by a teacher; None for the labels themselves.
        numbers: (N,) of the images in the file or folder they came from; None for all of them, in order.
        files: the names of all images there; None where they have none.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        targets: Tensor | None = None,
        numbers: Tensor | None = None,
        files: Sequence[str] | None = None,
    ) -> None:
        self.images, self.labels = images, labels
        self.targets = labels if targets is None else targets
        self.numbers = torch.arange(len(labels)) if numbers is None else numbers
        self.files = files

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Batch:
        return self.images[index], self.targets[index]

    def __getitems__(self, indices: list[int]) -> Batch:
        chosen = torch.tensor(indices)
        return self.images[chosen], self.targets[chosen]

    def first(self, count: int | None) -> "ImageSet":
        return self.chosen(slice(count))

    def to(self, device: torch.device) -> "ImageSet":
        held = (self.images.to(device), self.labels.to(device), self.targets.to(device))
        return ImageSet(*held, self.numbers, self.files)

    def chosen(self, indices: Tensor | slice) -> "ImageSet":
        held = (self.images[indices], self.labels[indices], self.targets[indices], self.numbers[indices])
        return ImageSet(*held, self.files)

    @property
    def digest(self) -> str:
        """The same for the same images with the same labels in the same order."""
        found = hashlib.sha256(repr(tuple(self.images.shape)).encode())
        for held in (self.images, self.labels):
            found.update(held.contiguous().numpy().data)
        return found.hexdigest()[:12]

    @property
    def sources(self) -> list[str]:
        """Where each image came from: the name of its file, or its number in one, from 0 on."""
        numbers = self.numbers.tolist()
        return [str(number) for number in numbers] if self.files is None else [self.files[n] for n in numbers]


def require_classes(names: list[str], where: str) -> None:
    """Raises DataError where there are fewer than 2 classes, or more than 1,000."""
    if not 2 <= len(names) <= MOST_CLASSES:
        few = f" ({', '.join(names)})" if names and len(names) < 2 else ""
        raise DataError(f"{where}: {len(names)} classes{few}; needed: 2 to {MOST_CLASSES:,}")
