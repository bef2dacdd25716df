"""The plots of what is inside a net; PNG, legible in greyscale but for the sign of what speaks for a class."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import NullFormatter
from torch import Tensor, nn

from mnist_cnn.inspect.decision import Decision
from mnist_cnn.inspect.flow import Flow

MOST = 16  # filters or maps of a layer that are shown
INCHES = 0.75  # of one of them


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
    figure, grid = _grid(len(found), max(min(MOST, len(weight)) for _, weight in found))
    for line, (name, weight) in zip(grid, found, strict=True):
        limit = float(weight[:MOST, 0].abs().max())
        for axes, kernel in zip(line, weight[:MOST, 0], strict=False):
            _show(axes, kernel, "RdBu_r", -limit, limit)
        _name(line[0], f"{name}: {len(weight)} of {weight.shape[1]} × {weight.shape[2]} × {weight.shape[3]}")
    figure.suptitle(f"{title}: filters, their first input channel; red adds, blue takes away", fontsize=10)
    return figure


def maps(outputs: Sequence[tuple[str, Tensor]], title: str) -> Figure:
    """What each layer makes of an image: a row for each, (channels, height, width) by name."""
    figure, grid = _grid(len(outputs), max(min(MOST, len(values)) for _, values in outputs))
    for line, (name, values) in zip(grid, outputs, strict=True):
        low, high = float(values.min()), float(values.max())
        for axes, channel in zip(line, values[:MOST], strict=False):
            _show(axes, channel, "gray", low, high)
        _name(line[0], f"{name}: {len(values)} × {values.shape[1]} × {values.shape[2]}, {low:.2g} to {high:.2g}")
    figure.suptitle(f"{title}: feature maps", fontsize=10)
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


def _grid(rows: int, columns: int) -> tuple[Figure, Any]:
    layout = ConstrainedLayoutEngine(h_pad=0.12)  # room for the names, which the layout leaves out
    figure = Figure(figsize=(INCHES * max(columns, 8), (INCHES + 0.25) * rows + 0.5), layout=layout)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    return figure, grid


def _show(axes: Axes, values: Any, colours: str, low: float, high: float) -> None:
    axes.imshow(np.asarray(values), cmap=colours, vmin=low, vmax=high)
    axes.set_xticks([])
    axes.set_yticks([])


def _name(axes: Axes, words: str) -> None:
    axes.set_title(words, fontsize=8, loc="left").set_in_layout(False)
