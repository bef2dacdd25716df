"""Where the ink of a picture is: paper under uneven light, ink dark or light, and which of it belongs to the digit."""

from dataclasses import dataclass
from typing import Any

import numpy as np

Grey = np.ndarray[Any, np.dtype[np.int64]]  # (H, W)
Mask = np.ndarray[Any, np.dtype[np.bool_]]  # (H, W)
ROUNDS = 3  # of telling ink from paper and measuring the paper anew
RING = 16  # the paper is first looked for in a frame, a sixteenth of the shorter side wide
NEAR = 1.5  # standard deviations of the frame: what lies further off is ink that reaches into it
NOISE = 2.5  # standard deviations of the paper that ink differs by
LEAST = 2  # grey levels that ink differs by at least
TERMS = ((0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2))  # of the surface: powers of x and y
UNIT = 128  # pixels for 1 of x and y; a power of two, so that sums of their powers are exact
STIFF = 1e-4  # of the pixels: keeps the slopes of a surface that few pixels hold from growing
WINDOW = 4  # shadows: a window reaches a quarter of the longer side to all sides
AROUND = np.ones((3, 3), np.int8)  # pixels touch by their corners too
FRAME = 0.3  # of a side of the picture: what touches it that long is its surroundings, not a stroke
BIG_ENOUGH = 0.02  # of the largest part: what must be left when the surroundings go
DUST = 0.03  # of the largest part: what is smaller is no part of a digit


@dataclass(frozen=True)
class Ink:
    """Args:
    contrast: (H, W), 0 to 255: how far a pixel is from the paper towards the ink.
    mask: what is ink; all False where there is none.
    level: mean contrast of ink.
    floor: contrast that the paper's own unevenness reaches.
    """

    contrast: Grey
    dark: bool
    mask: Mask
    level: float
    floor: float


def find_ink(picture: np.ndarray, tight: bool = False) -> Ink:
    """Of (H, W) uint8.

    The paper is a surface of the second degree, fitted to the frame of the picture. What stands out of it most, by the
    sum of cubes, says whether ink is dark or light. Then, three times: Otsu's threshold (1979) above the noise, the
    mean contrast of what lies above it, and ink is what has half of that; the surface is fitted again to what has
    less than a quarter, and what is left of shadows is the mean of that in a window.

    Args:
        tight: there may be no paper around the digit: it is the lightest or darkest grey, whichever the mean is nearer.
    """
    grey = picture.astype(np.int64)
    paper = _lightest_or_darkest(grey) if tight else _paper_from_frame(grey)
    dark = bool(((grey - paper) ** 3).sum() <= 0)
    for still in range(0 if tight else ROUNDS - 1, -1, -1):
        above = paper - grey if dark else grey - paper
        contrast = above.clip(0, 255)
        behind = above[above < 0]
        noise = float(np.sqrt((behind * behind).sum() / max(behind.size, 1)))
        floor = NOISE * noise + LEAST
        strong = contrast[contrast > max(otsu(contrast), floor)]
        if strong.size == 0:
            return Ink(contrast, dark, np.zeros(grey.shape, bool), 0.0, floor)
        level = float(strong.sum() / strong.size)
        blank = contrast <= max(level / 4, floor)
        if not still or blank.sum() * 10 < blank.size:
            break
        paper = _paper_of(grey, blank)
    return Ink(contrast, dark, contrast > max(level / 2, floor), level, floor)


def _surface(grey: Grey, kept: Mask) -> Grey:
    """The surface of the second degree in x and y nearest to the pixels that are kept, by least squares."""
    x, y = (_powers(side) for side in (grey.shape[1], grey.shape[0]))
    moments = y.T @ kept @ x  # [j, i]: the sum of y**j * x**i
    normal = np.array([[moments[j + n, i + m] for m, n in TERMS] for i, j in TERMS])
    normal[range(1, 6), range(1, 6)] += STIFF * moments[0, 0]
    sums = y[:, :3].T @ (grey * kept) @ x[:, :3]
    one, by_x, by_y, by_xx, by_xy, by_yy = np.linalg.solve(normal, np.array([sums[j, i] for i, j in TERMS]))
    along, down = one + by_x * x[:, 1] + by_xx * x[:, 2], by_y * y[:, 1] + by_yy * y[:, 2]
    return np.rint(along + down[:, None] + by_xy * y[:, 1:2] * x[:, 1]).astype(np.int64)


