"""A convolution or a dense layer as work for the kernels, forward and back."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from mnist_cnn.speed import work
from mnist_cnn.speed.lists import Back, Lists, Size, channel_sizes, unchanged
from mnist_cnn.speed.program import Address, Works
from mnist_cnn.speed.tables import Shape, pixel_tables, run_tables
from mnist_cnn.speed.tiles import PAIR, TAPS, VECTOR
from mnist_cnn.speed.work import Kernel

SHARES = 4  # of the rows, in the gradient of the weights of a large layer; each has its own sums
CACHED = 2**21  # bytes of the output's gradient; pieces of a layer with no more than that share the weights instead
AT_HAND = 8192  # numbers of a channel in the rows that go through a tile at once: they stay in the nearest cache
PIECES = 32  # about so many of a convolution, for threads to share them evenly


def padding(conv: nn.Conv2d) -> list[tuple[int, int]]:
    """Rows above and below, columns left and right."""
    given: Any = conv.padding
    if given == "same":
        return [((k - 1) // 2, k // 2) for k in conv.kernel_size]
    return [(0, 0)] * 2 if given == "valid" else [(p, p) for p in given]


@dataclass(frozen=True)
class Convolve:
    """A convolution with stride 1, or a dense layer, and the ReLU after it."""

    module: nn.Conv2d | nn.Linear
    relu: bool

    def fits(self, size: Size) -> bool:
        if isinstance(self.module, nn.Linear):
            return size == (self.module.in_features,)
        return len(size) == 3 and size[0] == self.module.in_channels and min(self.shape(size, 1, 4).output) > 0

    def size(self, size: Size) -> Size:
        shape = self.shape(size, 1, 4)
        return (shape.outputs,) if isinstance(self.module, nn.Linear) else (shape.outputs, *shape.output)

    def shape(self, size: Size, images: int, number: int) -> Shape:
        if isinstance(self.module, nn.Linear):
            one = (1, 1)
            return Shape(size[0], self.module.out_features, images, one, one, (0, 0), one, number)
        kernel: Any = self.module.kernel_size
        padded = padding(self.module)
        before: Any = tuple(first for first, _ in padded)
        output: Any = tuple(s + sum(p) - k + 1 for s, p, k in zip(size[1:], padded, kernel, strict=True))
        return Shape(size[0], self.module.out_channels, images, (size[1], size[2]), kernel, before, output, number)

    def add(self, lists: Lists, x: Address, y: Address, size: Size, wanted: Address | None) -> Back:
        shape = self.shape(size, lists.images, lists.dtype.itemsize)
        weight, bias = self.module.weight, self.module.bias
        added = lists.forward.at(torch.zeros(shape.outputs, dtype=lists.dtype) if bias is None else bias.detach())
        self._convolve(lists.forward, shape, x, y, added, flipped=False, relu=self.relu)

        def back(dy: Address) -> Address | None:
            works = lists.backward
            if self.relu:
                left = channel_sizes(self.size(size), lists.images)
                what = work.Pass(*left, True, work.After.NONE, y, 0, kept=works.at(unchanged(left[0])))
                dy = lists.reach(what, dy, None)
            given = lists.gradient(weight)
            summed = lists.gradient(bias) if bias is not None else works.new(shape.outputs)
            shares = self._correlate(works, shape, x, dy, given, summed)
            dx = None if wanted is None else lists.result(dy, wanted)
            if dx is not None:
                nothing = works.at(torch.zeros(shape.inputs, dtype=lists.dtype))
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
        works.first.append((Kernel.PACK, blocks, False, pack))
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
        column, row = shape.images * shape.number, shape.size[1] * shape.images
        at_once = max(1, AT_HAND // (width * shape.images))
        large = shape.outputs * height * width * column > CACHED
        shares, numbers = min(SHARES, height) if large else 1, -(-shape.outputs // PAIR) * PAIR * offsets.shape[2]
        what = work.Correlation(
            shape.outputs, height, width, shape.images, len(runs), len(offsets), offsets.shape[2], shape.taps,
            row * shape.number, column, height * width * column, shape.number,
            works.at(offsets), works.at(rows), works.at(runs),
            works.at(torch.zeros((at_once - 1) * row + width * shape.images, dtype=works.dtype)), x, dy, gradient, bias,
            shares, at_once, works.new(shares * numbers * VECTOR, dtype=torch.uint8), works.new(shares, shape.outputs),
        )  # fmt: skip
        works.add(Kernel.CORRELATE, shares if large else min(PIECES, offsets.shape[2] // TAPS), what)
        return what
