"""Activation, batch norm, dropout and pooling as work for the kernels, forward and back."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mnist_cnn.models.batch_norm import BatchNorm1d, BatchNorm2d
from mnist_cnn.speed import work
from mnist_cnn.speed.kernels import LEVELS, PIECE
from mnist_cnn.speed.lists import Back, Lists, Size, channel_sizes, count, unchanged
from mnist_cnn.speed.program import Address, Place
from mnist_cnn.speed.work import After, Kernel


@dataclass(frozen=True)
class Around:
    """What goes with a batch norm in one pass, or stands alone.

    Args:
        relu_before: a ReLU before it.
        after: the activation after it.
        rate: of the dropout (Srivastava et al., 2014) after all that, in [0, 1); rounded to a multiple of 2**-32.
        norm: batch norm (Ioffe and Szegedy, 2015).
    """

    relu_before: bool = False
    after: After = After.NONE
    rate: float = 0.0
    norm: BatchNorm1d | BatchNorm2d | None = None

    def fits(self, size: Size) -> bool:
        if self.norm is None:
            return True
        return len(size) == (1 if isinstance(self.norm, BatchNorm1d) else 3) and size[0] == self.norm.num_features

    def size(self, size: Size) -> Size:
        return size

    def add(self, lists: Lists, x: Address, y: Address, size: Size, wanted: Address | None) -> Back:
        works, norm = lists.forward, self.norm
        channels, channel = channel_sizes(size, lists.images)
        pieces = -(-channel // PIECE)
        dropped, words = 0, (Place("words"), Place("words"))
        if self.rate and lists.training:
            dropped = min(round(self.rate * LEVELS), LEVELS - 1)
            words = Place("words", index=lists.words), Place("words", index=lists.words + 1)
            lists.words += 2
        what = work.Pass(channels, channel, self.relu_before, self.after, x, y)
        if dropped:
            what = what._replace(dropped=dropped, word1=words[0], word2=words[1])
        if norm is None or not lists.training:
            what = what._replace(kept=works.at(unchanged(channels) if norm is None else _averaged(norm)))
            works.add(Kernel.TRANSFORM, channels * pieces, what)
            return lambda dy: lists.reach(what, dy, wanted)
        sums = works.new(channels, pieces, 2, dtype=torch.float64)
        kept = works.new(4, channels, dtype=torch.float64)
        works.add(Kernel.SUMS, channels * pieces, what._replace(sums=sums))
        normalize = what._replace(
            sums=sums, kept=kept, weight=norm.weight.data_ptr(), bias=norm.bias.data_ptr(),
            running_mean=norm.running_mean.data_ptr(), running_variance=norm.running_var.data_ptr(),
            momentum=norm.momentum, eps=norm.eps,
        )  # fmt: skip
        works.add(Kernel.NORMALIZE, channels * pieces, normalize)

        def back(dy: Address) -> Address:
            works = lists.backward
            dx = lists.result(dy, wanted)
            going = what._replace(y=dx, dy=dy, kept=kept, sums=works.new(channels, pieces, 2, dtype=torch.float64))
            works.add(Kernel.GRADIENT_SUMS, channels * pieces, going)
            weight, bias = lists.gradient(norm.weight), lists.gradient(norm.bias)
            works.add(Kernel.GRADIENT, channels * pieces, going._replace(weight=weight, bias=bias))
            return dx

        return back


@dataclass(frozen=True)
class Pool:
    """The maximum of squares that do not overlap, and the ReLU after it; the average of all pixels for window 0."""

    window: int
    relu: bool = False

    def fits(self, size: Size) -> bool:
        return len(size) == 3 and min(size[1:]) >= self.window

    def size(self, size: Size) -> Size:
        return (size[0], size[1] // self.window, size[2] // self.window) if self.window else (size[0],)

    def add(self, lists: Lists, x: Address, y: Address, size: Size, wanted: Address | None) -> Back:
        left = self.size(size)
        height, width = left[1:] if self.window else (1, 1)
        pieces = left[0] * height
        before = size[1], size[2]
        what = work.Pool(size[0], height, width, lists.images, *before, self.window, self.relu, x, y)
        lists.forward.add(Kernel.POOL if self.window else Kernel.AVERAGE, pieces, what)

        def back(dy: Address) -> Address:
            dx = lists.result(dy, wanted)
            kernel = Kernel.POOL_GRADIENT if self.window else Kernel.AVERAGE_GRADIENT
            lists.backward.add(kernel, pieces, what._replace(y=dx, dy=dy))
            return dx

        return back


@dataclass(frozen=True)
class Flatten:
    """All numbers of a pixel already lie side by side: no work."""

    def fits(self, size: Size) -> bool:
        return True

    def size(self, size: Size) -> Size:
        return (count(size),)


def _averaged(norm: BatchNorm1d | BatchNorm2d) -> Tensor:
    """The same by the moving averages."""
    with torch.no_grad():
        mean, variance = norm.averages()
        deviation = (variance + norm.eps).rsqrt()
        scale = norm.weight * deviation
        return torch.stack([mean, deviation, scale, norm.bias - mean * scale]).double()
