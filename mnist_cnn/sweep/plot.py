"""The picture of a sweep: a curve over one swept value, a heat map over two or more, points for a search."""

import itertools
import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from mnist_cnn.sweep.groups import Group

FILLED = 0.6  # share of a heat map's cells below which points say more
WIDE = 20  # ratio of largest to smallest value from which an axis is logarithmic


def draw(groups: Sequence[Group], keys: Sequence[str]) -> Figure | None:
    """Validation accuracy over the swept keys (without the seed); None where there is nothing to compare."""
    if len(groups) < 2 or not keys:
        return None
    if len(keys) == 1:
        return curve(groups, keys[0])
    cells = math.prod(len({group.values.get(key) for group in groups}) for key in keys)
    return scatter(groups, keys) if len(groups) < FILLED * cells else heat_map(groups, keys)


def curve(groups: Sequence[Group], key: str) -> Figure:
    """Mean over seeds with its 95 % interval, every seed as a point; in order of the value."""
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    ordered, places = _placed(axes, groups, key)
    spreads = [group.spread for group in ordered]
    style = "o-" if all(_number(group.values[key]) is not None for group in groups) else "o"
    axes.errorbar(
        places, [s.mean for s in spreads], yerr=[s.half_width or 0.0 for s in spreads], fmt=style, color="black",
        capsize=4, label="mean, 95 %",
    )  # fmt: skip
    repeated = [(place, group) for place, group in zip(places, ordered, strict=True) if len(group.rows) > 1]
    seeds = [(place, row.validation) for place, group in repeated for row in group.rows]
    if seeds:
        axes.plot(*zip(*seeds, strict=True), "x", color="0.5", markersize=5, label="one seed")
        axes.legend(frameon=False)
    axes.set_xlabel(key)
    axes.set_ylabel("validation accuracy")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.grid(color="0.9")
    return figure


def heat_map(groups: Sequence[Group], keys: Sequence[str]) -> Figure:
    """Mean validation accuracy in every cell: the last key across, the combinations of the others down."""
    *down, across = keys
    *options, columns = (sorted({group.values.get(key, "") for group in groups}, key=_rank) for key in keys)
    cells = {tuple(group.values.get(key, "") for key in keys): group.spread.mean for group in groups}
    lines = [line for line in itertools.product(*options) if any((*line, c) in cells for c in columns)]
    matrix = np.array([[100 * cells.get((*line, c), np.nan) for c in columns] for line in lines])
    figure = Figure(figsize=(3.2 + 1.1 * len(columns), 1.4 + 0.45 * len(lines)), layout="constrained")
    axes = figure.subplots()
    error = np.log10(100.001 - matrix)  # near the top small differences matter
    axes.imshow(error, cmap="Greys", aspect="auto", vmin=np.nanmin(error) - 0.2, vmax=np.nanmax(error) + 0.6)
    for i, j in itertools.product(range(len(lines)), range(len(columns))):
        axes.text(j, i, f"{matrix[i, j]:.2f}" if not np.isnan(matrix[i, j]) else "–", ha="center", va="center",
                  color="black", bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5})  # fmt: skip
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(lines)), [", ".join(line) for line in lines])
    axes.set_xlabel(across)
    axes.set_ylabel(", ".join(down))
    axes.set_title("validation accuracy in % (darker: worse)", fontsize=10)
    return figure


def scatter(groups: Sequence[Group], keys: Sequence[str]) -> Figure:
    """A panel per key: every set of values at its validation accuracy."""
    figure = Figure(figsize=(3.4 * len(keys), 3.4), layout="constrained")
    panels = figure.subplots(1, len(keys), squeeze=False, sharey=True)[0]
    for axes, key in zip(panels, keys, strict=True):
        ordered, places = _placed(axes, groups, key)
        axes.plot(places, [group.spread.mean for group in ordered], "o", color="black", fillstyle="none")
        axes.set_xlabel(key)
        axes.grid(color="0.9")
    panels[0].set_ylabel("validation accuracy")
    panels[0].yaxis.set_major_formatter(PercentFormatter(1.0))
    return figure


def _placed(axes: Axes, groups: Sequence[Group], key: str) -> tuple[list[Group], list[float]]:
    """Groups in order of a value, and where they stand on the horizontal axis: numbers to scale, names side by side."""
    ordered = sorted(groups, key=lambda group: _rank(group.values.get(key, "")))
    values = [group.values.get(key, "") for group in ordered]
    numbers = [number for value in values if (number := _number(value)) is not None]
    if len(numbers) == len(values):
        if min(numbers) > 0 and max(numbers) / min(numbers) > WIDE:
            axes.set_xscale("log")
        return ordered, numbers
    names = list(dict.fromkeys(values))
    axes.set_xticks(range(len(names)), names)
    return ordered, [float(names.index(value)) for value in values]


def _rank(value: str) -> tuple[bool, float, str]:
    """Numbers by size, then names."""
    return _number(value) is None, _number(value) or 0.0, value


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
