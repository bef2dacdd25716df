"""Pictures made finer and coarser by rules that any language can follow to the last bit."""

from typing import Any

import numpy as np

FINE, COARSE = 128, 256  # pixels: the longer side of what is worked on lies between
Pixels = np.ndarray[Any, np.dtype[np.uint8]]


def rescaled(grey: Pixels, coarse: int = COARSE) -> tuple[Pixels, int, int]:
    """The picture at the size that is worked on, how many times finer it is, and how many times coarser.

    Coarser by means of blocks, those at the right and lower end of what there is; finer by straight lines between the
    middles of pixels.

    Args:
        coarse: pixels of the longer side from which on it is made coarser.
    """
    longer = max(grey.shape)
    if longer > coarse:
        block = -(-longer // coarse)
        return _blocks(grey, block), 1, block
    if longer >= FINE:
        return grey, 1, 1
    times = -(-FINE // longer)
    between = _between(_between(grey.astype(np.int64), times).T, times).T
    return ((between + 2 * times**2) // (4 * times**2)).astype(np.uint8), times, 1


def _blocks(grey: Pixels, block: int) -> Pixels:
    rows, columns = (-(-side // block) for side in grey.shape)
    height, width = grey.shape
    wide = np.zeros((height, columns), np.int64)
    for start in range(block):
        part = grey[:, start::block]
        wide[:, : part.shape[1]] += part
    sums = np.zeros((rows, columns), np.int64)
    for start in range(block):
        part = wide[start::block]
        sums[: len(part)] += part
    heights, widths = (np.minimum(block, side - np.arange(0, side, block)) for side in (height, width))
    count = heights[:, None] * widths
    return ((2 * sums + count) // (2 * count)).astype(np.uint8)


def _between(values: np.ndarray, times: int) -> np.ndarray:
    """(H, W) as (H * times, W), in units of 1 / (2 * times)."""
    place = 2 * np.arange(len(values) * times) + 1 - times
    above, part = place // (2 * times), (place % (2 * times))[:, None]
    first, second = (np.clip(above + step, 0, len(values) - 1) for step in (0, 1))
    return values[first] * (2 * times - part) + values[second] * part


def shares(count: int, length: int) -> np.ndarray:
    """(count, length): what each of `length` pixels is of each of `count` that cover the same line."""
    first = np.arange(count)[:, None] * length / count
    pixels = np.arange(length)
    covered = np.minimum(first + length / count, pixels + 1) - np.maximum(first, pixels)
    return covered.clip(0) * count / length


def grown(values: np.ndarray, reach: float) -> np.ndarray:
    """The largest value within `reach` pixels of each, in a straight line."""
    height, width = values.shape
    most = int(reach)
    padded = np.pad(values, most)
    steps = range(-most, most + 1)
    near = [(y, x) for y in steps for x in steps if y * y + x * x <= reach * reach]
    grown = values.copy()
    for y, x in near:
        np.maximum(grown, padded[most + y : most + y + height, most + x : most + x + width], out=grown)
    return grown
