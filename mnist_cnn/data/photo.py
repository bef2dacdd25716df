"""A digit on a picture of any size, brought to 28 x 28 pixels as those of MNIST were made.

LeCun, Bottou, Bengio and Haffner (1998, "Gradient-based learning applied to document recognition", III.A): black and
white digits were fitted into 20 x 20 pixels with their proportions kept, which the averaging made grey, and placed in
28 x 28 by their centre of mass. What comes before it here makes black and white of a photograph, and a stroke that no
pen of MNIST's wrote as wide as theirs. NumPy and SciPy's `label` alone, so that a page or a chip can do the same.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from mnist_cnn.data.images import SIDE
from mnist_cnn.data.ink import Mask, find_ink, parts_of_digit
from mnist_cnn.data.scaling import Pixels, grown, rescaled, shares

BOX = 20  # pixels: the longer side of a digit
MIDDLE = 14  # pixel of the centre of mass, within half a pixel: so it is in all 60,000 training images
THIN, THICK = 2.0, 4.0  # pixels in the box: widths that a stroke is brought to; nine in ten of MNIST's are 1.7 to 3.8
HALF = 128  # of 255: a pixel that is ink
FAINT = 25  # grey levels between ink and paper: below, it may be nothing
TINY = 32  # pixels: smaller pictures are no photographs, and often cut to the digit
SMALL = 12  # pixels of the picture: a digit that lost its shape
LARGE = 0.6  # of the picture: more ink than any digit has
Box = tuple[int, int, int, int]
TIE = 1e-6  # grey levels: a half goes up, in whatever order a machine adds
Preparation = Literal["mnist", "resize"]  # makes a digit as MNIST's were made; scales the whole picture


@dataclass(frozen=True)
class Prepared:
    """What a picture became, and how.

    Args:
        image: (28, 28) uint8, of a digit light on black; black where no ink was found.
        ink: which was found; `as it is` for a picture that came as MNIST's are, or was scaled as a whole.
        box: top, left, bottom, right of the digit, or of the whole, in pixels of the picture, the last two excluded.
        warnings: why it may not be a digit.
    """

    image: Pixels
    ink: Literal["dark", "light", "none", "as it is"]
    box: Box
    warnings: tuple[str, ...] = ()


def prepare_photo(picture: Pixels) -> Prepared:
    """The digit of a picture, dark on light or light on dark.

    Args:
        picture: (H, W), (H, W, 3) or (H, W, 4) uint8, of at least one pixel; what is transparent lies on white.
    """
    grey = to_grey(picture)
    height, width = grey.shape
    if is_like_mnist(grey):
        return Prepared(grey, "as it is", (0, 0, height, width))
    if is_like_mnist(255 - grey):
        return Prepared(255 - grey, "dark", (0, 0, height, width))
    work, finer, coarser = rescaled(grey)
    tight = max(height, width) < TINY
    ink = find_ink(work, tight)
    if not ink.mask.any():
        return Prepared(np.zeros((SIDE, SIDE), np.uint8), "none", (0, 0, height, width), ("no ink was found",))
    mask = parts_of_digit(ink.mask, tight)
    # Black and white with soft edges: nothing at a quarter of the ink's contrast, all at three quarters.
    soft = ((ink.contrast - ink.level / 4) / (ink.level / 2) * 255).clip(0, 255) * grown(mask, 1.5)
    top, left, bottom, right = _bounds(mask)
    digit = with_usual_pen(soft[top:bottom, left:right])
    edges = zip((top, left, bottom, right), (height, width) * 2, strict=True)
    box = tuple(min(edge * coarser // finer, side) for edge, side in edges)
    size = max(bottom - top, right - left) * coarser / finer
    reasons = {
        f"its ink is only {ink.level:.0f} of 255 grey levels from its paper": ink.level < FAINT,
        f"ink covers {mask.mean():.0%} of it": mask.mean() > LARGE,
        f"its digit is only {size:.0f} pixels large": size < SMALL,
        "its ink reaches the edge": min(top, left, work.shape[0] - bottom, work.shape[1] - right) == 0,
    }
    warnings = tuple(words for words, said in reasons.items() if said)
    return Prepared(centred(fitted(digit)), "dark" if ink.dark else "light", box, warnings)  # type: ignore[arg-type]


def to_grey(picture: Pixels) -> Pixels:
    """(H, W), by the weights of ITU-R BT.601."""
    if picture.ndim == 2:
        return picture
    values = picture.astype(np.int32)
    if picture.shape[2] == 4:
        alpha = values[..., 3:]
        values = (values[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255
    red, green, blue = values[..., 0], values[..., 1], values[..., 2]
    return ((299 * red + 587 * green + 114 * blue + 500) // 1000).astype(np.uint8)


def is_like_mnist(grey: Pixels) -> bool:
    """28 x 28 pixels, what is not black within a box of 20 x 20, its centre of mass in the middle."""
    if grey.shape != (SIDE, SIDE) or not grey.any():
        return False
    top, left, bottom, right = _bounds(grey > 0)
    centre = _centre(grey.astype(float))
    return max(bottom - top, right - left) <= BOX and all(abs(place - MIDDLE) < 0.6 for place in centre)


def with_usual_pen(digit: np.ndarray) -> np.ndarray:
    """(H, W) in [0, 255] with a stroke of at least `THIN` and at most `THICK`, where that leaves anything."""
    scale = max(digit.shape) / BOX
    width = stroke_width(digit >= HALF) / scale
    if width < THIN:
        reach = (THIN - width) / 2 * scale
        return grown(np.pad(digit, int(reach) + 1), reach)
    if width > THICK:
        thinner = 255 - grown(255 - np.pad(digit, 1), (width - THICK) / 2 * scale)
        return thinner if (thinner >= HALF).any() else digit
    return digit


def stroke_width(ink: Mask) -> float:
    """Pixels, of a line as long as it has: twice its area through its outline. Pixels' edges overrate that of a curve
    by 4 through pi.
    """
    padded = np.pad(ink, 1).astype(np.int8)
    edges = int(np.abs(np.diff(padded, axis=0)).sum() + np.abs(np.diff(padded, axis=1)).sum())
    return 2 * int(ink.sum()) / (edges * np.pi / 4)


def fitted(digit: np.ndarray) -> np.ndarray:
    """What is ink of it, as (h, w) whole numbers with 20 as the longer side: means over the area of each pixel."""
    top, left, bottom, right = _bounds(digit >= HALF)
    digit = digit[top:bottom, left:right]
    longer = max(digit.shape)
    height, width = (max(1, (2 * side * BOX + longer) // (2 * longer)) for side in digit.shape)
    return np.floor(shares(height, digit.shape[0]) @ digit @ shares(width, digit.shape[1]).T + 0.5 + TIE)


def centred(digit: np.ndarray) -> Pixels:
    """(28, 28) with the centre of mass in the middle, moved by whole pixels and never over the edge."""
    image = np.zeros((SIDE, SIDE), np.uint8)
    places = zip(_centre(digit), digit.shape, strict=True)
    top, left = (min(max(0, int(np.floor(MIDDLE - centre + 0.5))), SIDE - side) for centre, side in places)
    image[top : top + digit.shape[0], left : left + digit.shape[1]] = digit
    return image


def _bounds(ink: Mask) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def _centre(values: np.ndarray) -> tuple[float, float]:
    """Row and column of the centre of mass."""
    whole = values.sum()
    rows, columns = (values.sum(1 - axis) @ np.arange(values.shape[axis]) / whole for axis in (0, 1))
    return float(rows), float(columns)
