"""Pictures of any size and colour, brought to 28 x 28 grey pixels."""

import io
import logging
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from mnist_cnn.data.images import SIDE
from mnist_cnn.data.photo import Preparation, Prepared, prepare_photo
from mnist_cnn.errors import DataError, in_one_line
from mnist_cnn.files import require_file

log = logging.getLogger(__name__)
SMALLEST, LARGEST = 4, 10_000  # pixels of a picture's side
LARGEST_AREA = 50_000_000  # pixels: in memory four bytes each, and several pictures at once


def to_28(images: Tensor, preparation: Preparation, where: str) -> Tensor:
    """(N, H, W) or, in colour, (N, H, W, 3), uint8, as (N, 28, 28).

    Says once in the log what was done. `resize` leaves what is 28 x 28 and grey as it is.

    Raises:
        DataError: another shape.
    """
    if images.ndim == 4 and images.shape[3] == 1:
        images = images[..., 0]
    if images.ndim == 3 and tuple(images.shape[1:]) == (SIDE, SIDE) and preparation == "resize":
        return images
    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] not in (3, 4)):
        raise DataError(f"{where}: shape {tuple(images.shape)}; needed: (N, height, width) or (N, height, width, 3)")
    require_size(int(images.shape[2]), int(images.shape[1]), where)
    made = [prepared(Image.fromarray(image.numpy()), preparation).image for image in images]
    say(where, {(int(images.shape[2]), int(images.shape[1]))}, images.ndim == 4, preparation)
    return torch.from_numpy(np.stack(made)) if made else torch.empty((0, SIDE, SIDE), dtype=torch.uint8)


@dataclass(frozen=True)
class Opened:
    """Args:
    picture: whole in memory, upright.
    frames: of an animation or a document of pages, of which it is the first.
    """

    picture: Image.Image
    frames: int


def open_picture(source: Path | bytes, where: str) -> Opened:
    """A file, or its bytes, as a picture; its size is looked at before it is decoded.

    Raises:
        DataError: not there, no picture, cut short or damaged, absurdly small or large.
    """
    if isinstance(source, Path):
        require_file(source, DataError)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata, and of sizes, which are looked at here
            with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as picture:
                require_size(*picture.size, where)
                frames = getattr(picture, "n_frames", 1)
                upright = ImageOps.exif_transpose(picture)
                to_grey(upright.crop((0, 0, 1, 1)))  # a few kinds, LAB for one, have no way to grey
                return Opened(upright, frames)
    except DataError:
        raise
    except Image.DecompressionBombError:
        raise DataError(f"{where}: more than {LARGEST_AREA:,} pixels, the most that is read") from None
    except UnidentifiedImageError:
        raise DataError(f"{where}: not a picture that can be read (of no kind that is known)") from None
    except Exception as error:  # of Pillow's readers, of which each has errors of its own for damaged bytes
        raise DataError(f"{where}: not a picture that can be read ({in_one_line(error)})") from error


def prepared(picture: Image.Image, preparation: Preparation) -> Prepared:
    """A picture as (28, 28) uint8, and what is to be said of it.

    Args:
        preparation: `resize` scales it as a whole, `mnist` makes a digit as MNIST's were made: see `data.photo`.
    """
    grey = to_grey(picture)
    if preparation == "mnist":
        return prepare_photo(np.asarray(grey))
    whole = grey.resize((SIDE, SIDE), Image.Resampling.BILINEAR)  # Pillow's averages over what it shrinks
    return Prepared(np.asarray(whole), "as it is", (0, 0, grey.height, grey.width))


def to_grey(picture: Image.Image) -> Image.Image:
    """8 bits per pixel; what is transparent lies on white."""
    return in_8_bits(picture).convert("L")


def in_8_bits(picture: Image.Image) -> Image.Image:
    """8 bits per pixel or colour, nothing transparent: that lies on white."""
    if picture.mode.startswith(("I", "F")):  # Pillow would cut them off at 255
        values = np.asarray(picture, dtype=np.float64)
        brightest = values.max(initial=0)
        white = 1 if picture.mode == "F" and brightest <= 1 else 255 if brightest <= 255 else 65535
        return Image.fromarray((values / white * 255).clip(0, 255).round().astype(np.uint8))
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        above = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", above.size, "white"), above)
    return picture


def require_size(width: int, height: int, where: str) -> None:
    """Raises DataError for a picture that is absurdly small or large."""
    if not (min(width, height) >= SMALLEST and max(width, height) <= LARGEST):
        raise DataError(f"{where}: {width} x {height} pixels; needed: sides of {SMALLEST} to {LARGEST:,} pixels")
    if width * height > LARGEST_AREA:
        raise DataError(f"{where}: {width} x {height} pixels; needed: {LARGEST_AREA:,} pixels at most")


def say(where: str, sizes: set[tuple[int, int]], colour: bool, preparation: Preparation) -> None:
    """One line on what became of pictures of these widths and heights."""
    (narrow, low), (wide, high) = min(sizes), max(sizes)
    kind = "in colour" if colour else "grey"
    size = f"{narrow} x {low}" if len(sizes) == 1 else f"{narrow} x {low} to {wide} x {high}"
    log.info(f"{where}: pictures of {size} pixels, {kind}, made {SIDE} x {SIDE} grey (data.prepare={preparation})")
