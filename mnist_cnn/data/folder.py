"""Pictures by class: a folder for each."""

import functools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mnist_cnn.data.images import SIDE, require_classes
from mnist_cnn.data.own import Labels, OwnDataModule, Split, seen_from
from mnist_cnn.data.photo import Preparation
from mnist_cnn.data.picture import open_picture, prepared, say
from mnist_cnn.errors import DataError
from mnist_cnn.files import relative

PICTURES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm"}
VALIDATION = ("val", "valid", "validation")


class FolderDataModule(OwnDataModule):
    """`root`/train/CLASS/*.png, perhaps with val/ and test/ beside it, or `root`/CLASS/*.png alone.

    The images for validation may lie in valid/ or validation/ as well. A test folder that holds pictures instead of
    classes has no labels: its pictures are predicted.
    """

    usual = {"train": "train", "val": "val", "test": "test"}  # noqa: RUF012

    def path_of(self, split: Split) -> Path | None:
        if self.given["train"] is None and not (self.root / "train").exists():
            if not self.root.is_dir():
                raise DataError(
                    f"{self.root}: no such folder{seen_from(self.root)} (data.root=; where a run is read, data_root=)"
                )
            if split == "train" and not (self.root / "test").exists():
                return self.root  # the classes lie in it
            if split == "val" and self.given["val"] is None:
                return None  # it would be one of them
        if split == "val" and self.given["val"] is None:
            return next((path for name in VALIDATION if (path := self.root / name).is_dir()), None)
        return super().path_of(split)

    @property
    def class_names(self) -> list[str]:
        names = self._classes("train")
        require_classes(names, f"{self.path_of('train')}, a folder for each class")
        return self.given_names or names

    def labels(self, split: Split) -> Labels | None:
        names = self._classes(split)
        if not names and split == "test" and self._files("test"):
            return None
        folder = self.path_of(split)
        require_classes(names, f"{folder}, a folder for each class")
        if split != "train" and names != self._classes("train"):
            there, here = set(self._classes("train")), set(names)
            differences = {"missing": there - here, "only here": here - there}
            said = "; ".join(f"{word}: {', '.join(sorted(found))}" for word, found in differences.items() if found)
            raise DataError(f"{folder}: other classes than for training ({said})")
        if len(self.class_names) != len(names):
            raise DataError(f"data.class_names: {len(self.class_names)} names for {len(names)} classes in {folder}")
        return Labels([label for label, _ in self._labelled(split)], str(folder))

    def files(self, split: Split) -> list[str]:
        return [relative(file, self.root) for file in self._pictures(split)]

    def pixels(self, split: Split) -> Tensor:
        with ThreadPoolExecutor() as pool:
            read = list(pool.map(functools.partial(_read, preparation=self.preparation), self._pictures(split)))
        others = [(size, colour) for _, size, colour in read if colour or size != (SIDE, SIDE)]
        if others:
            say(str(self.path_of(split)), {size for size, _ in others}, any(c for _, c in others), self.preparation)
        if split == "train":
            self.scaled = 2 * sum(size != (SIDE, SIDE) for size, _ in others) > len(read)
        return torch.from_numpy(np.stack([image for image, _, _ in read]))

    def image_names(self) -> list[str]:
        return [file.name for file in self._files("test")][: len(self.splits["test"])]

    def _classes(self, split: Split) -> list[str]:
        """Names of the class folders, in order; numbers by their size."""
        folder = self.path_of(split)
        assert folder is not None
        if not folder.is_dir():
            raise DataError(f"{folder}: not a folder")
        names = [each.name for each in folder.iterdir() if each.is_dir() and not each.name.startswith((".", "__"))]
        return sorted(names, key=(lambda name: (int(name), name)) if all(n.isdecimal() for n in names) else None)

    def _labelled(self, split: Split) -> Iterator[tuple[int, Path]]:
        folder = self.path_of(split)
        assert folder is not None
        for label, name in enumerate(self._classes(split)):
            files = pictures_in(folder / name)
            if not files:
                raise DataError(f"{folder / name}: an empty class, without a picture ({', '.join(sorted(PICTURES))})")
            yield from ((label, file) for file in files)

    def _pictures(self, split: Split) -> list[Path]:
        """In the order of the labels."""
        return [file for _, file in self._labelled(split)] if self._classes(split) else self._files(split)

    def _files(self, split: Split) -> list[Path]:
        folder = self.path_of(split)
        return pictures_in(folder) if folder is not None else []


def pictures_in(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in PICTURES and file.name[0] != ".")


def _read(file: Path, preparation: Preparation) -> tuple[np.ndarray, tuple[int, int], bool]:
    """A picture as (28, 28), with its own size and whether it has colour."""
    picture = open_picture(file, str(file)).picture
    return _as_bytes(picture, preparation), picture.size, picture.mode not in ("1", "L", "I;16", "I", "F")


def _as_bytes(picture: Image.Image, preparation: Preparation) -> np.ndarray:
    if preparation == "resize" and picture.size == (SIDE, SIDE) and picture.mode == "L":
        return np.asarray(picture)
    return prepared(picture, preparation).image
