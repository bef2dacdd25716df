"""The plots of what is inside a net; PNG, legible in greyscale but for the sign of what speaks for a class."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from torch import Tensor, nn

from mnist_cnn.inspect.decision import Decision
from mnist_cnn.inspect.flow import Flow

MOST = 16  # filters or maps of a layer that are shown
INCHES = 0.75  # of one of them, with the space beside it
BESIDE = 0.04  # of that, on each side
NAME, TITLE = 0.25, 0.4  # inches above a row, and above all


def filters(net: nn.Module, title: str) -> Figure | None:
    """The kernels of the convolutions: a row for each layer, of the first input channel of each filter.

    None for a net without a convolution larger than a pixel.
    """
    found = [
        (name, module.weight.detach())
        for name, module in net.named_modules()
        if isinstance(module, nn.Conv2d) and min(module.kernel_size) > 1
    ]
    if not found:
        return None
    text = f"{title}: filters, their first input channel; red adds, blue takes away"
    figure, rows = _rows(len(found), max(len(weight) for _, weight in found), text)
    for axes, (name, weight) in zip(rows, found, strict=True):
        limit = float(weight[:MOST, 0].abs().max())
        _show_row(axes, weight[:, 0], "RdBu_r", -limit, limit)
        _name(axes, f"{name}: {len(weight)} of {weight.shape[1]} × {weight.shape[2]} × {weight.shape[3]}")
    return figure


def maps(outputs: Sequence[tuple[str, Tensor]], title: str) -> Figure:
    """What each layer makes of an image: a row for each, (channels, height, width) by name."""
    figure, rows = _rows(len(outputs), max(len(values) for _, values in outputs), f"{title}: feature maps")
    for axes, (name, values) in zip(rows, outputs, strict=True):
        low, high = float(values.min()), float(values.max())
        _show_row(axes, values, "gray", low, high)
        _name(axes, f"{name}: {len(values)} × {values.shape[1]} × {values.shape[2]}, {low:.3g} to {high:.3g}")
    return figure


def decision(image: Any, found: Decision, names: Sequence[str], title: str) -> Figure:
    """The image, its probabilities, and what speaks for the first class against the second."""
    figure = Figure(figsize=(11, 3.2), layout="constrained")
    first, bars, covered, gradients = figure.subplots(1, 4)
    _show(first, image, "gray", 0, 255)
    first.set_title("what the net sees", fontsize=9)
    bars.barh(range(len(names)), found.probabilities.tolist(), color="0.35")
    bars.set_yticks(range(len(names)), names)
    bars.invert_yaxis()
    bars.set_xlim(0, 1)
    bars.set_title("probability", fontsize=9)
    words = f"for {names[found.first]} (red)\nagainst {names[found.second]} (blue)"
    for axes, values, how in (
        (covered, found.covered, "lost when covered"),
        (gradients, found.gradients, "integrated gradients"),
    ):
        limit = max(float(values.abs().max()), 1e-9)
        _show(axes, values, "RdBu_r", -limit, limit)
        axes.contour(np.asarray(image) > 127, [0.5], colors="black", linewidths=0.6)
        axes.set_title(f"{how}\n{words}", fontsize=8)
    figure.suptitle(title, fontsize=10)
    return figure


def flow(found: Sequence[Flow], title: str) -> Figure:
    """Mean activation and gradient of each layer, from the image to the logits, by log scales."""
    figure = Figure(figsize=(9, max(2.5, 0.32 * len(found) + 1.2)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    places = range(len(found))
    left.barh(places, [max(each.activation, 1e-12) for each in found], color="0.6")
    right.barh(places, [max(each.gradient, 1e-12) for each in found], color="0.6", label="of its output")
    weighted = [i for i in places if found[i].weight_gradient]
    right.plot([found[i].weight_gradient for i in weighted], weighted, "kD", markersize=4, label="of its weights")
    for axes, what in ((left, "mean absolute activation"), (right, "mean absolute gradient of the loss")):
        axes.set_xscale("log")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel(what, fontsize=9)
        axes.grid(axis="x", alpha=0.3)
    right.legend(fontsize=8, loc="lower left")
    left.set_yticks(places, [f"{each.name} {each.kind}" for each in found], fontsize=8)
    left.invert_yaxis()
    figure.suptitle(title, fontsize=10)
    return figure


def _rows(count: int, longest: int, title: str) -> tuple[Figure, list[Axes]]:
    """An axes for each row, not for each picture in it: hundreds of axes take seconds."""
    columns = max(min(MOST, longest), 8)
    wide, high = INCHES * columns, (INCHES + NAME) * count + TITLE
    figure, found = Figure(figsize=(wide, high)), []
    figure.suptitle(title, fontsize=10, y=1 - TITLE / 2 / high, verticalalignment="center")
    for row in range(count):
        below = high - TITLE - (INCHES + NAME) * (row + 1)
        axes = figure.add_axes((0, below / high, 1, INCHES / high))
        axes.axis("off")
        axes.set_xlim(0, columns)
        axes.set_ylim(1, 0)
        found.append(axes)
    return figure, found


def _show_row(axes: Axes, pictures: Tensor, colours: str, low: float, high: float) -> None:
    """The first of them, each within a square of 1; (number, height, width)."""
    tall, wide = (side / max(pictures.shape[1:]) * (0.5 - BESIDE) for side in pictures.shape[1:])
    for i, picture in enumerate(np.asarray(pictures[:MOST])):
        place = (i + 0.5 - wide, i + 0.5 + wide, 0.5 + tall, 0.5 - tall)
        axes.imshow(picture, cmap=colours, vmin=low, vmax=high, extent=place, interpolation="nearest")


def _show(axes: Axes, values: Any, colours: str, low: float, high: float) -> None:
    axes.imshow(np.asarray(values), cmap=colours, vmin=low, vmax=high)
    axes.set_xticks([])
    axes.set_yticks([])


def _name(axes: Axes, words: str) -> None:
    axes.text(BESIDE, -0.05, words, fontsize=8, verticalalignment="bottom")
