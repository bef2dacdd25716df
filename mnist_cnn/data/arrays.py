"""Arrays of NumPy: from Python, or out of an .npz file."""

import hashlib
import io
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mnist_cnn.data.images import SIDE
from mnist_cnn.data.own import Labels, OwnDataModule, Split
from mnist_cnn.data.picture import to_28
from mnist_cnn.errors import DataError, in_one_line
from mnist_cnn.files import require_file, write_atomically

# Names of images and labels within a file: of a file for one split, and of one for both, as Keras has it.
IMAGES = {split: ("images", "x", f"x_{split}") for split in ("train", "val", "test")}
LARGEST = 2**32  # bytes of an array
ROUNDED = 1e-3  # what resampling adds to white, less than half a grey
NEARLY_BLACK = 16  # greys of 255; parts of greys so dark are other units, or 0 to 1 that something made larger
LABELS = {split: ("labels", "y", f"y_{split}") for split in ("train", "val", "test")}


class ArraysDataModule(OwnDataModule):
    """`root`/train.npz, val.npz and test.npz with `images` and `labels`, or one file as Keras' mnist.npz.

    Images are (N, height, width), (N, 1, 28, 28) or, in colour, (N, height, width, 3): from 0 to 255, or from 0 to
    1. Labels are (N,) whole numbers. A test file without labels is predicted.
    """

    usual = {"train": "train.npz", "val": "val.npz", "test": "test.npz"}  # noqa: RUF012

    def path_of(self, split: Split) -> Path | None:
        if split != "train" and self.given[split] is None:
            both = super().path_of("train")
            if both is not None and f"x_{split}" in _names(both):
                return both
        return super().path_of(split)

    def array(self, split: Split, names: tuple[str, ...]) -> Any:
        """The first array that has one of these names; None where there is none."""
        path = self.path_of(split)
        assert path is not None
        found = next((name for name in names if name in _names(path)), None)
        if found is None:
            return None
        try:
            _require_declared(path, f"{found}.npy")
            with np.load(path, allow_pickle=False) as file:
                return file[found]
        except DataError:
            raise
        except Exception as error:  # of a reader of damaged bytes, which has an error for every kind of damage
            raise DataError(f"{path}: {found} cannot be read ({in_one_line(error)})") from error

    def labels(self, split: Split) -> Labels | None:
        where, found = str(self.path_of(split)), self.array(split, LABELS[split])
        return None if found is None else Labels(whole(found, where), where)

    def pixels(self, split: Split) -> Tensor:
        where, found = str(self.path_of(split)), self.array(split, IMAGES[split])
        if found is None:
            raise DataError(f"{where}: no array is called {' or '.join(IMAGES[split])}")
        images = as_bytes(found, where)
        if split == "train":
            self.scaled = tuple(images.shape[1:3]) != (SIDE, SIDE)
        return to_28(images, self.preparation, where)


class HeldArraysDataModule(ArraysDataModule):
    """Arrays that are there already, of whatever a NumPy array can be made of.

    Args:
        arrays: `images` and `labels` by split.
        options: of `ArraysDataModule`.
    """

    def __init__(self, arrays: dict[str, dict[str, Any]], **options: Any) -> None:
        self.arrays = arrays
        super().__init__(**options)

    def path_of(self, split: Split) -> Path | None:
        return Path(f"{split} arrays") if split in self.arrays else None

    def array(self, split: Split, names: tuple[str, ...]) -> Any:
        return self.arrays[split].get(names[0])


def by_split(data: Any) -> dict[str, dict[str, Any]]:
    """`(images, labels)`, or that of training and that of the test, by split and name; held against each other.

    Raises:
        DataError: something else, or arrays that are no images and labels.
    """
    pairs = data if _is_pair(data) and all(_is_pair(each) for each in data) else (data,)
    if not all(_is_pair(pair) for pair in pairs):
        raise DataError(
            "data: needed: (images, labels), or ((images, labels), (images, labels)) with those of the test"
        )
    splits: dict[str, dict[str, Any]] = {}
    for split, (images, labels) in zip(("train", "test"), pairs, strict=False):
        where = f"{split} arrays"
        splits[split] = {"images": as_bytes(images, where).numpy(), "labels": np.array(whole(labels, where))}
        if len(splits[split]["images"]) != len(splits[split]["labels"]):
            counts = " for ".join(f"{len(splits[split][kind])} {kind}" for kind in ("labels", "images"))
            raise DataError(f"{where}: {counts}")
    return splits


