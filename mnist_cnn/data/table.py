"""Tables of pixels as on Kaggle: a label and 784 values in a line."""

import functools
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mnist_cnn.data.arrays import as_bytes
from mnist_cnn.data.images import SIDE
from mnist_cnn.data.own import Labels, OwnDataModule, Split
from mnist_cnn.data.photo import Preparation
from mnist_cnn.data.picture import prepared
from mnist_cnn.errors import DataError
from mnist_cnn.files import require_file

PIXELS = SIDE * SIDE
LONGEST = 2**16  # bytes of a line
LABEL_NAMES = ("label", "class", "target", "y")


class Layout(NamedTuple):
    """What the lines of a file look like, and its labels."""

    header: bool
    label_column: int | None
    labels: list[int]


class CSVDataModule(OwnDataModule):
    """`root`/train.csv, val.csv and test.csv, with or without a line of names.

    A line has the label and then 784 pixels from 0 to 255, or from 0 to 1, row by row; without labels, the test
    images are predicted.
    """

    usual = {"train": "train.csv", "val": "val.csv", "test": "test.csv"}  # noqa: RUF012

    def labels(self, split: Split) -> Labels | None:
        path = self._file(split)
        layout = _layout(path)
        return None if layout.label_column is None else Labels(layout.labels, str(path))

    def pixels(self, split: Split) -> Tensor:
        path = self._file(split)
        layout = _layout(path)
        columns = [i for i in range(PIXELS + 1) if i != layout.label_column][:PIXELS]
        options: Any = {"delimiter": ",", "skiprows": int(layout.header), "usecols": columns, "ndmin": 2}
        try:
            values = np.loadtxt(path, np.int16, **options)
        except ValueError:
            try:
                values = np.loadtxt(path, np.float32, **options)  # seven times slower, for `0.0`
            except ValueError as error:
                raise DataError(f"{path}{_place(str(error), layout.header)}: not a number ({error})") from error
        bad = ~((values >= 0) & (values <= 255))
        if bad.any():
            row, column = np.argwhere(bad)[0]
            line = row + 1 + layout.header
            raise DataError(f"{path}, line {line}: pixel {column} is {values[row, column]}; needed: 0 to 255")
        whole = values.astype(np.uint8) if values.dtype == np.int16 else values
        images = as_bytes(whole.reshape(-1, SIDE, SIDE), str(path)).numpy()
        return torch.from_numpy(_as_asked(images, self.preparation))

    def _file(self, split: Split) -> Path:
        path = self.path_of(split)
        assert path is not None
        return path


def _as_asked(images: np.ndarray, preparation: Preparation) -> np.ndarray:
    from PIL import Image

    if preparation == "resize":
        return images
    return np.stack([prepared(Image.fromarray(image), preparation).image for image in images])


def _layout(path: Path) -> Layout:
    """Of the file as it is now."""
    now = path.stat()
    return _read_layout(path, now.st_mtime_ns, now.st_size)


@functools.lru_cache(maxsize=8)
def _read_layout(path: Path, changed: int, size: int) -> Layout:
    """Goes through the lines without reading a pixel.

    Raises:
        DataError: the first line that is not like it should be, by its number.
    """
    try:
        require_file(path, DataError)
        with path.open("rb") as file:
            first = file.readline(LONGEST).decode("utf-8-sig").strip()
            names = [name.strip().strip('"').lower() for name in first.split(",")]
            header = any(re.fullmatch(r"[^\d.+-].*", name) for name in names)
            if len(names) not in (PIXELS, PIXELS + 1):
                raise DataError(
                    f"{path}, line 1: {len(names)} columns; needed: a label and {PIXELS} pixels, or {PIXELS} pixels "
                    "for images to predict"
                )
            column = None
            if len(names) > PIXELS:
                column = next((i for i, name in enumerate(names) if name in LABEL_NAMES), 0)
            if not header:
                file.seek(0)
            labels = []
            for number, line in enumerate(iter(functools.partial(file.readline, LONGEST), b""), 1 + header):
                if line.strip():
                    labels.append(_label(line, column, len(names), path, number))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
    return Layout(header, column, labels)


def _label(line: bytes, column: int | None, columns: int, path: Path, number: int) -> int:
    if line.count(b",") != columns - 1:
        raise DataError(f"{path}, line {number}: {line.count(b',') + 1} columns; the first line has {columns}")
    if column is None:
        return 0
    text = line.split(b",", column + 1)[column].strip().strip(b'"')
    try:
        value = float(text)
        if value != int(value):
            raise ValueError
        return int(value)
    except (ValueError, OverflowError):
        raise DataError(f"{path}, line {number}: label {text.decode(errors='replace')!r} is no whole number") from None


def _place(said: str, header: bool) -> str:
    found = re.search(r"at row (\d+)", said)
    return f", line {int(found[1]) + 1 + header}" if found else ""
