"""Lists of work for the kernels, made once for a number of images; a step fills in the addresses that are new in it."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mnist_cnn.speed import work
from mnist_cnn.speed.team import run
from mnist_cnn.speed.work import Kernel


@dataclass(frozen=True)
class Place:
    """An address, or a number, that each step fills in.

    Args:
        name: input, output, given (the gradient of the output), input_gradient, gradients, words.
        offset: bytes to add.
        index: of a word.
    """

    name: str
    offset: int = 0
    index: int = 0


Address = int | Place


@dataclass
class Works:
    """A list being made."""

    dtype: torch.dtype
    first: list[tuple[Kernel, int, bool, Any]] = field(default_factory=list)  # what waits for nothing
    rows: list[tuple[Kernel, int, bool, Any]] = field(default_factory=list)
    held: list[Any] = field(default_factory=list)  # what addresses point to

    def add(self, kernel: Kernel, pieces: int, what: Any, waits: bool = True) -> None:
        """Args: waits: for all that was added before."""
        self.rows.append((kernel, pieces, waits, what))

    def at(self, array: Any) -> int:
        """Its address; it is kept alive."""
        self.held.append(array)
        return array.data_ptr() if isinstance(array, Tensor) else array.ctypes.data

    def new(self, *shape: int, dtype: torch.dtype | None = None) -> int:
        return self.at(torch.empty(*shape, dtype=dtype or self.dtype))


class Program:
    """A finished list."""

    def __init__(self, works: Works) -> None:
        self.dtype, self.held = works.dtype, works.held
        rows = works.first + works.rows
        self.words = np.zeros((len(rows) + 1, work.WORDS), np.int64)
        self.words[0, 0] = len(rows)
        places: list[tuple[int, Place]] = []
        for row, (kernel, pieces, waits, what) in enumerate(rows, 1):
            kind = work.RECORDS[type(what)]
            record = self.words[row, : kind.itemsize // 8].view(kind)[0]
            record["pieces"], record["kernel"], record["waits"] = pieces, kernel, waits
            for column, (name, value) in enumerate(what._asdict().items(), len(work.HEAD)):
                if isinstance(value, Place):
                    places.append((row * work.WORDS + column, value))
                else:
                    record[name] = value
        self.columns = np.array([at for at, _ in places], np.int64)
        self.places = [(place.name, place.index, place.offset) for _, place in places]

    def run(self, **values: Any) -> None:
        """Args: values: an address for each name of a place; a list of them for `words`."""
        filled = [(values["words"][i] if name == "words" else values[name]) + more for name, i, more in self.places]
        self.words.reshape(-1)[self.columns] = filled
        run(self.words, self.dtype)
