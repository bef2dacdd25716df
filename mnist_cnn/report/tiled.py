"""Many images in one: with axes for each of a hundred, a run's pictures took seconds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from torch import Tensor

GAP = 0.1  # between columns, of an image's width


@dataclass(frozen=True)
class Tiled:
    """Where images stand, in pixels of the whole: right and down from its upper left corner."""

    height: int
    width: int
    above: int
    gap: int

    def left(self, column: int) -> int:
        return column * (self.width + self.gap)

    def top(self, row: int) -> int:
        return self.above + row * (self.above + self.height)

    def middle(self, row: int, column: int) -> tuple[float, float]:
        """Over an image, where a caption ends."""
        return self.left(column) + self.width / 2 - 0.5, self.top(row) - 1.5


def draw_tiled(axes: Axes, rows: Sequence[Sequence[Tensor]], columns: int, above: float = GAP) -> Tiled:
    """Draws rows of grey images of one size, (1, height, width) from 0 to 255.

    Args:
        rows: at least one has an image, and none more than there are columns.
        above: the space over each row, for captions; of an image's height.
    """
    *_, height, width = next(tile for row in rows for tile in row).shape
    placed = Tiled(height, width, math.ceil(above * height), math.ceil(GAP * width))
    canvas = np.zeros((placed.top(len(rows)) - placed.above, placed.left(columns) - placed.gap))
    for i, row in enumerate(rows):
        for j, tile in enumerate(row):
            left, top = placed.left(j), placed.top(i)
            canvas[top : top + height, left : left + width] = tile.squeeze().numpy()
    axes.imshow(canvas, cmap="gray_r", vmin=0, vmax=255, interpolation="nearest")
    return placed
