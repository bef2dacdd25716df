"""The picture of a sweep: a curve over one swept value, a heat map over two or more, points for a search."""

import itertools
import math
from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, PercentFormatter

from mnist_cnn.runs.record import known
from mnist_cnn.sweep.groups import Group, JobRow

FILLED = 0.6  # share of a heat map's cells below which points say more
WIDE = 8  # ratio of largest to smallest value from which an axis is logarithmic
FEW = 8  # values that each get a tick of their own,
SHORT = 6  # if none has more characters: those a search draws have seventeen


def draw(
    groups: Sequence[Group], keys: Sequence[str], rows: Sequence[JobRow] = (), search: bool = False
) -> Figure | None:
    """Validation accuracy over the swept keys (without the seed); None where there is nothing to compare.

    Args:
        groups: best first.
        rows: all jobs, for what became of those that are not complete.
        search: the jobs are trials of a search, in the order of their numbers.
    """
    if len(groups) < 2 or not keys:
        return None
    cells = math.prod(len({group.values.get(key) for group in groups}) for key in keys)
    if search or (len(keys) > 1 and len(groups) < FILLED * cells):
        return scatter(groups, keys, rows, search)
    return curve(groups, keys[0]) if len(keys) == 1 else heat_map(groups, keys, rows)


def curve(groups: Sequence[Group], key: str) -> Figure:
    """Mean over seeds with its 95 % interval, every seed as a point; in order of the value."""
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    place = _axis(axes, key, (group.values[key] for group in groups))
    ordered = sorted(groups, key=lambda group: place[group.values[key]])
    places = [place[group.values[key]] for group in ordered]
    spreads = [group.spread for group in ordered]
    style = "o-" if all(_number(group.values[key]) is not None for group in groups) else "o"
    low = high = [s.half_width or 0.0 for s in spreads]
    if groups[0].monitor is None:  # accuracies end at 0 and 1, and so do intervals
        low = [min(width, s.mean) for width, s in zip(low, spreads, strict=True)]
        high = [min(width, 1 - s.mean) for width, s in zip(high, spreads, strict=True)]
    axes.errorbar(
        places, [s.mean for s in spreads], yerr=[low, high], fmt=style, color="black", capsize=4, label="mean, 95 %"
    )
    repeated = [group for group in ordered if len(group.rows) > 1]
    seeds = [(place[group.values[key]], row.validation) for group in repeated for row in group.rows]
    if seeds:
        axes.plot(*zip(*seeds, strict=True), "x", color="0.5", markersize=5, label="one seed")
    _mark(axes, place[groups[0].values[key]], groups[0])
    axes.legend(frameon=False)
    _name_figure(axes, groups[0])
    axes.grid(color="0.9")
    return figure


def heat_map(groups: Sequence[Group], keys: Sequence[str], rows: Sequence[JobRow]) -> Figure:
    """The mean of what ranks them in every cell: the last key across, the combinations of the others down."""
    values = [group.values for group in groups] + [row.values for row in rows]
    *options, columns = (sorted({each.get(key, "") for each in values}, key=_rank) for key in keys)
    cells = {_cell(group.values, keys): group for group in groups}
    states = {_cell(row.values, keys): row.progress.state for row in rows if row.done is None}
    lines = [line for line in itertools.product(*options) if any((*line, c) in cells.keys() | states for c in columns)]
    unit, digits = (100, ".2f") if groups[0].monitor is None else (1, ".4g")
    means = [[unit * cells[*line, c].spread.mean if (*line, c) in cells else np.nan for c in columns] for line in lines]
    if groups[0].monitor is None:
        error = np.log10(100.001 - np.array(means))  # near the top small differences matter
    else:
        error = np.array(means) * (1 if groups[0].lower_is_better else -1)
        error /= np.nanmax(error) - np.nanmin(error) or 1
    figure = Figure(figsize=(3.2 + 1.1 * len(columns), 1.6 + 0.45 * len(lines)), layout="constrained")
    axes = figure.subplots()
    axes.imshow(error, cmap="Greys", aspect="auto", vmin=np.nanmin(error) - 0.2, vmax=np.nanmax(error) + 0.6)
    counts = {len(group.rows) for group in groups}
    for (i, line), (j, column) in itertools.product(enumerate(lines), enumerate(columns)):
        group = cells.get((*line, column))
        best = group is groups[0]
        if group is not None:
            text = f"{means[i][j]:{digits}}" + (f" ({len(group.rows)})" if len(counts) > 1 else "")
        else:  # white would look like the best
            text = states.get((*line, column), "–")
            axes.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, fill=False, edgecolor="0.5", hatch="///", linewidth=0))
        frame = {"facecolor": "white", "edgecolor": "black" if best else "none", "pad": 2}
        axes.text(j, i, text, ha="center", va="center", weight="bold" if best else "normal", bbox=frame)
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(lines)), [", ".join(line) for line in lines])
    axes.set_xlabel(keys[-1])
    axes.set_ylabel(", ".join(keys[:-1]))
    seeds = f"mean of {counts.pop()} seeds" if counts != {1} and len(counts) == 1 else "mean (of so many seeds)"
    what = f"{groups[0].monitor or 'validation accuracy in %'}{f', {seeds}' if counts != {1} else ''}"
    axes.set_title(f"{what}\ndarker: worse; framed: {_best_word(groups[0])}", fontsize=10)
    return figure


