"""Reads pictures, many at a time, and goes on where one cannot be read."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from PIL import Image

from mnist_cnn.data.lines import Placed, digits_of
from mnist_cnn.data.photo import Prepared
from mnist_cnn.data.picture import in_8_bits, open_picture, prepared, to_grey
from mnist_cnn.errors import DataError
from mnist_cnn.models.answers import Reading, read_prepared
from mnist_cnn.predict.sources import Named
from mnist_cnn.runs.trained import Net

AT_ONCE = 64  # pictures in memory
THREADS = 4  # the largest picture takes a gigabyte while it is prepared
THUMBNAIL = 112  # pixels of a picture's longer side on the sheet
Way = Literal["mnist", "resize", "several"]


@dataclass(frozen=True)
class Answer:
    """What a picture says.

    Args:
        readings: one; of several digits any number, with their lines in `lines`.
        lines: (line, place) of each reading, counted from 1.
        problem: why it could not be read, in one line; then there is no more.
        thumbnail: of the picture.
    """

    name: str
    readings: list[Reading]
    lines: list[tuple[int, int]]
    problem: str | None = None
    thumbnail: Image.Image | None = None


@dataclass(frozen=True)
class _Ready:
    placed: list[Placed]
    problem: str | None = None
    thumbnail: Image.Image | None = None


def answers_of(
    net: Net, pictures: Sequence[Named], way: Way, names: Sequence[str], thumbnails: bool
) -> Iterator[Answer]:
    """In the order of the pictures, as they are done.

    Args:
        names: of the classes.
    """
    with ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1)) as pool:
        for start in range(0, len(pictures), AT_ONCE):
            part = pictures[start : start + AT_ONCE]
            ready = list(pool.map(partial(_ready, way=way, thumbnails=thumbnails), part))
            shown = [placed.prepared for each in ready for placed in each.placed]
            readings = iter(read_prepared(net.module, net.scale, shown, names))
            for named, each in zip(part, ready, strict=True):
                own = [next(readings) for _ in each.placed]
                places = [(placed.line, placed.place) for placed in each.placed]
                yield Answer(named.name, own, places, each.problem, each.thumbnail)


def _ready(named: Named, way: Way, thumbnails: bool) -> _Ready:
    try:
        opened = open_picture(named.content(), named.name)
    except DataError as error:
        return _Ready([], str(error))
    except MemoryError:
        return _Ready([], f"{named.name}: does not fit into the memory")
    said = (f"the first of {opened.frames} frames",) if opened.frames > 1 else ()
    if way == "several":
        placed = digits_of(np.asarray(to_grey(opened.picture)))
    else:
        made = prepared(opened.picture, way)
        placed = [Placed(1, 1, Prepared(made.image, made.ink, made.box, said + made.warnings))]
    shown = None
    if thumbnails:
        shown = in_8_bits(opened.picture).convert("RGB")
        shown.thumbnail((THUMBNAIL, THUMBNAIL))
    return _Ready(placed, None, shown)
