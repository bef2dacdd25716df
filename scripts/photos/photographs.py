"""Photo-like pictures of MNIST's digits: what a camera or a scanner would have made of them.

A digit becomes a line (thinned to its middle), the line a stroke of a pen's width in a picture of any size, with the
colours of ink and paper, uneven light, blur, noise and JPEG. All is drawn from the generator that is given, so a seed
names a picture for good.
"""

import io
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage

Range = tuple[float, float]
DARK_INKS = [(20, 20, 25), (25, 40, 120), (40, 70, 170), (160, 30, 35), (20, 90, 50), (85, 85, 90)]
LIGHT_PAPERS = [(250, 250, 250), (240, 235, 220), (225, 225, 225), (245, 240, 190), (215, 228, 240)]
LIGHT_INKS = [(245, 245, 245), (250, 240, 170), (180, 215, 240)]
DARK_PAPERS = [(25, 28, 30), (35, 60, 50), (30, 35, 70), (70, 70, 75)]
FINE = 8  # a digit is thinned and measured at 8 times its size
JPEG_BEST = 100  # from here on it is not made a JPEG at all


@dataclass(frozen=True)
class Conditions:
    """What pictures are drawn from, evenly between the two numbers of each range.

    Args:
        side: longer side in pixels, drawn evenly on a logarithmic scale.
        share: of the shorter side that the digit takes.
        off: its centre away from the middle, as a share of the room that is left.
        pen: width of the stroke in pixels of MNIST's 20 x 20 box; None keeps the writer's own stroke.
        rotation: degrees either way.
        coloured: chance of another ink and paper than black on white.
        light_on_dark: chance of chalk on a board.
        shade: how much darker the darkest place is lit, as a share.
        blur: standard deviation in shares of the digit's size.
        noise: standard deviation in grey levels.
        jpeg: quality.
    """

    side: Range = (280, 280)
    share: Range = (0.7, 0.7)
    off: Range = (0, 0)
    pen: Range | None = None
    rotation: Range = (0, 0)
    coloured: float = 0
    light_on_dark: float = 0
    shade: Range = (0, 0)
    blur: Range = (0.005, 0.005)
    noise: Range = (0, 0)
    jpeg: Range = (JPEG_BEST, JPEG_BEST)


CLEAN = Conditions()
LEVELS = {
    "mild": Conditions(
        side=(100, 1000), share=(0.5, 0.85), off=(0, 0.5), pen=(1.8, 3.5), rotation=(0, 5), coloured=0.5,
        light_on_dark=0.1, shade=(0, 0.2), blur=(0.003, 0.01), noise=(0, 4), jpeg=(80, 100),
    ),
    "medium": Conditions(
        side=(64, 2000), share=(0.35, 0.9), off=(0, 0.8), pen=(1.2, 4.5), rotation=(0, 12), coloured=0.8,
        light_on_dark=0.2, shade=(0.1, 0.45), blur=(0.003, 0.02), noise=(2, 9), jpeg=(55, 95),
    ),
    "hard": Conditions(
        side=(64, 2000), share=(0.2, 0.95), off=(0, 1), pen=(0.7, 5.5), rotation=(0, 25), coloured=1,
        light_on_dark=0.3, shade=(0.3, 0.7), blur=(0.005, 0.035), noise=(5, 18), jpeg=(25, 80),
    ),
}  # fmt: skip
# One thing at a time, as in the hard set, on a picture that is clean else.
ALONE = {
    name: replace(CLEAN, **changes)
    for name, changes in {
        "clean": {},
        "64 pixels": {"side": (64, 64)},
        "2,000 pixels": {"side": (2000, 2000)},
        "small on the page": {"side": (1000, 1000), "share": (0.15, 0.25)},
        "off the middle": {"share": (0.4, 0.4), "off": (1, 1)},
        "thin pen": {"pen": (0.6, 1.0)},
        "thick pen": {"pen": (4.5, 5.5)},
        "rotated 15 to 25 degrees": {"rotation": (15, 25)},
        "colours": {"coloured": 1.0},
        "light on dark": {"light_on_dark": 1.0},
        "uneven light": {"shade": (0.6, 0.7)},
        "blur": {"blur": (0.03, 0.04)},
        "noise": {"noise": (20, 30)},
        "JPEG of quality 10": {"jpeg": (10, 10)},
    }.items()
}


@dataclass(frozen=True)
class Photograph:
    """Args:
    pixels: (H, W, 3) uint8.
    drawn: what was drawn for each of the `Conditions`.
    """

    pixels: np.ndarray
    drawn: dict[str, Any] = field(default_factory=dict)