def scatter(groups: Sequence[Group], keys: Sequence[str], rows: Sequence[JobRow], search: bool) -> Figure:
    """A panel per key: every set of values at its validation accuracy; of a search also one in the order of trials."""
    figure = Figure(figsize=(3.4 * (len(keys) + search), 3.6), layout="constrained")
    panels = list(figure.subplots(1, len(keys) + search, squeeze=False, sharey=True)[0])
    # what is known of those that were stopped is their accuracy
    stopped = [row for row in rows if row.done is None and row.progress.best is not None and groups[0].monitor is None]
    if search:
        _in_order_of_trials(panels.pop(0), groups, stopped)
    for axes, key in zip(panels, keys, strict=True):
        values = [each.get(key, "") for each in [g.values for g in groups] + [row.values for row in stopped]]
        place = _axis(axes, key, values)
        places = [place[group.values.get(key, "")] for group in groups]
        axes.plot(places, [group.spread.mean for group in groups], "o", color="black", fillstyle="none")
        _crosses(axes, stopped, [place[row.values.get(key, "")] for row in stopped])
        _mark(axes, places[0], groups[0])
    for axes in figure.axes:
        axes.grid(color="0.9")
    _name_figure(figure.axes[0], groups[0])
    if stopped:  # may be far below
        figure.axes[0].set_ylim(bottom=min(group.spread.mean for group in groups) - 0.01)
    figure.axes[0].legend(frameon=False, fontsize=8)
    return figure


def _in_order_of_trials(axes: Axes, groups: Sequence[Group], stopped: Sequence[JobRow]) -> None:
    done = sorted((row.job.number, row.validation) for group in groups for row in group.rows)
    numbers, values = zip(*done, strict=True)
    axes.plot(numbers, values, "o", color="black", fillstyle="none")
    best = (np.minimum if groups[0].lower_is_better else np.maximum).accumulate(values)
    axes.step(numbers, best, where="post", color="0.5", linestyle="--", label="best so far")
    _crosses(axes, stopped, [row.job.number for row in stopped], "stopped early: best epoch")
    _mark(axes, groups[0].rows[0].job.number, groups[0])
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("trial")


def _crosses(axes: Axes, stopped: Sequence[JobRow], places: Sequence[float], label: str | None = None) -> None:
    if stopped:
        axes.plot(places, [known(row.progress.best) for row in stopped], "x", color="0.5", markersize=5, label=label)


def _mark(axes: Axes, place: float, best: Group) -> None:
    """A ring around the best."""
    mean = best.spread.mean
    label = f"{_best_word(best)}: {mean:.2%}" if best.monitor is None else f"{_best_word(best)}: {mean:.4g}"
    axes.plot([place], [mean], "o", color="black", fillstyle="none", markersize=12, label=label)


def _best_word(group: Group) -> str:
    return "lowest" if group.lower_is_better else "highest"


def _name_figure(axes: Axes, group: Group) -> None:
    """Accuracy in percent, or what the runs followed instead."""
    axes.set_ylabel(group.monitor or "validation accuracy")
    if group.monitor is None:
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))


def _cell(values: dict[str, str], keys: Sequence[str]) -> tuple[str, ...]:
    return tuple(values.get(key, "") for key in keys)


def _axis(axes: Axes, key: str, values: Iterable[str]) -> dict[str, float]:
    """Labels the horizontal axis, and says where each value stands: numbers to scale, names side by side."""
    axes.set_xlabel(key)
    names = sorted(set(values), key=_rank)
    numbers = [number for name in names if (number := _number(name)) is not None]
    if len(numbers) < len(names):
        axes.set_xticks(range(len(names)), names)
        return {name: float(place) for place, name in enumerate(names)}
    if numbers[0] > 0 and numbers[-1] / numbers[0] >= WIDE:
        axes.set_xscale("log")
        if len(names) <= FEW and max(map(len, names)) <= SHORT:
            axes.set_xticks(numbers, names)
            axes.set_xticks([], minor=True)
    return dict(zip(names, numbers, strict=True))


def _rank(value: str) -> tuple[bool, float, str]:
    """Numbers by size, then names."""
    return _number(value) is None, _number(value) or 0.0, value


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
