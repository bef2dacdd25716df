"""How C is written: parts of the templates, arrays, and a workspace that the layers share."""

import re
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mnist_cnn import __version__
from mnist_cnn.export.graph import Layer

TEMPLATES = Path(__file__).parent / "templates"
WIDTH = 120
NAME = "mnist_net"  # of the files and the function


def template(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


def parts_of(text: str) -> dict[str, str]:
    """The parts of a template by the names in its `/* == name == */` lines."""
    found = re.split(r"^/\* == (\w+) == \*/\n", text, flags=re.MULTILINE)[1:]
    return dict(zip(found[::2], found[1::2], strict=True))


def filled(text: str, **values: object) -> str:
    """A template with each `@KEY@` replaced."""
    known = {"NAME": NAME, "GUARD": NAME.upper(), "VERSION": __version__} | values
    return re.sub(r"@([A-Z]+)@", lambda match: str(known[match[1]]), text)


def of_channels(kind: str) -> dict[str, str]:
    """What a template for convolutions says of the channels that a filter reads: all, or its own."""
    all_of_them = {"OF": "", "FIRST": "0", "END": "s->channels", "EACH": "s->channels * area"}
    return all_of_them if kind == "conv" else {"OF": "_own", "FIRST": "f", "END": "f + 1", "EACH": "area"}


def array(kind: str, name: str, values: Sequence[str]) -> str:
    """A constant array."""
    return f"static const {kind} {name}[{len(values)}] = {{\n{lines_of(values)}\n}};"


def lines_of(values: Iterable[str]) -> str:
    """Values behind commas, as many in a line as fit."""
    return textwrap.fill(", ".join(values), WIDTH, initial_indent="    ", subsequent_indent="    ")


def floats(values: Any) -> list[str]:
    """As C reads them back to the same bits."""
    return [f"{value}f" for value in np.asarray(values, np.float32).ravel()]


def integers(values: Any) -> list[str]:
    return list(map(str, np.asarray(values).ravel().tolist()))


def places(layers: Sequence[Layer], first: int) -> tuple[int, list[tuple[int, int]]]:
    """Where each layer reads and writes in one workspace: what is read at one end, what is written at the other.

    Pooling, activations and factors write where they read.

    Args:
        first: numbers of the input that lie in the workspace.

    Returns:
        the size of the workspace, and for each layer the offsets of input and output.
    """
    needed, held, at_start = [first], first, True  # held: what the image that is read next may take up
    sides = []
    for layer in layers:
        if layer.convolves:
            needed.append(held + size(layer.output))
            held, at_start = size(layer.output), not at_start
        elif at_start:
            held = size(layer.output)  # at the end it shrinks away from the middle
        sides.append(at_start)
    largest, place, found = max(needed), 0, []
    for layer, start in zip(layers, sides, strict=True):
        target = place if not layer.convolves else 0 if start else largest - size(layer.output)
        found.append((place, target))
        place = target
    return largest, found


def at(place: int) -> str:
    return f"workspace + {place}" if place else "workspace"


def size(shape: tuple[int, int, int]) -> int:
    return shape[0] * shape[1] * shape[2]


def numbers_of_shape(layer: Layer) -> list[int]:
    """In the order of `shape` in the templates."""
    return [*layer.input, *layer.output, *layer.kernel, *layer.stride, *layer.padding]
