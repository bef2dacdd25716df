"""A depthwise convolution as work for the kernels, forward and back."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from mnist_cnn.speed import work
from mnist_cnn.speed.convolution import padding
from mnist_cnn.speed.lists import Back, Lists, Size
from mnist_cnn.speed.program import Address
from mnist_cnn.speed.work import Kernel


@dataclass(frozen=True)
class Depthwise:
    """One kernel per channel, with stride 1 (Howard et al., 2017)."""

    module: nn.Conv2d

    def fits(self, size: Size) -> bool:
        return len(size) == 3 and size[0] == self.module.in_channels and min(self.size(size)) > 0

    def size(self, size: Size) -> Size:
        around = zip(size[1:], padding(self.module), self.module.kernel_size, strict=True)
        return (size[0], *(s + sum(p) - k + 1 for s, p, k in around))

    def add(self, lists: Lists, x: Address, y: Address, size: Size, wanted: Address | None) -> Back:
        weight, bias = self.module.weight, self.module.bias
        channels, *output = self.size(size)
        kernel: Any = self.module.kernel_size
        (above, _), (left, _) = padding(self.module)
        nothing = lists.forward.at(torch.zeros(channels, dtype=lists.dtype))
        what = work.Depthwise(
            channels, lists.images, height=output[0], width=output[1], from_height=size[1], from_width=size[2],
            kernel_height=kernel[0], kernel_width=kernel[1], above=above, left=left, flipped=False, x=x, y=y,
            weight=weight.data_ptr(), bias=nothing if bias is None else bias.data_ptr(),
        )  # fmt: skip
        lists.forward.add(Kernel.DEPTHWISE, channels, what)

        def back(dy: Address) -> Address | None:
            works = lists.backward
            given = lists.gradient(weight)
            summed = lists.gradient(bias) if bias is not None else works.new(channels)
            works.add(Kernel.DEPTHWISE_WEIGHTS, channels, what._replace(dy=dy, weight=given, bias=summed))
            if wanted is None:
                return None
            dx = lists.result(dy, wanted)
            turned = what._replace(
                height=size[1], width=size[2], from_height=output[0], from_width=output[1],
                above=kernel[0] - 1 - above, left=kernel[1] - 1 - left, flipped=True, x=dy, y=dx, bias=nothing,
            )  # fmt: skip
            works.add(Kernel.DEPTHWISE, channels, turned, waits=False)
            return dx

        return back
