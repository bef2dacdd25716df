"""Images as people have them, brought to what a net was trained on, or refused with the reason."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mnist_cnn.data.photo import Preparation
from mnist_cnn.errors import InputError

Images = Tensor | np.ndarray[Any, Any]
SIDE = 28
NEEDED = "needed: uint8 from 0 to 255, or floats from 0 to 1"
WHITE = 255.0


@dataclass(frozen=True)
class Scale:
    """How the training images were made.

    Args:
        divide_by: pixels from 0 to 255 were divided by this.
        mean: of those pixels, over the training images; None where it is not known.
        preparation: what makes a picture from outside like them.
    """

    divide_by: float = WHITE
    mean: float | None = None
    preparation: Preparation = "mnist"


def as_input(images: Images, scale: Scale) -> Tensor:
    """(N, 1, 28, 28) floats as the net saw them while training.

    Warns where the images look inverted.

    Raises:
        InputError: another shape, type or range than `Classifier.predict` takes.
    """
    given = _as_tensor(images) if isinstance(images, np.ndarray) else images
    if not isinstance(given, Tensor):
        raise InputError(f"images are a {type(images).__name__}; needed: an array of NumPy or a tensor of PyTorch")
    if given.ndim not in (3, 4) or given.shape[-2:] != (SIDE, SIDE) or (given.ndim == 4 and given.shape[1] != 1):
        raise InputError(
            f"images have shape {tuple(given.shape)}; needed: (N, {SIDE}, {SIDE}) or (N, 1, {SIDE}, {SIDE})"
            + (", so images[None] for a single one" if tuple(given.shape) == (SIDE, SIDE) else "")
        )
    given = given.reshape(-1, 1, SIDE, SIDE)
    if given.dtype in (torch.uint8, torch.bool):
        pixels = given.float()
        if given.numel() and int(given.max()) <= 1:  # black and white
            pixels *= WHITE
    elif given.is_floating_point():
        low, high = (float(given.min()), float(given.max())) if given.numel() else (0.0, 0.0)
        if not (low >= 0 and high <= 1):  # also refuses NaN
            hint = "divide them by 255, or pass uint8" if low >= 0 and 1 < high <= WHITE else "undo any normalisation"
            raise InputError(f"images are floats from {low:g} to {high:g}; needed: 0 to 1 ({hint})")
        pixels = given.float() * WHITE
    else:
        raise InputError(f"images are {given.dtype}; {NEEDED}")
    if scale.mean is not None and len(pixels):
        mean = float(pixels.mean())
        if abs(WHITE - mean - scale.mean) < abs(mean - scale.mean):
            warnings.warn(
                f"these images look inverted: their mean is {mean:.0f} of 255, that of the training images was "
                f"{scale.mean:.0f}; MNIST's digits are white on black",
                stacklevel=3,
            )
    return pixels / scale.divide_by


def _as_tensor(images: np.ndarray[Any, Any]) -> Tensor:
    """In this machine's byte order; a copy of what cannot be written, such as a mapped file: PyTorch would warn."""
    try:
        return torch.from_numpy(np.require(images, images.dtype.newbyteorder("="), ["C", "W"]))
    except TypeError:
        raise InputError(f"images are {images.dtype}; {NEEDED}") from None
