"""Many images in one: with axes for each of a hundred, a run's pictures took seconds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from torch import Tensor

GAP = 0.1  # between columns, of an image's width
BLACK, GROUND = 16, 0.25  # a ground is black where this share of all pixels is darker than that


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

    def caption(self, row: int, column: int) -> tuple[float, float]:
        """The lower middle of what is written over an image."""
        return self.left(column) + self.width / 2 - 0.5, self.top(row) - 1.5


def draw_tiled(axes: Axes, rows: Sequence[Sequence[Tensor | None]], columns: int, above: float = GAP) -> Tiled:
    """Draws rows of grey images, (1, height, width) from 0 to 255; those smaller than the largest in its middle.

    What has a black ground, as MNIST's digits, is drawn with white for black; pictures of another kind as they are.

    Args:
        rows: at least one has an image, and none more places than there are columns; None leaves a place free.
        above: the space over each row, for captions; of an image's height.
    """
    tiles = [tile for row in rows for tile in row if tile is not None]
    height, width = (max(tile.shape[side] for tile in tiles) for side in (-2, -1))
    placed = Tiled(height, width, math.ceil(above * height), math.ceil(GAP * width))
    black = sum(int((tile < BLACK).sum()) for tile in tiles) > GROUND * sum(tile.numel() for tile in tiles)
    paper = 0 if black else 255
    canvas = np.full((placed.top(len(rows)) - placed.above, placed.left(columns) - placed.gap), paper, np.float64)
    for i, row in enumerate(rows):
        for j, tile in enumerate(row):
            if tile is None:
                continue
            pixels = tile.squeeze(0).numpy()
            top = placed.top(i) + (height - pixels.shape[0]) // 2
            left = placed.left(j) + (width - pixels.shape[1]) // 2
            canvas[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    axes.imshow(canvas, cmap="gray_r" if black else "gray", vmin=0, vmax=255, interpolation="nearest")
    return placed
