"""A net in whole numbers: 8 bits for weights and images, calibrated on training images.

An image is `scale` times its numbers, which are unsigned after a ReLU or a sigmoid and signed else; there is no zero
point, so that what is padded is 0. Weights have a scale for each filter. The sum of a window, 32 bits, becomes 8 by a
multiplier below 2**31 and a shift (Jacob et al., 2018, section 2.2). The logits are in units of 2**-16.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mnist_cnn.errors import RunError
from mnist_cnn.export.graph import Graph, Layer
from mnist_cnn.export.source import Pixels

Ints = np.ndarray[Any, Any]
LOGIT_UNIT = 2.0**-16
WEIGHT_LIMIT = 127
INT32 = 2**31
CLIPPED = np.linspace(0.3, 1.0, 71)  # shares of the largest number seen that are tried as the largest to be kept
SAMPLED = 200_000  # numbers of an image layer that its scale is chosen by
FUNCTIONS: dict[str, Any] = {
    "relu": F.relu, "sigmoid": torch.sigmoid, "tanh": torch.tanh, "gelu": F.gelu, "silu": F.silu, "elu": F.elu,
    "leaky_relu": F.leaky_relu,
}  # fmt: skip


@dataclass(frozen=True)
class Step:
    """A layer in whole numbers.

    Args:
        signed: whether the image it reads is.
        low, high: between which its results are kept.
        weight: int8, as in `Layer`; of `activation` a table of uint8, by the byte that is read.
        bias: int32, a number for each filter.
        multiplier, shift: int32 and uint8, for each filter; one of each for `mean`.
    """

    layer: Layer
    signed: bool
    low: int
    high: int
    weight: Ints | None = None
    bias: Ints | None = None
    multiplier: Ints | None = None
    shift: Ints | None = None


@dataclass(frozen=True)
class Image:
    """How the numbers of an image are to be read."""

    scale: float
    signed: bool

    @property
    def limits(self) -> tuple[int, int]:
        return (-127, 127) if self.signed else (0, 255)


def quantize(graph: Graph, pixels: Pixels) -> list[Step]:
    """The steps of a net in whole numbers.

    Args:
        pixels: training images that show how large numbers become.

    Raises:
        RunError: a net that ends otherwise than in a sum.
    """
    if graph.layers[-1].kind not in ("conv", "mean") or graph.layers[-1].relu:
        raise RunError(f"format=c precision=int8: the net must end in a sum, and ends in {graph.layers[-1].kind}")
    image = Image(1 / graph.divide_by, signed=False)
    shown = torch.from_numpy(pixels).double()[:, None] / graph.divide_by
    steps = []
    for i, layer in enumerate(graph.layers):
        shown = run_layer(layer, shown)
        last = i == len(graph.layers) - 1
        after = image if layer.kind == "max" else Image(LOGIT_UNIT, True) if last else _calibrated(layer, image, shown)
        low, high = (-INT32, INT32 - 1) if last else after.limits
        steps.append(_step(layer, image, after, low, high))
        image = after
    return steps


def run_layer(layer: Layer, images: Tensor) -> Tensor:
    """One layer in floating-point numbers, (N, *input) to (N, *output)."""
    images = images.reshape(-1, *layer.input)
    if layer.convolves:
        weight, bias = layer.weights
        (above, left), (below, right) = layer.padding, layer.padding_after
        padded = F.pad(images, (left, right, above, below))
        groups = layer.input[0] if layer.kind == "depthwise" else 1
        images = F.conv2d(padded, torch.from_numpy(weight), torch.from_numpy(bias), layer.stride, groups=groups)
    elif layer.kind == "scale":
        factor, summand = (torch.from_numpy(part)[:, None, None] for part in layer.weights)
        images = images * factor + summand
    elif layer.kind == "activation":
        more = [layer.parameter] if layer.function in ("elu", "leaky_relu") else []
        return FUNCTIONS[layer.function](images, *more)
    else:
        pool: Any = F.max_pool2d if layer.kind == "max" else F.avg_pool2d
        return pool(images, layer.kernel, layer.stride)
    return images.relu() if layer.relu else images


def _calibrated(layer: Layer, before: Image, shown: Tensor) -> Image:
    """The scale with the smallest squared error on what was shown, what is cut off included."""
    signed = before.signed if layer.kind == "mean" else not (layer.relu or layer.function in ("relu", "sigmoid"))
    values = shown.flatten()[:: max(1, shown.numel() // SAMPLED)].numpy()
    limit = 127 if signed else 255
    largest = float(np.abs(values).max()) or 1.0
    scales = [share * largest / limit for share in CLIPPED]
    errors = [np.square(values - s * np.clip(np.rint(values / s), -limit * signed, limit)).sum() for s in scales]
    return Image(scales[int(np.argmin(errors))], signed)


def _step(layer: Layer, before: Image, after: Image, low: int, high: int) -> Step:
    match layer.kind:
        case "max":
            return Step(layer, before.signed, low, high)
        case "activation":
            return Step(layer, before.signed, low, high, weight=_table(layer, before, after))
        case "mean":
            area = layer.kernel[0] * layer.kernel[1]
            multiplier, shift = fixed_point(np.array([before.scale / area / after.scale]))
            return Step(layer, before.signed, low, high, multiplier=multiplier, shift=shift)
    weight, bias = layer.weights
    rows = weight.reshape(len(weight), -1)
    scales = np.abs(rows).max(1) / WEIGHT_LIMIT
    scales[scales == 0] = 1 / WEIGHT_LIMIT
    whole = np.rint(rows / scales[:, None]).astype(np.int8).reshape(weight.shape)
    summand = np.rint(bias / (before.scale * scales))
    largest = np.abs(whole.astype(np.int64)).reshape(len(weight), -1).sum(1) * 255 + np.abs(summand)
    if largest.max() >= INT32:
        raise RunError(f"format=c precision=int8: a sum of {layer.kind} does not fit into 32 bits")
    multiplier, shift = fixed_point(before.scale * scales / after.scale)
    return Step(layer, before.signed, low, high, whole, summand.astype(np.int32), multiplier, shift)


def fixed_point(factors: Ints) -> tuple[Ints, Ints]:
    """Positive factors as multiplier * 2**-shift, with a multiplier below 2**31 and a shift from 1 to 62."""
    shifts = [min(62, 30 - math.floor(math.log2(factor))) for factor in factors]
    multipliers = [round(float(factor) * 2.0**shift) for factor, shift in zip(factors, shifts, strict=True)]
    if min(shifts) < 2:
        raise RunError("format=c precision=int8: the weights are too large for the images")
    pairs = [(m // 2, s - 1) if m == INT32 else (m, s) for m, s in zip(multipliers, shifts, strict=True)]
    return np.array([m for m, _ in pairs], np.int32), np.array([s for _, s in pairs], np.uint8)


def _table(layer: Layer, before: Image, after: Image) -> Ints:
    """The function of every byte that can be read."""
    read = np.arange(256, dtype=np.uint8)
    values = torch.from_numpy((read.view(np.int8) if before.signed else read) * before.scale).reshape(-1, 1, 1, 1)
    wide = Layer("activation", (1, 1, 1), (1, 1, 1), function=layer.function, parameter=layer.parameter)
    found = np.rint(run_layer(wide, values).numpy().ravel() / after.scale)
    return np.clip(found, *after.limits).astype(np.int16).astype(np.uint8)
