"""ReLU, batch norm and dropout in one pass forward, after one for the statistics, and two backward."""

import functools
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

log = logging.getLogger(__name__)
LEVELS = 2**32  # of a random word
Words = tuple[Any, Any, Any]  # how many of `LEVELS` are dropped, and two random words
NOTHING_DROPPED: Words = (np.uint32(0), np.uint32(0), np.uint32(0))
Array = np.ndarray[Any, Any]


@functools.cache
def kernels() -> ModuleType | None:
    """`mnist_cnn.speed.kernels`, compiled; None without Numba, which is then said once."""
    try:
        from mnist_cnn.speed import kernels as found  # Numba takes a second to import
    except ImportError:
        log.info("numba is not installed: batch norm and dropout take PyTorch's own, slower ways")
        return None
    began, told = time.monotonic(), False
    row, nothing, words = np.zeros((1, 1), np.float32), np.float32(0), NOTHING_DROPPED
    wide, partial = row[0], np.zeros((1, 2, 1))
    calls: list[tuple[Callable[..., None], tuple[Any, ...]]] = [
        (found.sums, (row, nothing, wide, partial)),
        (found.transform, (row, nothing, wide, wide, nothing, *words, row)),
        (found.gradient_sums, (row, row, nothing, wide, wide, nothing, wide, *words, partial)),
        (found.gradient, (row, row, nothing, wide, wide, nothing, wide, wide, wide, *words, row)),
    ]
    for kernel, arguments in calls:
        kernel(*arguments)
        if not told and time.monotonic() - began > 0.5:
            log.info("compiling fast layers, once on this machine: some 10 seconds")
            told = True
    return found


def _compiled() -> ModuleType:
    """In one thread: a second one would wait for the core on which PyTorch's, after a convolution, still spins."""
    found = kernels()
    assert found is not None
    return found


@dataclass(frozen=True)
class Around:
    """What goes with a batch norm in one pass.

    Args:
        relu_before, relu_after: a ReLU on that side of it.
        rate: of the dropout after all that, in [0, 1).
    """

    relu_before: bool = False
    relu_after: bool = False
    rate: float = 0.0

    @property
    def floors(self) -> tuple[float, float]:
        return (0.0 if self.relu_before else -math.inf), (0.0 if self.relu_after else -math.inf)

    @property
    def dropped(self) -> int:
        """Of `LEVELS`."""
        return min(round(self.rate * LEVELS), LEVELS - 1)

    def plain(self, x: Tensor, norm: Callable[[Tensor], Tensor], training: bool) -> Tensor:
        """The same by PyTorch's own layers."""
        x = norm(F.relu(x) if self.relu_before else x)
        return F.dropout(F.relu(x) if self.relu_after else x, self.rate, training)


def in_rows(x: Tensor) -> bool:
    """Whether the kernels can run over it."""
    if x.device.type != "cpu" or x.dtype not in (torch.float32, torch.float64) or torch.compiler.is_compiling():
        return False
    lies = x.is_contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x.ndim == 2 and x.is_contiguous()
    return lies and x.numel() > 0 and kernels() is not None