def photograph(digit: np.ndarray, conditions: Conditions, chance: np.random.Generator) -> Photograph:
    """A picture of a digit of MNIST's, (28, 28) uint8."""
    drawn = {
        f.name: (float(chance.uniform(*value)) if value is not None else None)
        for f in fields(conditions)
        if isinstance(value := getattr(conditions, f.name), tuple | None)
    }
    drawn["side"] = round(float(np.exp(chance.uniform(*np.log(conditions.side)))))
    drawn["rotation"] *= chance.choice([-1, 1])
    shorter = round(drawn["side"] * chance.uniform(0.75, 1))
    height, width = (drawn["side"], shorter) if chance.random() < 0.5 else (shorter, drawn["side"])
    cover = _stroke(digit, drawn, (height, width), chance)
    ink, paper = _colours(conditions, chance)
    image = cover[..., None] * ink + (1 - cover[..., None]) * paper
    image *= _light((height, width), drawn["shade"], chance)[..., None]
    grain = chance.standard_normal(image.shape, dtype=np.float32) * drawn["noise"]
    pixels = (image + grain).clip(0, 255).round().astype(np.uint8)
    if drawn["jpeg"] < JPEG_BEST:
        packed = io.BytesIO()
        Image.fromarray(pixels).save(packed, "JPEG", quality=round(drawn["jpeg"]))
        pixels = np.asarray(Image.open(packed))
    return Photograph(pixels, drawn)


def _stroke(
    digit: np.ndarray, drawn: dict[str, Any], shape: tuple[int, int], chance: np.random.Generator
) -> np.ndarray:
    """(H, W) float32: how much of each pixel the ink covers."""
    fine = ndimage.zoom(digit.astype(np.float32), FINE, order=1, grid_mode=True, mode="grid-constant") > 127
    if drawn["pen"] is None:
        away = ndimage.distance_transform_edt(~fine) - ndimage.distance_transform_edt(fine)
    else:
        away = ndimage.distance_transform_edt(~thinned(fine)) - drawn["pen"] * FINE / 2
    rows, columns = np.flatnonzero(fine.any(1)), np.flatnonzero(fine.any(0))
    middle = (rows[0] + rows[-1]) / 2, (columns[0] + columns[-1]) / 2
    size = max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1
    scale = size / (drawn["share"] * min(shape))  # fine pixels for one of the picture's
    angle = np.deg2rad(drawn["rotation"])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * scale
    room = (np.array(shape) - drawn["share"] * min(shape)) / 2
    centre = np.array(shape) / 2 + chance.uniform(-1, 1, 2) * room * drawn["off"]
    far = float(FINE * 28)
    away = ndimage.affine_transform(
        away.astype(np.float32), turn, np.array(middle) - turn @ centre, shape, order=1, mode="constant", cval=far
    )
    cover = (0.5 - away / scale).clip(0, 1)
    return ndimage.gaussian_filter(cover, drawn["blur"] * size / scale)


def thinned(shape: np.ndarray) -> np.ndarray:
    """The middle line of a black and white shape (Zhang and Suen, 1984)."""
    left = np.pad(shape, 1)
    changed = True
    while changed:
        changed = False
        for step in (0, 1):
            around = [np.roll(left, (-dy, -dx), (0, 1)) for dy, dx in _AROUND]
            up, right, down, back = around[0], around[2], around[4], around[6]
            filled = np.sum(around, axis=0, dtype=np.int8)
            turns = sum((~a & b).astype(np.int8) for a, b in zip(around, around[1:] + around[:1], strict=True))
            one, two = (up & right & down, right & down & back) if step == 0 else (up & right & back, up & down & back)
            gone = left & (filled >= 2) & (filled <= 6) & (turns == 1) & ~one & ~two
            changed |= bool(gone.any())
            left &= ~gone
    return left[1:-1, 1:-1]


_AROUND = [(-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1)]


def _colours(conditions: Conditions, chance: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Ink and paper as (3,) RGB."""
    light, coloured = chance.random() < conditions.light_on_dark, chance.random() < conditions.coloured
    inks, papers = (LIGHT_INKS, DARK_PAPERS) if light else (DARK_INKS, LIGHT_PAPERS)
    ink, paper = (inks[chance.integers(len(inks))], papers[chance.integers(len(papers))]) if coloured else (
        inks[0], papers[0],
    )  # fmt: skip
    return np.array(ink, np.float32), np.array(paper, np.float32)


def _light(shape: tuple[int, int], shade: float, chance: np.random.Generator) -> np.ndarray:
    """(H, W) from 1 - shade to 1: a slope in any direction, bent as the light of a lamp is."""
    height, width = shape
    angle, bend = chance.uniform(0, 2 * np.pi), chance.uniform(-0.6, 0.6)
    y, x = np.linspace(-1, 1, height, dtype=np.float32)[:, None], np.linspace(-1, 1, width, dtype=np.float32)
    slope = np.cos(angle) * x + np.sin(angle) * y
    across = -np.sin(angle) * x + np.cos(angle) * y
    dark = slope + bend * (slope**2 + across**2)
    return 1 - shade * (dark - dark.min()) / max(float(np.ptp(dark)), 1e-9)