def save(splits: dict[str, dict[str, Any]], folder: Path) -> tuple[dict[str, Path], list[Path]]:
    """Writes arrays to files that are named by what is in them, so that runs can be resumed and tested.

    Returns:
        the files, and which of them were not there before.
    """
    paths, new = {}, []
    for split, arrays in splits.items():
        digest = hashlib.sha256()
        for array in arrays.values():
            digest.update(repr(array.shape).encode() + np.ascontiguousarray(array).tobytes())
        paths[split] = folder / f"{digest.hexdigest()[:12]}.npz"
        if not paths[split].is_file():
            folder.mkdir(parents=True, exist_ok=True)
            buffer = io.BytesIO()
            np.savez_compressed(buffer, **arrays)
            with buffer.getbuffer() as content:
                write_atomically(paths[split], content)
            new.append(paths[split].resolve())
    return {split: path.resolve() for split, path in paths.items()}, new


def _is_pair(value: Any) -> bool:
    """Two things; an array of two images is none."""
    return isinstance(value, list | tuple) and len(value) == 2


def as_bytes(images: Any, where: str) -> Tensor:
    """Images as (N, height, width) or (N, height, width, 3) uint8.

    Raises:
        DataError: another shape, type or range.
    """
    array = np.asarray(images)
    if array.ndim == 4 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim not in (3, 4):
        raise DataError(f"{where}: images have shape {array.shape}; needed: (N, height, width), perhaps with colours")
    if array.dtype == bool:
        array = array.astype(np.uint8)
    if array.dtype.kind not in "uif":
        raise DataError(f"{where}: images are {array.dtype}; needed: numbers from 0 to 255, or from 0 to 1")
    if array.dtype.kind == "f" and array.size and 1 < np.max(array) <= 1 + ROUNDED:
        array = np.minimum(array, 1)
    top = 1.0 if array.size and float(np.max(array)) <= 1 else 255.0  # black and white may be whole numbers too
    if array.size and not np.isfinite(array).all():
        count = array.size - int(np.isfinite(array).sum())
        raise DataError(f"{where}: images with {count:,} NaN or infinite values; needed: 0 to 255, or 0 to 1")
    if array.size and not (array.min() >= 0 and array.max() <= top):
        found = f"{array.min():g} to {array.max():g}"
        raise DataError(f"{where}: images from {found}; needed: 0 to 255, or 0 to 1")
    if array.dtype.kind == "f" and top == 255 and array.max() < NEARLY_BLACK and (array % 1).any():
        words = "as greys of 255 they would be nearly black"
        raise DataError(
            f"{where}: images from {array.min():g} to {array.max():g}, {words}; needed: 0 to 255, or 0 to 1"
        )
    scaled = array if array.dtype == np.uint8 and top == 255 else (array * (255.0 / top)).round().astype(np.uint8)
    return torch.from_numpy(np.ascontiguousarray(scaled))


def whole(labels: Any, where: str) -> list[int]:
    """Labels as whole numbers.

    Raises:
        DataError: they are not.
    """
    array = np.asarray(labels)
    if array.ndim != 1:
        raise DataError(f"{where}: labels have shape {array.shape}; needed: (N,)")
    if array.dtype.kind not in "uif" or not (np.isfinite(array).all() and (array == np.floor(array)).all()):
        raise DataError(f"{where}: labels are {array.dtype}, not all whole numbers; needed: classes from 0 on")
    return [int(label) for label in array]


def _require_declared(path: Path, name: str) -> None:
    """Raises DataError for an array that is larger unpacked than it may be, or than the archive declares."""
    with zipfile.ZipFile(path) as file, file.open(name) as member:
        size = file.getinfo(name).file_size
        version = np.lib.format.read_magic(member)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(member)
    if not dtype.hasobject and math.prod(shape) * dtype.itemsize > min(size, LARGEST):
        raise DataError(f"{path}: {name} declares {' x '.join(map(str, shape))} values of type {dtype}, too many")


def _names(path: Path) -> list[str]:
    require_file(path, DataError)
    try:
        with zipfile.ZipFile(path) as file:
            return [name.removesuffix(".npy") for name in file.namelist()]
    except Exception as error:  # as for its arrays
        raise DataError(f"{path}: no .npz file with `images` and `labels` ({in_one_line(error)})") from error