def _powers(side: int) -> np.ndarray:
    """(side, 5): the powers 0 to 4 of the distance of each pixel from the middle."""
    place = (2 * np.arange(side) - (side - 1)) / (2 * UNIT)
    return place[:, None] ** np.arange(5)


def _lightest_or_darkest(grey: Grey) -> Grey:
    low, high = int(grey.min()), int(grey.max())
    return np.full_like(grey, high if 2 * grey.sum() > (low + high) * grey.size else low)


def _paper_from_frame(grey: Grey) -> Grey:
    height, width = grey.shape
    wide = max(1, min(height, width) // RING)
    frame = np.ones((height, width), bool)
    frame[wide : height - wide, wide : width - wide] = False
    kept = frame
    for _ in range(4):
        off = grey - _surface(grey, kept)
        spread = float(np.sqrt((off[kept] ** 2).sum() / kept.sum()))
        near = frame & (np.abs(off) <= NEAR * spread + LEAST)
        kept = near if near.any() else frame
    return _surface(grey, kept)


def _paper_of(grey: Grey, blank: Mask) -> Grey:
    """The surface of what is blank, and the mean of what is left where a quarter of the window is blank."""
    smooth = _surface(grey, blank)
    rows, columns = (_window(side, max(grey.shape) // WINDOW) for side in grey.shape)
    rest, count = (_in_window(values, rows, columns) for values in ((grey - smooth) * blank, blank))
    whole = (rows[1] - rows[0])[:, None] * (columns[1] - columns[0])
    return smooth + np.where(4 * count >= whole, (2 * rest + count) // (2 * count).clip(1), 0)


def _window(side: int, reach: int) -> tuple[np.ndarray, np.ndarray]:
    """First and last (excluded) of the pixels within `reach` of each."""
    place = np.arange(side)
    return (place - reach).clip(0), (place + reach + 1).clip(None, side)


def _in_window(values: np.ndarray, rows: tuple[Any, Any], columns: tuple[Any, Any]) -> Grey:
    """(H, W) sums over the window of each pixel."""
    sums = np.pad(values.cumsum(0, dtype=np.int64).cumsum(1), ((1, 0), (1, 0)))
    down = sums[rows[1]] - sums[rows[0]]
    return down[:, columns[1]] - down[:, columns[0]]


def otsu(values: Grey) -> int:
    """The level that best divides values of 0 to 255 into those up to it and those above; 255 if all are alike."""
    histogram = np.bincount(values.ravel(), minlength=256)
    count, total = histogram.cumsum().astype(float), (histogram * np.arange(256)).cumsum().astype(float)
    above = count[-1] - count
    apart = (total * count[-1] - total[-1] * count) ** 2 / np.maximum(count * above, 1)
    best = int(apart.argmax())
    return best if apart[best] > 0 else 255


def parts_of_digit(ink: Mask, tight: bool = False) -> Mask:
    """Without what runs along the edge of the picture, unless it is tight or nothing else is left, and without dust."""
    labels, areas, along = connected(ink)
    if len(areas) < 3:
        return ink
    inside = areas if tight else np.where(along, 0, areas)
    kept = inside if inside.max() >= BIG_ENOUGH * areas.max() else areas
    return ((kept > 0) & (kept >= DUST * kept.max()))[labels]


def connected(ink: Mask) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels (H, W) of connected ink, 0 for none; by label its pixels, and whether it runs along an edge."""
    from scipy import ndimage  # takes a while to import

    labels, count = ndimage.label(ink, AROUND)
    areas = np.bincount(labels.ravel(), minlength=count + 1)
    areas[0] = 0
    along = np.zeros(count + 1, bool)
    for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        along |= np.bincount(edge, minlength=count + 1) > FRAME * len(edge)
    return labels, areas, along