class Normalize(torch.autograd.Function):
    @staticmethod
    def forward(
        context: Any, input: Tensor, weight: Tensor, bias: Tensor, eps: float, around: Around
    ) -> tuple[Tensor, Tensor, Tensor]:
        x, channels = _rows(input), input.shape[1]
        low1, _ = around.floors
        shift = np.maximum(x[0, :channels], low1)  # near the mean: squares of what is left lose no digits
        one, two = _by_channel(_compiled().sums, x, x.dtype.type(low1), _wide(shift, x), channels=channels)
        count = x.size // channels
        mean, variance = shift + one / count, np.maximum(two / count - (one / count) ** 2, 0)
        deviation = 1 / np.sqrt(variance + eps)  # one over the standard deviation
        scale = weight.detach().numpy() * deviation
        shift = bias.detach().numpy() - mean * scale
        words = _words(around)
        output = transform(input, around, scale, shift, words)
        context.save_for_backward(input, weight)
        context.rest = around, words, mean, deviation, scale, shift
        mean, variance = (torch.from_numpy(value).to(weight.dtype) for value in (mean, variance))
        context.mark_non_differentiable(mean, variance)
        return output, mean, variance

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        input, weight = context.saved_tensors
        around, words, mean, deviation, scale, shift = context.rest
        x, dy, channels = _rows(input), _rows(_as(gradients[0], input)), input.shape[1]
        floors, k = [x.dtype.type(low) for low in around.floors], _factor(words)
        before = floors[0], _wide(scale, x), _wide(shift, x), floors[1]
        one, two = _by_channel(_compiled().gradient_sums, x, dy, *before, _wide(mean, x), *words, channels=channels)
        bias_gradient, weight_gradient = k * one, k * deviation * two
        count = x.size // channels
        slope = -scale * deviation * weight_gradient / count
        offset = -scale * bias_gradient / count - slope * mean
        after = (_wide(value, x) for value in (slope, offset, k * scale))
        dx = torch.empty_like(input)
        _compiled().gradient(x, dy, *before, *after, *words, _rows(dx))
        both = (torch.from_numpy(value).to(weight.dtype) for value in (weight_gradient, bias_gradient))
        return dx, *both, None, None  # type: ignore[return-value]


class Drop(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, input: Tensor, around: Around) -> Tensor:
        context.save_for_backward(input)
        context.rest = around, _words(around)
        one = np.ones(input.shape[1])
        return transform(input, around, one, 0 * one, context.rest[1])

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        [input] = context.saved_tensors
        around, words = context.rest
        x, dy = _rows(input), _rows(_as(gradients[0], input))
        low1, low2 = (x.dtype.type(low) for low in around.floors)
        one, zero = np.ones(x.shape[1], x.dtype), np.zeros(x.shape[1], x.dtype)
        dx = torch.empty_like(input)
        _compiled().gradient(x, dy, low1, one, zero, low2, zero, zero, one * _factor(words), *words, _rows(dx))
        return dx, None


def transform(input: Tensor, around: Around, scale: Array, shift: Array, words: Words) -> Tensor:
    """The output, by numbers of each channel (C,)."""
    x, output, k = _rows(input), torch.empty_like(input), _factor(words)
    low1, low2 = (x.dtype.type(low) for low in around.floors)
    _compiled().transform(x, low1, _wide(k * scale, x), _wide(k * shift, x), low2, *words, _rows(output))
    return output


def _words(around: Around) -> Words:
    if not around.dropped:
        return NOTHING_DROPPED
    drawn = int(torch.randint(2**63 - 1, ()))
    return np.uint32(around.dropped), np.uint32(drawn >> 31), np.uint32(drawn & (2**32 - 1))


def _factor(words: Words) -> float:
    """By which what stays grows: the inverse of the share that stays."""
    return LEVELS / (LEVELS - int(words[0]))


def _rows(x: Tensor) -> Array:
    """(N, C, H, W) in channels_last order as (N * H, W * C), or (N, C) as it is, without copying."""
    x = x.detach()
    if x.ndim == 2:
        return x.numpy()
    n, c, h, w = x.shape
    return x.permute(0, 2, 3, 1).reshape(n * h, w * c).numpy()


def _as(gradient: Tensor, input: Tensor) -> Tensor:
    return gradient.contiguous(memory_format=torch.channels_last if input.ndim == 4 else torch.contiguous_format)


def _wide(per_channel: Array, x: Array) -> Array:
    """(C,) once for each pixel of a row: (W * C,)."""
    return np.tile(per_channel.astype(x.dtype), x.shape[1] // len(per_channel))


def _by_channel(kernel: Callable[..., None], x: Array, *arguments: Any, channels: int) -> Array:
    partial = np.zeros((-(-len(x) // _compiled().BLOCK), 2, channels))
    kernel(x, *arguments, partial)
    return partial.sum(0)
