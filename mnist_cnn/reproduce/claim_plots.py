"""Pictures beside the claims: curves of several nets in one, accuracy by rate, confusion matrices cell by cell."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from mnist_cnn.report.spread import Spread
from mnist_cnn.reproduce.claims import IMAGES
from mnist_cnn.reproduce.rows import Row
from mnist_cnn.reproduce.study import composed
from mnist_cnn.reproduce.ticks import set_ticks
from mnist_cnn.reproduce.verdicts import Comparison
from mnist_cnn.runs.record import known

COLORS = ["tab:blue", "tab:orange", "tab:green", "tab:red", "tab:purple"]


def curves_together(rows: Sequence[Row]) -> Figure:
    """Loss on the watched test images by epoch: the mean of the seeds in a band of all of them."""
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.subplots()
    for row, color in zip(rows, COLORS, strict=False):
        spreads = [row.spread_after(epoch, "val/loss") for epoch in range(1, known(row.runs[0].epochs) + 1)]
        epochs = range(1, len(spreads) + 1)
        axes.plot(epochs, [one.mean for one in spreads], color=color, label=f"{row.entry.name}, n = {len(row.runs)}")
        axes.fill_between(
            epochs, [one.low for one in spreads], [one.high for one in spreads], color=color, alpha=0.15, linewidth=0
        )
    axes.set_xticks(list(epochs))
    axes.set_yscale("log")
    set_ticks(axes.yaxis, *axes.get_ylim(), "{:g}")
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss on the test images")
    axes.legend(frameon=False, fontsize=8)
    return figure


def error_by_rate(rows: Sequence[Row]) -> Figure:
    """Test error by learning rate, both on logarithmic axes: every seed, and the mean; with batch norm and without.

    Where fewer seeds than elsewhere have a figure, since others diverged, there is no mean, and it is said.
    """
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.subplots()
    most = max(len(row.runs) for row in rows)
    for name, normed, color in (("without batch norm", False, COLORS[0]), ("with batch norm", True, COLORS[1])):
        by_rate = {
            composed(row.entry, row.protocol).optimizer.lr: [100 * (1 - accuracy) for accuracy in row.accuracies]
            for row in rows
            if row.entry.name.endswith("_batch_norm") == normed
        }
        means = {rate: Spread.of(errors).mean for rate, errors in by_rate.items() if len(errors) == most}
        axes.plot(list(means), list(means.values()), color=color, label=name)
        for rate, errors in by_rate.items():
            if len(errors) < most:
                words = f"{len(errors)} of {most} seeds "
                axes.text(rate, max(errors), words, color=color, fontsize=8, ha="right", va="bottom")
            axes.plot([rate] * len(errors), errors, "o", color=color, fillstyle="none", markersize=4)
    rates = sorted({composed(row.entry, row.protocol).optimizer.lr for row in rows})
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(rates, [f"{rate:g}" for rate in rates])
    axes.xaxis.minorticks_off()
    set_ticks(axes.yaxis, *axes.get_ylim(), "{:g} %")
    axes.set_xlabel("learning rate")
    axes.set_ylabel("test error")
    axes.legend(frameon=False, fontsize=8)
    return figure


def confusion_against(row: Row) -> Figure:
    """The document's matrix against ours: its count above, our mean and range below, a frame where it lies outside."""
    told, ours = np.array(row.entry.confusion), counts(row)
    out = outside(row)
    names = [str(i) for i in range(len(told))]
    figure = Figure(figsize=(9, 7.2), layout="constrained")
    axes = figure.subplots()
    axes.imshow(np.log1p(told), cmap="Greys", vmax=4 * np.log1p(told.max()))
    for i, j in np.ndindex(told.shape):
        cell = ours[:, i, j]
        spread = f"{cell.mean():.1f}\n{cell.min():.0f}–{cell.max():.0f}"
        axes.text(j, i - 0.22, str(told[i, j]), ha="center", va="center", fontsize=9, weight="bold")
        axes.text(j, i + 0.18, spread, ha="center", va="center", fontsize=7, color="tab:blue")
        if (i, j) in out:
            axes.add_patch(Rectangle((j - 0.48, i - 0.48), 0.96, 0.96, fill=False, edgecolor="tab:red", linewidth=1.5))
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(
        f"{row.entry.key}: the document's count (bold), the mean and range of our {len(ours)} seeds (blue)\n"
        "red: outside the 95 % interval for one more seed",
        fontsize=10,
    )
    return figure


def counts(row: Row) -> np.ndarray:
    """(seeds, classes, classes)."""
    return np.array([known(run.confusion) for run in row.runs])


def outside(row: Row) -> list[tuple[int, int]]:
    """Cells, true class first, in which the document's count is not within our interval for one more seed."""
    told, ours = np.array(row.entry.confusion), counts(row)
    return [
        (i, j)
        for i, j in np.ndindex(told.shape)
        if not Comparison((ours[:, i, j] / IMAGES).tolist(), float(told[i, j]) / IMAGES).within
    ]


PICTURES = {"curves_together": curves_together, "error_by_rate": error_by_rate}
