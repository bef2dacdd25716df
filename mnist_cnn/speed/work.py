"""What a kernel is told: numbers, addresses of arrays, and strides in bytes."""

from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np


class Kernel(IntEnum):
    SUMS, NORMALIZE, TRANSFORM, GRADIENT_SUMS, GRADIENT = range(5)
    POOL, POOL_GRADIENT, AVERAGE, AVERAGE_GRADIENT = range(5, 9)
    TURN, PACK, CONVOLVE, CORRELATE, COLLECT = range(9, 14)
    DEPTHWISE, DEPTHWISE_WEIGHTS = range(14, 16)


class After(IntEnum):
    """The activation after a norm."""

    NONE, RELU, SILU = range(3)


class Pass(NamedTuple):
    """x, y (the result) and dy are (channels, size).

    Args:
        sums: (channels, pieces of a channel, 2), 64 bits.
        kept: (4, channels), 64 bits: mean, one over the standard deviation, scale and bias.
        weight, bias: of the norm, or, when going back, for their gradients.
        dropped: of 2**32.
    """

    channels: int
    size: int
    relu_before: bool
    after: After
    x: Any
    y: Any
    dy: Any = 0
    dropped: int = 0
    word1: Any = 0
    word2: Any = 0
    sums: Any = 0
    kept: Any = 0
    weight: Any = 0
    bias: Any = 0
    running_mean: Any = 0
    running_variance: Any = 0
    momentum: float = 0
    eps: float = 0


class Pool(NamedTuple):
    """x is (channels, from_height, from_width, images); y is what is left of it or, with dy, its gradient.

    Args:
        window: height and width of what becomes one pixel.
    """

    channels: int
    height: int
    width: int
    images: int
    from_height: int
    from_width: int
    window: int
    relu_after: bool
    x: Any
    y: Any
    dy: Any = 0


class Turn(NamedTuple):
    """From x (images, size) to y (size, images)."""

    images: int
    size: int
    x: Any
    y: Any


class Pack(NamedTuple):
    """From x (outputs, inputs, height, width) to y (blocks, taps, `block` channels); see `convolve.pack`."""

    outputs: int
    inputs: int
    height: int
    width: int
    block: int
    flipped: bool
    x: Any
    y: Any


class Convolution(NamedTuple):
    """From x to y (channels, height, width, images).

    Args:
        taps: (kinds, all_taps, 2), offsets.
        counts: taps of each kind.
        rows, columns: what they add to the kind of a pixel.
        weights: (blocks, all_taps, channels of a block).
        row, column: of x, to the next.
        channel: of y, to the next.
        number: bytes of one.
    """

    channels: int
    height: int
    width: int
    images: int
    block: int
    kinds: int
    all_taps: int
    row: int
    column: int
    channel: int
    number: int
    relu_after: bool
    taps: Any
    counts: Any
    rows: Any
    columns: Any
    x: Any
    y: Any
    weights: Any
    bias: Any


class Correlation(NamedTuple):
    """From x and dy (channels, height, width, images) to y (channels, real_taps) and bias (channels).

    Args:
        taps: (row_kinds, runs, all_taps), offsets.
        rows: kinds of the rows.
        columns: (runs, 2): first column, and how many.
        shares: of the rows; a piece has one of them, and some blocks of taps.
        at_once: rows that go through a tile together.
        sums, bias_sums: of each share a vector for each weight, and a number for each channel.
        zeros: as many as those rows have.
    """

    channels: int
    height: int
    width: int
    images: int
    runs: int
    row_kinds: int
    all_taps: int
    real_taps: int
    row: int
    column: int
    channel: int
    number: int
    taps: Any
    rows: Any
    columns: Any
    zeros: Any
    x: Any
    dy: Any
    y: Any
    bias: Any
    shares: int
    at_once: int
    sums: Any
    bias_sums: Any


class Depthwise(NamedTuple):
    """From x (channels, from_height, from_width, images) to y (channels, height, width, images); dy is as y.

    Args:
        above, left: rows and columns of padding there.
        flipped: the weights count from their end, for the gradient of the input.
        weight, bias: (channels, kernel_height, kernel_width), (channels,); with dy, where their gradients go.
    """

    channels: int
    images: int
    height: int
    width: int
    from_height: int
    from_width: int
    kernel_height: int
    kernel_width: int
    above: int
    left: int
    flipped: bool
    x: Any
    y: Any
    weight: Any
    bias: Any
    dy: Any = 0


# Before it: the next piece to be taken, how many are done, how many there are, the kernel, and whether it must wait for
# all that stands before it.
HEAD = ("next", "done", "pieces", "kernel", "waits")
WORDS = 32  # 8 bytes each, of a record


def _record(kind: type) -> "np.dtype[np.void]":
    hints = kind.__annotations__
    fields = [
        *((name, np.int64) for name in HEAD),
        *((n, np.float64 if hints[n] is float else np.int64) for n in hints),
    ]
    assert len(fields) <= WORDS
    return np.dtype(fields)


RECORDS = {kind: _record(kind) for kind in (Pass, Pool, Turn, Pack, Convolution, Correlation, Depthwise)}
