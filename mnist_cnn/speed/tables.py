"""Which weights of a convolution meet which pixels: the tables that `speed.convolve` reads."""

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from mnist_cnn.speed.convolve import MISSING
from mnist_cnn.speed.tiles import OUTPUTS, TAPS

RUN = 1024  # numbers of each channel that the gradient of the weights takes at once: they stay in the nearest cache
Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Shape:
    """Of a convolution with stride 1.

    Args:
        size: height and width of the input.
        kernel: height and width.
        before: rows above and columns to the left of the image that are padding.
        output: height and width.
        number: bytes of a number.
    """

    inputs: int
    outputs: int
    images: int
    size: tuple[int, int]
    kernel: tuple[int, int]
    before: tuple[int, int]
    output: tuple[int, int]
    number: int

    @property
    def taps(self) -> int:
        return self.inputs * self.kernel[0] * self.kernel[1]

    @property
    def block(self) -> int:
        """Output channels of a tile: blocks as equal as they can be."""
        return -(-self.outputs // -(-self.outputs // OUTPUTS))

    @property
    def backward(self) -> "Shape":
        """The convolution of the output's gradient that gives the input's."""
        before = self.kernel[0] - 1 - self.before[0], self.kernel[1] - 1 - self.before[1]
        return Shape(self.outputs, self.inputs, self.images, self.output, self.kernel, before, self.size, self.number)

    def kinds(self, axis: int) -> tuple[Array, list[range]]:
        """For each output row (0) or column (1) its kind, and for each kind the kernel's rows that meet the image."""
        found: dict[range, int] = {}
        kernel, size = self.kernel[axis], self.size[axis]
        first = [p - self.before[axis] for p in range(self.output[axis])]
        met = [range(max(0, -at), min(kernel, size - at)) for at in first]
        return np.array([found.setdefault(within, len(found)) for within in met]), list(found)

    def offset(self, channel: int, i: int, j: int) -> int:
        """Bytes from an output pixel's place in the input to what tap (channel, i, j) of it meets."""
        row, column = i - self.before[0], j - self.before[1]
        return ((channel * self.size[0] + row) * self.size[1] + column) * self.images * self.number

    def tap(self, channel: int, i: int, j: int) -> int:
        return (channel * self.kernel[0] + i) * self.kernel[1] + j


@functools.lru_cache(256)
def pixel_tables(shape: Shape) -> tuple[Array, Array, Array, Array]:
    """For `convolve`: taps (kinds, taps, 2), how many, kinds of rows (times columns' kinds) and of columns."""
    rows, row_kinds = shape.kinds(0)
    columns, column_kinds = shape.kinds(1)
    kinds = [(within_rows, within_columns) for within_rows in row_kinds for within_columns in column_kinds]
    taps, counts = np.zeros((len(kinds), shape.taps, 2), np.int64), np.zeros(len(kinds), np.int64)
    weight = shape.block * shape.number
    for kind, (within_rows, within_columns) in enumerate(kinds):
        met = [(c, i, j) for c in range(shape.inputs) for i in within_rows for j in within_columns]
        taps[kind, : len(met)] = [(shape.offset(*tap), shape.tap(*tap) * weight) for tap in met]
        counts[kind] = len(met)
    return taps, counts, rows * len(column_kinds), columns


@functools.lru_cache(256)
def run_tables(shape: Shape) -> tuple[Array, Array, Array]:
    """For `correlate`: offsets (kinds of rows, runs, taps), kinds of rows, and runs (start, width)."""
    rows, row_kinds = shape.kinds(0)
    columns, column_kinds = shape.kinds(1)
    longest, starts = max(1, RUN // shape.images), [0]
    for column in range(1, len(columns)):
        if columns[column] != columns[starts[-1]] or column - starts[-1] == longest:
            starts.append(column)
    offsets = np.full((len(row_kinds), len(starts), -(-shape.taps // TAPS) * TAPS), MISSING, np.int64)
    for kind, within_rows in enumerate(row_kinds):
        for run, start in enumerate(starts):
            for c in range(shape.inputs):
                for i in within_rows:
                    for j in column_kinds[columns[start]]:
                        offsets[kind, run, shape.tap(c, i, j)] = shape.offset(c, i, j)
    return offsets, rows, np.stack([starts, np.diff([*starts, len(columns)])], 1)
