"""The data module of MNIST, and of every set that comes as four IDX files."""

from pathlib import Path
from typing import Any, Literal

from mnist_cnn.data.base import ImageDataModule
from mnist_cnn.data.idx import read_idx
from mnist_cnn.data.images import DIGITS, SIDE, ImageSet, require_classes
from mnist_cnn.data.photo import Preparation
from mnist_cnn.data.picture import to_28
from mnist_cnn.data.presets import PRESETS, Preset, preset
from mnist_cnn.data.source import digest_of, prepare
from mnist_cnn.errors import DataError


class MNISTDataModule(ImageDataModule):
    """MNIST, or any data set in its format: IDX files under `root`/`dataset`/raw.

    Args:
        dataset: torchvision's name of the set, also the folder.
        md5: digests of the four uncompressed files; `torchvision`: those that it has for the packed files, which are
            held against them when they are fetched; None to trust the files as they are, and fetch nothing.
        prepare: how images of other sizes become 28 x 28; see `picture.to_28`.
        options: of `ImageDataModule`.
    """

    def __init__(
        self,
        dataset: str,
        md5: dict[str, str] | Literal["torchvision"] | None,
        prepare: Preparation = "resize",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.dataset, self.md5, self.preparation = dataset, md5, prepare
        self.preset: Preset = preset(dataset)
        require_classes(self.class_names, "data.class_names")

    @property
    def class_names(self) -> list[str]:
        return self.given_names or DIGITS

    @property
    def verified(self) -> bool:
        if self.md5 is None:
            return False
        return all(digest_of(self.md5, self.folder, name) is not None for name in self.preset.files)

    @property
    def handwritten(self) -> bool:
        known = PRESETS.get(self.dataset)
        return super().handwritten if known is None else known.handwritten

    @property
    def folder(self) -> Path:
        return self.root / self.preset.folder / "raw"

    def prepare_data(self) -> None:
        """Fetches and verifies the files (one process per machine)."""
        prepare(self.dataset, self.root, self.md5)

    def read(self, split: Literal["train", "test"]) -> ImageSet:
        names = self.preset.files[:2] if split == "train" else self.preset.files[2:]
        images_file, labels_file = (self.folder / name for name in names)
        pixels = read_idx(images_file, 3)
        labels = read_idx(labels_file, self.preset.label_columns, ("uint8", "int32"))  # those of QMNIST
        if len(pixels) == 0:
            raise DataError(f"{images_file}: {tuple(pixels.shape)}; needed: images of {SIDE} x {SIDE} pixels")
        if len(labels) != len(pixels):
            raise DataError(f"{labels_file}: {len(labels)} labels for {len(pixels)} images")
        labels = (labels if labels.ndim == 1 else labels[:, 0]).long() - self.preset.first_label
        if int(labels.min()) < 0 or int(labels.max()) >= len(self.class_names):
            wrong = int(labels.max() if int(labels.min()) >= 0 else labels.min()) + self.preset.first_label
            last = len(self.class_names) - 1 + self.preset.first_label
            raise DataError(
                f"{labels_file}: label {wrong}; needed: {self.preset.first_label} to {last} "
                "(data.class_names=[...] says how many classes there are)"
            )
        if split == "train":
            self.scaled = tuple(pixels.shape[1:]) != (SIDE, SIDE)
        if self.preset.lies_on_its_side:
            pixels = pixels.transpose(1, 2).contiguous()
        images = ImageSet(to_28(pixels, self.preparation, str(images_file)).unsqueeze(1), labels)
        if not self.verified:
            self.digests[split] = images.digest
        return images
