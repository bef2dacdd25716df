"""A net of PyTorch as a graph: each module by its class, and a refusal that names the one that has no word there."""

import copy
from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from mnist_cnn.errors import RunError
from mnist_cnn.export.graph import Floats, Graph, Layer, Pair, Shape, folded
from mnist_cnn.models.batch_norm import BatchNorm1d, BatchNorm2d
from mnist_cnn.models.blocks import GlobalAveragePooling, GlobalMaxPooling
from mnist_cnn.models.layers import ACTIVATIONS, INPUT_SHAPE

OTHERS = "format=onnx and format=torch can take any net"


def graph_of(net: nn.Module, divide_by: float, target: str) -> Graph:
    """The layers of a net in evaluation mode.

    Args:
        target: who asks, for the message.

    Raises:
        RunError: a layer that the list has no word for, by its place and class.
    """
    net = copy.deepcopy(net).double().eval()
    layers: list[Layer] = []
    shape: tuple[int, ...] = INPUT_SHAPE
    for name, module in _flat(net, "", target):
        make = MAKERS.get(type(module))
        before: Shape = _image(shape)
        with torch.no_grad():
            shape = tuple(module(torch.zeros(1, *shape, dtype=torch.float64)).shape[1:])
        problem = "" if make else "no such layer there"
        if make and (found := make(module, before, _image(shape))):
            if isinstance(found, Layer):
                layers.append(found)
            else:
                problem = found
        if problem:
            raise RunError(f"{target} cannot express layer {name} ({type(module).__name__}): {problem}; {OTHERS}")
    return Graph(tuple(folded(layers)), divide_by)


def _flat(net: nn.Module, prefix: str, target: str) -> Iterator[tuple[str, nn.Module]]:
    if type(net).forward is not nn.Sequential.forward:
        raise RunError(f"{target} cannot express {type(net).__name__}: it is no sequence of layers; {OTHERS}")
    for name, module in net.named_modules(remove_duplicate=False):  # one that is used again stands there again
        if not name or "." in name:
            continue  # the net itself, and layers of layers
        if type(module).forward is nn.Sequential.forward:
            yield from _flat(module, f"{prefix}{name}.", target)
        else:
            yield f"{prefix}{name}", module


def _image(shape: tuple[int, ...]) -> Shape:
    channels, height, width = (*shape, 1, 1)[:3]
    return channels, height, width


def _conv(module: Any, before: Shape, after: Shape) -> Layer | str:
    depthwise = module.groups == module.in_channels == module.out_channels > 1
    if (module.groups != 1 and not depthwise) or module.dilation != (1, 1) or module.padding_mode != "zeros":
        return f"groups = {module.groups}, dilation = {module.dilation}, padding_mode = {module.padding_mode!r}"
    if module.padding == "same":  # as PyTorch: of an odd sum the smaller half comes first
        padding = (module.kernel_size[0] - 1) // 2, (module.kernel_size[1] - 1) // 2
    else:
        padding = (0, 0) if module.padding == "valid" else module.padding
    kind: Literal["conv", "depthwise"] = "depthwise" if depthwise else "conv"
    return Layer(kind, before, after, _of(module.weight), _bias(module), module.kernel_size, module.stride, padding)


def _dense(module: Any, before: Shape, after: Shape) -> Layer | str:
    if before[1:] != (1, 1):
        return f"its input is no list but {before}"
    return Layer("conv", before, after, _of(module.weight)[:, :, None, None], _bias(module))


def _batch_norm(module: Any, before: Shape, after: Shape) -> Layer | str:
    if module.running_mean is None:
        return "it has no moving averages"
    ours = isinstance(module, BatchNorm1d | BatchNorm2d)
    mean, variance = module.averages() if ours else (module.running_mean, module.running_var)
    factor = (_of(variance) + module.eps) ** -0.5 * (_of(module.weight) if module.affine else 1.0)
    return Layer("scale", before, after, factor, (_of(module.bias) if module.affine else 0.0) - _of(mean) * factor)


def _pool(kind: Literal["max", "mean"]) -> Callable[[Any, Shape, Shape], Layer | str]:
    def make(module: Any, before: Shape, after: Shape) -> Layer | str:
        kernel, stride = _pair(module.kernel_size), _pair(module.stride)
        odd = module.ceil_mode or _pair(module.padding) != (0, 0) or _pair(getattr(module, "dilation", 1)) != (1, 1)
        odd = odd or getattr(module, "divisor_override", None) is not None or kernel[0] > stride[0]
        if odd or kernel[1] > stride[1]:
            return "windows that overlap, or padding, ceil_mode, dilation or divisor_override"
        return Layer(kind, before, after, kernel=kernel, stride=stride)

    return make


def _global(kind: Literal["max", "mean"]) -> Callable[[Any, Shape, Shape], Layer | str]:
    def make(module: Any, before: Shape, after: Shape) -> Layer | str:
        if after[1:] != (1, 1):
            return f"output of {after[1]} x {after[2]}, not of one pixel"
        return Layer(kind, before, after, kernel=before[1:], stride=before[1:])

    return make


def _activation(name: str) -> Callable[[Any, Shape, Shape], Layer | str]:
    def make(module: Any, before: Shape, after: Shape) -> Layer | str:
        if getattr(module, "approximate", "none") != "none":
            return f"approximate = {module.approximate!r}"
        parameter = float(getattr(module, "negative_slope", getattr(module, "alpha", 0.0)))
        return Layer("activation", before, after, function=name, parameter=parameter)

    return make


def _nothing(module: Any, before: Shape, after: Shape) -> str:
    """What does nothing to an image by itself; a flattened one has its numbers in the same order."""
    return ""


# By the class itself: one that inherits may compute anything.
MAKERS: dict[type, Callable[[Any, Shape, Shape], Layer | str]] = {
    nn.Conv2d: _conv, nn.Linear: _dense, nn.MaxPool2d: _pool("max"), nn.AvgPool2d: _pool("mean"),
    BatchNorm1d: _batch_norm, BatchNorm2d: _batch_norm, nn.BatchNorm1d: _batch_norm, nn.BatchNorm2d: _batch_norm,
    GlobalAveragePooling: _global("mean"), GlobalMaxPooling: _global("max"),
    nn.AdaptiveAvgPool2d: _global("mean"), nn.AdaptiveMaxPool2d: _global("max"),
    nn.Dropout: _nothing, nn.Dropout2d: _nothing, nn.Identity: _nothing, nn.Flatten: _nothing,
    **{kind: _activation(name) for name, kind in ACTIVATIONS.items() if kind is not None},
}  # fmt: skip


def _of(tensor: torch.Tensor) -> Floats:
    return tensor.detach().double().numpy()


def _bias(module: Any) -> Floats:
    return _of(module.bias) if module.bias is not None else np.zeros(len(module.weight))


def _pair(value: Any) -> Pair:
    return (value, value) if isinstance(value, int) else (value[0], value[1])
