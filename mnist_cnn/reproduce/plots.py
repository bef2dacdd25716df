"""The pictures of a document's page: errors of all seeds, loss curves against the printed log, those of its claims."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from mnist_cnn.report.plots import plot_history
from mnist_cnn.reproduce.claim_plots import PICTURES, confusion_against
from mnist_cnn.reproduce.claims import claims
from mnist_cnn.reproduce.rows import Row
from mnist_cnn.reproduce.study import Document
from mnist_cnn.reproduce.ticks import set_ticks
from mnist_cnn.reproduce.verdicts import Seeds
from mnist_cnn.runs.history import column, read_history

UNDATED = {"Software": None}  # matplotlib writes its version into a PNG otherwise
OURS = "0.45"


def draw(document: Document, rows: Sequence[Row], folder: Path) -> None:
    """The same bytes from the same figures, by the same version of matplotlib."""
    own = [row for row in rows if row.protocol == "document"]
    if not own:
        return
    errors(own, document.title).savefig(folder / f"{document.name}.png", dpi=110, metadata=UNDATED)
    loss_curves(own).savefig(folder / f"{document.name}_curves.png", dpi=90, metadata=UNDATED)
    for row in own:
        if row.entry.confusion and len(row.runs) > 1:
            picture = confusion_against(row)
            picture.savefig(folder / f"{document.name}_{row.entry.name}_confusion.png", dpi=90, metadata=UNDATED)
    for claim in claims().get(document.name, []):
        there = [row for row in own if row.entry.name in claim.nets]
        if claim.picture and there:
            picture = PICTURES[claim.picture](there)
            picture.savefig(folder / f"{document.name}_{claim.picture}.png", dpi=90, metadata=UNDATED)


def errors(rows: Sequence[Row], title: str) -> Figure:
    """Test error of every seed, the interval for one more, and the document's figure, on a logarithmic axis."""
    figure = Figure(figsize=(9, 1.3 + 0.33 * len(rows)), layout="constrained")
    axes = figure.subplots()
    seeds = [[100 * (1 - accuracy) for accuracy in row.accuracies] for row in rows]
    told = [(100 * (1 - one.reported), y) for y, row in enumerate(rows) if (one := row.comparison)]
    shown = [error for ours in seeds for error in ours] + [error for error, _ in told]
    low, high = 0.8 * min(shown), min(1.25 * max(shown), 130)
    for y, (row, ours) in enumerate(zip(rows, seeds, strict=True)):
        if len(ours) > 1:
            interval = Seeds(row.accuracies).interval
            ends = [max(100 * (1 - end), low / 2) for end in interval]  # an error below 0 is beyond the frame
            axes.plot(
                ends, [y, y], "|-", color="tab:blue", markersize=9, linewidth=2, label="95 % interval, one more seed"
            )
        axes.plot(ours, [y] * len(ours), "o", color=OURS, fillstyle="none", label="ours, one seed")
    if told:
        axes.plot(*zip(*told, strict=True), "kx", markersize=8, markeredgewidth=2, label="document")
    axes.set_yticks(range(len(rows)), [row.entry.name for row in rows])
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    set_ticks(axes.xaxis, low, high, "{:g} %")
    axes.set_xlabel("test error after the last epoch (logarithmic); an interval may leave the frame")
    axes.grid(axis="x", color="0.92")
    by_label = {text: handle for handle, text in zip(*axes.get_legend_handles_labels(), strict=True)}
    axes.legend(by_label.values(), by_label.keys(), loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    axes.set_title(title, fontsize=10)
    return figure


def loss_curves(rows: Sequence[Row]) -> Figure:
    """Loss by epoch, training against the watched test images: the first seed of each entry, and the printed log."""
    columns = min(4, len(rows))
    lines = -(-len(rows) // columns)
    figure = Figure(figsize=(2.75 * columns, 0.3 + 2.4 * lines), layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for axes, row in zip(grid.flat, rows, strict=False):
        axes.axis("on")
        history = read_history(row.files[0].with_suffix(".csv"))
        plot_history(axes, history, "loss", watched=True)
        axes.set_yscale("log")
        if printed := row.entry.printed:
            epochs = column(history, "epoch")
            axes.plot(epochs, printed["train/loss"], "x", color="0.45", markersize=5, label="training, document")
            axes.plot(epochs, printed["val/loss"], "x", color="black", markersize=5, label="test images, document")
        low, high = axes.get_ylim()
        set_ticks(axes.yaxis, low, high, "{:g}")
        name = textwrap.fill(row.entry.name.replace("_", "_ "), 30).replace("_ ", "_")  # breaks a long one after a _
        axes.set_title(name, fontsize=9)
    named = max((axes.get_legend_handles_labels() for axes in grid.flat), key=lambda both: len(both[1]))
    figure.legend(*named, loc="outside upper center", ncols=columns, frameon=False, fontsize=8)
    for axes in grid[:, 1:].flat:
        axes.set_ylabel("")
    return figure
