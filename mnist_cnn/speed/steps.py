"""Each kind of layer as work for the kernels, forward and back."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from mnist_cnn.models.batch_norm import BatchNorm1d, BatchNorm2d
from mnist_cnn.speed import work
from mnist_cnn.speed.kernels import LEVELS, PIECE
from mnist_cnn.speed.program import Address, Place, Works
from mnist_cnn.speed.tables import Shape, pixel_tables, run_tables
from mnist_cnn.speed.tiles import PAIR, VECTOR
from mnist_cnn.speed.work import Kernel

PIECES = 32  # of a convolution: enough for threads to share them evenly
SHARES = 4  # of the rows, in the gradient of its weights; each has its own sums
Size = tuple[int, ...]  # of one image: (C, H, W) or (F,)
Back = Callable[[Address], Address | None]  # from the gradient of what a step gives to that of what it takes


class Buffers:
    """Two that take turns, for numbers that are read once."""

    def __init__(self, works: Works, largest: int) -> None:
        self.works, self.largest, self.made = works, largest, [0, 0]

    def other(self, than: Address) -> int:
        """One that is not `than`."""
        which = int(than == self.made[0])
        self.made[which] = self.made[which] or self.works.new(self.largest)
        return self.made[which]


@dataclass
class Steps:
    """Forward and backward lists while they are made.

    Args:
        gradients: where the way back keeps them.
        parameters: those whose gradients the way back gives, in that order.
    """

    images: int
    dtype: torch.dtype
    training: bool
    forward: Works
    backward: Works
    gradients: Buffers
    parameters: list[Tensor] = field(default_factory=list)
    words: int = 0
    offset: int = 0  # of the next gradient, in numbers

    def gradient(self, parameter: Tensor) -> Place:
        """Where the gradient of a parameter goes."""
        self.parameters.append(parameter)
        place = Place("gradients", self.offset * self.dtype.itemsize)
        self.offset += parameter.numel()
        return place

    def reach(self, what: work.Pass, dy: Address, needed: Address | None) -> Address:
        """What of dy gets through ReLU and dropout alone."""
        dx = needed or self.gradients.other(dy)
        self.backward.add(Kernel.GRADIENT, what.channels * -(-what.size // PIECE), what._replace(y=dx, dy=dy))
        return dx


@dataclass(frozen=True)
class Convolve:
    """A convolution with stride 1, or a dense layer, and the ReLU after it."""

    module: nn.Conv2d | nn.Linear
    relu: bool

    def size(self, size: Size) -> Size:
        if isinstance(self.module, nn.Linear):
            return (self.module.out_features,)
        return (self.module.out_channels, *self.shape(size, 1, 4).output)

    def shape(self, size: Size, images: int, number: int) -> Shape:
        if isinstance(self.module, nn.Linear):
            one = (1, 1)
            return Shape(size[0], self.module.out_features, images, one, one, (0, 0), one, number)
        kernel: Any = self.module.kernel_size
        same = self.module.padding == "same"
        before: Any = tuple((k - 1) // 2 if same else 0 for k in kernel)
        output: Any = size[1:] if same else tuple(s - k + 1 for s, k in zip(size[1:], kernel, strict=True))
        return Shape(size[0], self.module.out_channels, images, (size[1], size[2]), kernel, before, output, number)

    def add(self, steps: Steps, x: Address, y: Address, size: Size, needed: Address | None) -> Back:
        shape = self.shape(size, steps.images, steps.dtype.itemsize)
        weight, bias = self.module.weight, self.module.bias
        added = steps.forward.at(torch.zeros(shape.outputs, dtype=steps.dtype) if bias is None else bias.detach())
        self._convolve(steps.forward, shape, x, y, added, flipped=False, relu=self.relu)

        def back(dy: Address) -> Address | None:
            works = steps.backward
            if self.relu:
                left = _of(self.size(size), steps.images)
                what = work.Pass(*left, True, False, y, 0, kept=works.at(_unchanged(left[0])))
                dy = steps.reach(what, dy, None)
            given = steps.gradient(weight)
            summed = steps.gradient(bias) if bias is not None else works.new(shape.outputs)
            shares = self._correlate(works, shape, x, dy, given, summed)
            dx = None if needed is None else needed or steps.gradients.other(dy)
            if dx is not None:
                nothing = works.at(torch.zeros(shape.inputs, dtype=steps.dtype))
                self._convolve(works, shape.backward, dy, dx, nothing, flipped=True, relu=False, waits=False)
            works.add(Kernel.COLLECT, shape.outputs, shares)
            return dx

        return back

    def _convolve(
        self,
        works: Works,
        shape: Shape,
        x: Address,
        y: Address,
        bias: int,
        flipped: bool,
        relu: bool,
        waits: bool = True,
    ) -> None:
        blocks = -(-shape.outputs // shape.block)
        packed = works.new(blocks, shape.taps, shape.block)
        outputs, inputs = (shape.inputs, shape.outputs) if flipped else (shape.outputs, shape.inputs)
        pack = work.Pack(outputs, inputs, *shape.kernel, shape.block, flipped, self.module.weight.data_ptr(), packed)
        works.first.append((Kernel.PACK, 1, False, pack))
        taps, counts, rows, columns = pixel_tables(shape)
        height, width = shape.output
        column = shape.images * shape.number
        what = work.Convolution(
            shape.outputs, height, width, shape.images, shape.block, len(counts), shape.taps,
            shape.size[1] * column, column, height * width * column, shape.number, relu,
            works.at(taps), works.at(counts), works.at(rows), works.at(columns), x, y, packed, bias,
        )  # fmt: skip
        works.add(Kernel.CONVOLVE, min(PIECES, height * width), what, waits)

    def _correlate(
        self, works: Works, shape: Shape, x: Address, dy: Address, gradient: Address, bias: Address
    ) -> work.Correlation:
        offsets, rows, runs = run_tables(shape)
        height, width = shape.output
        column = shape.images * shape.number
        shares, numbers = min(SHARES, height), -(-shape.outputs // PAIR) * PAIR * offsets.shape[2]
        what = work.Correlation(
            shape.outputs, height, width, shape.images, len(runs), len(offsets), offsets.shape[2], shape.taps,
            shape.size[1] * column, column, height * width * column, shape.number, works.at(offsets), works.at(rows),
            works.at(runs), works.at(torch.zeros(width * shape.images, dtype=works.dtype)), x, dy, gradient, bias,
            shares, works.new(shares * numbers * VECTOR, dtype=torch.uint8), works.new(shares, shape.outputs),
        )  # fmt: skip
        works.add(Kernel.CORRELATE, shares, what)
        return what


@dataclass(frozen=True)
class Around:
    """What goes with a batch norm in one pass, or stands alone.

    Args:
        relu_before, relu_after: a ReLU on that side of it.
        rate: of the dropout (Srivastava et al., 2014) after all that, in [0, 1); rounded to a multiple of 2**-32.
        norm: batch norm (Ioffe and Szegedy, 2015).
    """

    relu_before: bool = False
    relu_after: bool = False
    rate: float = 0.0
    norm: BatchNorm1d | BatchNorm2d | None = None

    def size(self, size: Size) -> Size:
        return size

    def add(self, steps: Steps, x: Address, y: Address, size: Size, needed: Address | None) -> Back:
        works, norm = steps.forward, self.norm
        channels, channel = _of(size, steps.images)
        pieces = -(-channel // PIECE)
        dropped, words = 0, (Place("words"), Place("words"))
        if self.rate and steps.training:
            dropped = min(round(self.rate * LEVELS), LEVELS - 1)
            words = Place("words", index=steps.words), Place("words", index=steps.words + 1)
            steps.words += 2
        what = work.Pass(channels, channel, self.relu_before, self.relu_after, x, y)
        if dropped:
            what = what._replace(dropped=dropped, word1=words[0], word2=words[1])
        if norm is None or not steps.training:
            what = what._replace(kept=works.at(_unchanged(channels) if norm is None else _averaged(norm)))
            works.add(Kernel.TRANSFORM, channels * pieces, what)
            return lambda dy: steps.reach(what, dy, needed)
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
            works = steps.backward
            dx = needed or steps.gradients.other(dy)
            going = what._replace(y=dx, dy=dy, kept=kept, sums=works.new(channels, pieces, 2, dtype=torch.float64))
            works.add(Kernel.GRADIENT_SUMS, channels * pieces, going)
            weight, bias = steps.gradient(norm.weight), steps.gradient(norm.bias)
            works.add(Kernel.GRADIENT, channels * pieces, going._replace(weight=weight, bias=bias))
            return dx

        return back


@dataclass(frozen=True)
class Pool:
    """The maximum of squares that do not overlap, and the ReLU after it; the average of all pixels for window 0."""

    window: int
    relu: bool = False

    def size(self, size: Size) -> Size:
        return (size[0], size[1] // self.window, size[2] // self.window) if self.window else (size[0],)

    def add(self, steps: Steps, x: Address, y: Address, size: Size, needed: Address | None) -> Back:
        left = self.size(size)
        height, width = left[1:] if self.window else (1, 1)
        pieces = left[0] * height
        before = size[1], size[2]
        what = work.Pool(size[0], height, width, steps.images, *before, self.window, self.relu, x, y)
        steps.forward.add(Kernel.POOL if self.window else Kernel.AVERAGE, pieces, what)

        def back(dy: Address) -> Address:
            dx = needed or steps.gradients.other(dy)
            kernel = Kernel.POOL_GRADIENT if self.window else Kernel.AVERAGE_GRADIENT
            steps.backward.add(kernel, pieces, what._replace(y=dx, dy=dy))
            return dx

        return back


@dataclass(frozen=True)
class Flatten:
    """Nothing to do: all numbers of a pixel already lie side by side."""

    def size(self, size: Size) -> Size:
        count = 1
        for n in size:
            count *= n
        return (count,)


Step = Convolve | Around | Pool | Flatten


def _of(size: Size, images: int) -> tuple[int, int]:
    """How many channels, and numbers of each."""
    pixels = size[1] * size[2] if len(size) == 3 else 1
    return size[0], pixels * images


def _unchanged(channels: int) -> Tensor:
    """What `work.Pass.kept` is without a norm."""
    return torch.tensor([[0.0], [1.0], [1.0], [0.0]], dtype=torch.float64).repeat(1, channels)


def _averaged(norm: BatchNorm1d | BatchNorm2d) -> Tensor:
    """The same by the moving averages."""
    with torch.no_grad():
        mean, variance = norm.averages()
        deviation = (variance + norm.eps).rsqrt()
        scale = norm.weight * deviation
        return torch.stack([mean, deviation, scale, norm.bias - mean * scale]).double()
