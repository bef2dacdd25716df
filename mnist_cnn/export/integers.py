"""The net in whole numbers, in NumPy: what the C must say, to the last bit. It shares the numbers with it, no code."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from mnist_cnn.export.quantize import Ints, Step
from mnist_cnn.export.source import Pixels

AT_ONCE = 250


def logits_of(steps: Sequence[Step], pixels: Pixels) -> Ints:
    """(N, classes) int32 in units of 2**-16."""
    parts = [_run(steps, pixels[i : i + AT_ONCE]) for i in range(0, len(pixels), AT_ONCE)]
    return np.concatenate(parts).astype(np.int32)


def _run(steps: Sequence[Step], pixels: Pixels) -> Ints:
    images: Ints = pixels.astype(np.int64)[:, None]
    for step in steps:
        images = _apply(step, images.reshape(-1, *step.layer.input))
    return images.reshape(len(images), -1)


def _apply(step: Step, images: Ints) -> Ints:
    layer = step.layer
    if layer.kind == "activation":
        found = step.weight[images.astype(np.uint8)]  # type: ignore[index]
        return (found.astype(np.int8) if step.low < 0 else found).astype(np.int64)
    if layer.kind in ("max", "mean"):
        windows = _windows(images, step)
        if layer.kind == "max":
            return windows.max((-2, -1))
        return _requantized(windows.sum((-2, -1)), step)
    bias: Any = step.bias
    weight: Any = step.weight
    if layer.kind == "scale":
        return _requantized(images * weight.astype(np.int64)[:, None, None] + bias[:, None, None], step)
    # As doubles, for which there is a fast product: whole numbers below 2**53 stay exact.
    windows = _windows(_padded(images, step), step).astype(np.float64)
    if layer.kind == "depthwise":
        sums = np.einsum("nchwij,cij->nchw", windows, weight[:, 0].astype(np.float64))
    else:
        sums = np.moveaxis(np.tensordot(windows, weight.astype(np.float64), ([1, 4, 5], [1, 2, 3])), -1, 1)
    return _requantized(sums.astype(np.int64) + bias[:, None, None], step)


def _padded(images: Ints, step: Step) -> Ints:
    layer = step.layer
    sides = zip(layer.padding, layer.padding_after, strict=True)
    return np.pad(images, [(0, 0), (0, 0), *sides])


def _windows(images: Ints, step: Step) -> Ints:
    """(N, channels, output height, output width, kernel height, kernel width)."""
    layer = step.layer
    every = sliding_window_view(images, layer.kernel, (2, 3))
    return every[:, :, :: layer.stride[0], :: layer.stride[1]][:, :, : layer.output[1], : layer.output[2]]


def _requantized(sums: Ints, step: Step) -> Ints:
    """Rounded half up: the shift is of whole numbers that may be negative, towards minus infinity."""
    multiplier, shift = (np.asarray(part, np.int64)[:, None, None] for part in (step.multiplier, step.shift))
    return np.clip((sums * multiplier + (1 << (shift - 1))) >> shift, step.low, step.high)
