"""IDX, the format of MNIST's files: what the header declares is held against the file before anything is read."""

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from mnist_cnn.errors import DataError
from mnist_cnn.files import require_file

TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}  # by the third byte
LARGEST = 2**32  # bytes of a file
SHOWN = 8  # sides of what is told


class Header(NamedTuple):
    """What the first bytes say: the type of a value, the shape of all, and bytes of the header and of the file."""

    dtype: np.dtype
    shape: tuple[int, ...]
    offset: int
    size: int


def read_header(first: bytes, where: str) -> Header:
    """Args:
        first: a dozen bytes or more of the unpacked file, or all that it has.

    Raises:
        DataError: no IDX, or one that is absurdly large.
    """
    if first[:2] == b"\x1f\x8b":
        raise DataError(f"{where}: packed by gzip; call it {Path(where).name}.gz")
    if len(first) >= 3 and (first[:2] != b"\0\0" or first[2] not in TYPES):
        raise DataError(f"{where}: no IDX file: it begins with {first[:4].hex(' ')}, not with 00 00 08 and a number")
    offset = 4 + 4 * first[3] if len(first) > 3 else 4
    if len(first) < offset:
        raise DataError(f"{where}: cut short: {len(first)} bytes, and its header alone has {offset} or more")
    shape = tuple(int(side) for side in np.frombuffer(first, ">u4", offset=4, count=first[3]))
    dtype = np.dtype(TYPES[first[2]])
    size = offset + dtype.itemsize * math.prod(shape)
    if size > LARGEST:
        declared = " x ".join(map(str, shape)) if len(shape) <= SHOWN else f"{len(shape)} dimensions of"
        raise DataError(f"{where}: its header declares {declared} values, more than {LARGEST:,} bytes: damaged")
    return Header(dtype, shape, offset, size)


def read_idx(path: Path, dimensions: int, types: tuple[str, ...] = ("uint8",)) -> torch.Tensor:
    """Values of so many dimensions, of one of the types.

    Raises:
        DataError: what is wrong with the file, by name.
    """
    size = require_file(path, DataError)
    try:
        with path.open("rb") as file:
            header = read_header(file.read(4 + 4 * 255), str(path))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    kind = header.dtype.newbyteorder("=").name
    if kind not in types:
        raise DataError(f"{path}: values of type {kind}; needed: {' or '.join(types)}")
    if len(header.shape) != dimensions:
        raise DataError(f"{path}: {len(header.shape)} dimensions; needed: {dimensions}")
    if size != header.size:
        said = f"its header declares {' x '.join(map(str, header.shape))} values, {header.size:,} bytes"
        fault = "cut short" if size < header.size else f"{size - header.size:,} bytes too long"
        raise DataError(f"{path}: {fault}: {said}, and it has {size:,}")
    values = np.fromfile(path, header.dtype, offset=header.offset).reshape(header.shape)
    return torch.from_numpy(values.astype(header.dtype.newbyteorder("="), copy=False))
