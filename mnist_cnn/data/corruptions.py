"""Images made worse in many ways, after MNIST-C (Mu and Gilmer, 2019), each in five strengths instead of its one.

Drawn anew here, not its files: the same kinds, other figures.
"""

import math
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

STRENGTHS = 5
Corruption = Callable[[Tensor, int, torch.Generator], Tensor]  # (N, 1, 28, 28) from 0 to 1, strength 1 to 5


def corrupted(images: Tensor, name: str, strength: int) -> Tensor:
    """The same every time.

    Args:
        images: (N, 1, 28, 28) uint8.
        strength: 1 to 5.

    Returns:
        the same shape and type.
    """
    chance = torch.Generator().manual_seed(list(CORRUPTIONS).index(name) * 10 + strength)
    made = CORRUPTIONS[name](images.float() / 255, strength, chance)
    return (made.clamp(0, 1) * 255).round().to(torch.uint8)


def _gaussian_noise(images: Tensor, strength: int, chance: torch.Generator) -> Tensor:
    return images + torch.randn(images.shape, generator=chance) * 0.1 * strength


def _shot_noise(images: Tensor, strength: int, chance: torch.Generator) -> Tensor:
    photons = (60, 25, 12, 5, 3)[strength - 1]
    return torch.poisson(images * photons, generator=chance) / photons


def _impulse_noise(images: Tensor, strength: int, chance: torch.Generator) -> Tensor:
    drawn = torch.rand(images.shape, generator=chance)
    share = 0.04 * strength
    return torch.where(drawn < share / 2, 0.0, torch.where(drawn > 1 - share / 2, 1.0, images))


def _blur(images: Tensor, strength: int, chance: torch.Generator) -> Tensor:
    place = torch.arange(-6, 7).float()
    weights = torch.exp(-(place**2) / (2 * (0.5 * strength) ** 2))
    weights = (weights / weights.sum())[None, None, None]
    return F.conv2d(F.conv2d(images, weights, padding=(0, 6)), weights.transpose(2, 3), padding=(6, 0))


def _motion_blur(images: Tensor, strength: int, chance: torch.Generator) -> Tensor:
    """Along a line of 3 to 11 pixels, to the lower right."""
    side = 1 + 2 * strength
    return F.conv2d(images, (torch.eye(side) / side)[None, None], padding=strength)


def _brightness(images: Tensor, strength: int, chance: torch.Generator) -> Tensor:
    return images + 0.12 * strength


def _contrast(images: Tensor, strength: int, chance: torch.Generator) -> Tensor:
    return (images - 0.5) * (1 - 0.17 * strength) + 0.5


def _fog(images: Tensor, strength: int, chance: torch.Generator) -> Tensor:
    """Clouds: noise of three sizes."""
    count, sizes = len(images), (4, 7, 14)
    layers = [torch.rand((count, 1, size, size), generator=chance) / i for i, size in enumerate(sizes, 1)]
    clouds = sum(F.interpolate(layer, size=28, mode="bilinear") for layer in layers) / sum(1 / i for i in (1, 2, 3))
    thick = 0.16 * strength
    return images * (1 - thick / 2) + clouds * thick


def _stripe(images: Tensor, strength: int, chance: torch.Generator) -> Tensor:
    """The middle of the image inverted, a stripe of 2 to 10 columns."""
    made = images.clone()
    made[..., 14 - strength : 14 + strength] = 1 - made[..., 14 - strength : 14 + strength]
    return made


def _spatter(images: Tensor, strength: int, chance: torch.Generator) -> Tensor:
    """Drops of ink of 2 x 2 pixels."""
    drops = torch.rand((len(images), 1, 14, 14), generator=chance) < 0.02 * strength
    return torch.maximum(images, F.interpolate(drops.float(), size=28, mode="nearest"))


def _cover(images: Tensor, strength: int, chance: torch.Generator) -> Tensor:
    """A black square of 4 to 12 pixels over the digit."""
    side = 2 + 2 * strength
    low, high = 4, 24 - side + 1
    corner = torch.randint(low, max(low + 1, high), (len(images), 2, 1), generator=chance)
    place = torch.arange(28)
    rows, columns = ((place >= corner[:, i]) & (place < corner[:, i] + side) for i in (0, 1))
    return images * ~(rows[:, None, :, None] & columns[:, None, None, :])


def _moved(images: Tensor, strength: int, chance: torch.Generator, kind: str) -> Tensor:
    """Turned, sheared, made smaller or shifted, to a side that is drawn for each image."""
    count = len(images)
    sign = torch.randint(0, 2, (count, 2), generator=chance) * 2.0 - 1
    zero, one = torch.zeros(count), torch.ones(count)
    amount = float(strength)
    if kind == "rotate":
        angle = sign[:, 0] * math.radians(9 * amount)
        rows = [[angle.cos(), -angle.sin(), zero], [angle.sin(), angle.cos(), zero]]
    elif kind == "shear":
        rows = [[one, sign[:, 0] * 0.15 * amount, zero], [zero, one, zero]]
    elif kind == "scale":
        rows = [[one * (1 + 0.2 * amount), zero, zero], [zero, one * (1 + 0.2 * amount), zero]]
    else:
        rows = [[one, zero, sign[:, 0] * amount / 14], [zero, one, sign[:, 1] * amount / 14]]
    maps = torch.stack([torch.stack(row, 1) for row in rows], 1)
    return F.grid_sample(images, F.affine_grid(maps, list(images.shape), align_corners=False), align_corners=False)


CORRUPTIONS: dict[str, Corruption] = {
    "gaussian noise": _gaussian_noise, "shot noise": _shot_noise, "impulse noise": _impulse_noise, "blur": _blur,
    "motion blur": _motion_blur, "brightness": _brightness, "contrast": _contrast, "fog": _fog, "stripe": _stripe,
    "spatter": _spatter, "cover": _cover,
    **{kind: partial(_moved, kind=kind) for kind in ("rotate", "shear", "scale", "translate")},
}  # fmt: skip
