"""What the steps of a net are written into: forward and backward lists of work, and the memory between them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from mnist_cnn.speed import work
from mnist_cnn.speed.kernels import PIECE
from mnist_cnn.speed.program import Address, Place, Works
from mnist_cnn.speed.work import Kernel

Size = tuple[int, ...]  # of one image: (C, H, W) or (F,)
Back = Callable[[Address], Address | None]  # from the gradient of what a step gives to that of what it takes
ANYWHERE = Place("anywhere")  # a result goes into a buffer


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
class Lists:
    """Forward and backward lists while they are made.

    Args:
        gradients: where the way back keeps them.
        parameters: those whose gradients the way back gives, in that order.
        words: random ones that a step of training draws.
        offset: of the next gradient, in numbers.
    """

    images: int
    dtype: torch.dtype
    training: bool
    forward: Works
    backward: Works
    gradients: Buffers
    parameters: list[Tensor] = field(default_factory=list)
    words: int = 0
    offset: int = 0

    def gradient(self, parameter: Tensor) -> Place:
        """Where the gradient of a parameter goes."""
        self.parameters.append(parameter)
        place = Place("gradients", self.offset * self.dtype.itemsize)
        self.offset += parameter.numel()
        return place

    def result(self, dy: Address, wanted: Address | None) -> Address:
        """Where the gradient that follows from dy goes."""
        return self.gradients.other(dy) if wanted is None or wanted == ANYWHERE else wanted

    def reach(self, what: work.Pass, dy: Address, wanted: Address | None) -> Address:
        """What of dy gets through ReLU and dropout alone."""
        dx = self.result(dy, wanted)
        self.backward.add(Kernel.GRADIENT, what.channels * -(-what.size // PIECE), what._replace(y=dx, dy=dy))
        return dx


class Step(Protocol):
    """One layer, or some that belong together."""

    def size(self, size: Size) -> Size:
        """What it makes of a size that fits."""

    def fits(self, size: Size) -> bool:
        """The kernels can do it, for images of that size and with the weights as they lie now."""

    def add(self, lists: Lists, x: Address, y: Address, size: Size, wanted: Address | None) -> Back:
        """Adds what leads from x to y, and gives what adds the way back.

        Args:
            size: of what lies at x.
            wanted: where the gradient of x goes; None if nobody asks for it.
        """


def count(size: Size) -> int:
    return int(np.prod(size))


def channel_sizes(size: Size, images: int) -> tuple[int, int]:
    """How many channels, and numbers of each."""
    return size[0], count(size[1:]) * images


def unchanged(channels: int) -> Tensor:
    """What `work.Pass.kept` is without a norm."""
    return torch.tensor([[0.0], [1.0], [1.0], [0.0]], dtype=torch.float64).repeat(1, channels)
