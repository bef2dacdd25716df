"""A net as the short list of layers that C and JavaScript compute: batch norm folded, one image at a time.

A dense layer is a convolution of 1 x 1 over an image of one pixel, flattening is a matter of words where channels come
first, and global pooling is pooling with a window as large as the image: six kinds of layers are left.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

Floats = np.ndarray[Any, np.dtype[np.float64]]
Shape = tuple[int, int, int]  # channels, height, width
Pair = tuple[int, int]  # vertical, horizontal
CONVOLUTIONS = ("conv", "depthwise")


@dataclass(frozen=True)
class Layer:
    """One step from an image to the next.

    Args:
        kind: `conv`; `depthwise`, a convolution with one filter for each channel; `scale`, a factor and a summand for
            each channel; `max` or `mean` of windows; `activation`.
        weight: of `conv` (filters, channels, height, width), of `depthwise` (filters, 1, height, width), of `scale`
            (channels,).
        bias: (filters,) or (channels,).
        padding: rows above and columns to the left; what lies below and to the right follows from `output`.
        relu: a ReLU follows at once (convolutions and `scale`).
        function: of `activation`, a name of `models.layers.ACTIVATIONS`.
        parameter: slope of `leaky_relu`, alpha of `elu`.
    """

    kind: Literal["conv", "depthwise", "scale", "max", "mean", "activation"]
    input: Shape
    output: Shape
    weight: Floats | None = None
    bias: Floats | None = None
    kernel: Pair = (1, 1)
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    relu: bool = False
    function: str = ""
    parameter: float = 0.0

    @property
    def convolves(self) -> bool:
        return self.kind in CONVOLUTIONS

    @property
    def padding_after(self) -> Pair:
        """Rows below and columns to the right."""
        below, right = (
            max(0, (self.output[i + 1] - 1) * self.stride[i] + self.kernel[i] - self.input[i + 1] - self.padding[i])
            for i in (0, 1)
        )
        return below, right

    @property
    def weights(self) -> tuple[Floats, Floats]:
        assert self.weight is not None
        assert self.bias is not None
        return self.weight, self.bias


@dataclass(frozen=True)
class Graph:
    """Layers from (1, 28, 28) to (classes, 1, 1); pixels from 0 to 255 are first divided by `divide_by`."""

    layers: tuple[Layer, ...]
    divide_by: float

    @property
    def classes(self) -> int:
        return self.layers[-1].output[0]

    @property
    def numbers(self) -> int:
        """How many weights there are, after folding."""
        return sum(part.size for layer in self.layers for part in (layer.weight, layer.bias) if part is not None)


def folded(layers: list[Layer]) -> list[Layer]:
    """Without batch norm where a convolution beside it can take it over, and with each ReLU in the layer before it."""
    done: list[Layer] = []
    for layer in layers:
        last = done[-1] if done else None
        if layer.kind == "scale" and last and last.convolves and not last.relu and last.output == layer.input:
            (factor, summand), (weight, bias) = layer.weights, last.weights
            done[-1] = replace(last, weight=weight * factor[:, None, None, None], bias=bias * factor + summand)
        elif layer.kind == "conv" and last is not None and last.kind == "scale" and not last.relu and _fits(layer):
            done[-1:] = [_after_scale(layer, last)]
        elif layer.function == "relu" and (place := _takes_relu(done)) is not None:
            done[place] = replace(done[place], relu=True)
        else:
            done.append(layer)
    return done


def _fits(conv: Layer) -> bool:
    """Whether no window reaches over the edge: what is added there is 0 after the batch norm, not before."""
    return conv.padding == (0, 0) and conv.padding_after == (0, 0)


def _after_scale(conv: Layer, scale: Layer) -> Layer:
    """A convolution that takes over the batch norm before it, perhaps across a flattening."""
    weight, bias = conv.weights
    pixels = conv.input[0] // scale.output[0]  # of a channel, where they became channels of their own
    factor, summand = (np.repeat(values, pixels)[None, :, None, None] for values in scale.weights)
    return replace(conv, weight=weight * factor, bias=bias + (weight * summand).sum((1, 2, 3)))


def _takes_relu(done: list[Layer]) -> int | None:
    """The layer that a ReLU can join: it changes places with the maximum of a window, which gives the same."""
    place = len(done) - 1
    while place >= 0 and done[place].kind == "max":
        place -= 1
    return place if place >= 0 and done[place].kind in (*CONVOLUTIONS, "scale") else None
