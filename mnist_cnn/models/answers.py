"""What a trained net says of images and of pictures from outside: the class, how sure, and what else it may be."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mnist_cnn.data.photo import Box, Pixels, Preparation, Prepared, prepare_photo
from mnist_cnn.models.reading import Images, Scale, as_input

AT_ONCE = 1000
UNSURE = 0.8  # a lower probability is warned of: docs/predict.md says how often that is right


@dataclass(frozen=True)
class Reading:
    """What a picture says.

    Args:
        digit: the class, counted from 0; -1 where no ink was found.
        probability: as the net gives it.
        second, second_probability: the next best class.
        warnings: why it may be wrong, or no digit at all.
        box: top, left, bottom, right in pixels of the picture, the last two excluded.
        image: (28, 28) uint8, what the net saw.
        name: of the class; empty where no ink was found.
    """

    digit: int
    probability: float
    second: int
    second_probability: float
    warnings: tuple[str, ...]
    box: Box
    image: Pixels = field(repr=False)
    name: str = ""


def read_prepared(
    net: Any, scale: Scale, prepared: Sequence[Prepared], names: Sequence[str] | None = None
) -> list[Reading]:
    """What a net says of pictures that were made ready for it.

    Args:
        net: from (N, 1, 28, 28) floats to logits (N, classes), in evaluation mode.
        names: of the classes; numbers from 0 by default.
    """
    if not prepared:
        return []
    probabilities = logits_of(net, scale, np.stack([each.image for each in prepared])).softmax(1)
    best = probabilities.topk(2).indices.tolist()
    pairs = zip(prepared, best, probabilities.tolist(), strict=True)
    names = names or [str(number) for number in range(probabilities.shape[1])]
    return [_reading(each, first, second, row, names) for each, (first, second), row in pairs]


def logits_of(net: Any, scale: Scale, images: Images) -> torch.Tensor:
    """(N, classes), on the CPU.

    Args:
        images: as for `Classifier.predict`.
    """
    batch = as_input(images, Scale(scale.divide_by))  # single pictures may well be lighter than the training's mean
    device = next(net.parameters(), batch).device
    with torch.inference_mode():
        return torch.cat([net(part.to(device)).float().cpu() for part in batch.split(AT_ONCE)])


def as_prepared(picture: Any, preparation: Preparation) -> Prepared:
    """A picture as people have it.

    Args:
        picture: the name of a file, an array (H, W), (H, W, 3) or (H, W, 4) of uint8, or a picture of Pillow's.

    Raises:
        DataError: a file that cannot be read; InputError: something else.
    """
    from PIL import Image

    from mnist_cnn.data.picture import open_picture, prepared
    from mnist_cnn.errors import InputError

    if isinstance(picture, str | Path):
        picture = open_picture(Path(picture), str(picture)).picture
    if isinstance(picture, Image.Image):
        return prepared(picture, preparation)
    shape = getattr(picture, "shape", None)
    if not isinstance(picture, np.ndarray) or picture.dtype != np.uint8 or not _is_picture(picture.shape):
        what = f"{picture.dtype} {shape}" if isinstance(picture, np.ndarray) else f"a {type(picture).__name__}"
        raise InputError(
            f"the picture is {what}; needed: the name of a file, a picture of Pillow's, or an array of uint8 with the "
            "shape (height, width), (height, width, 3) or (height, width, 4)"
        )
    return prepare_photo(picture) if preparation == "mnist" else prepared(Image.fromarray(picture), preparation)


def _is_picture(shape: tuple[int, ...]) -> bool:
    return 0 not in shape and (len(shape) == 2 or (len(shape) == 3 and shape[2] in (3, 4)))


def _reading(prepared: Prepared, first: int, second: int, row: list[float], names: Sequence[str]) -> Reading:
    if prepared.ink == "none":
        return Reading(-1, 0.0, -1, 0.0, prepared.warnings, prepared.box, prepared.image)
    unsure = (f"it may as well be {names[second]}",) if row[first] < UNSURE else ()
    warnings = (*prepared.warnings, *unsure)
    box, image = prepared.box, prepared.image
    return Reading(first, row[first], second, row[second], warnings, box, image, names[first])
