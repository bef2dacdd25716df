"""The pictures of a document's page: errors of all seeds, loss curves against the printed log, confusion matrices."""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from mnist_cnn.report.plots import confusion_matrix, plot_history
from mnist_cnn.reproduce.rows import Row
from mnist_cnn.reproduce.study import Document
from mnist_cnn.runs.history import column, read_history
from mnist_cnn.runs.record import known


def draw(document: Document, rows: Sequence[Row], folder: Path) -> None:
    own = [row for row in rows if row.protocol == "document"]
    if not own:
        return
    errors(own, document.title).savefig(folder / f"{document.name}.png", dpi=110)
    loss_curves(own).savefig(folder / f"{document.name}_curves.png", dpi=90)
    for row in own:
        if row.entry.name in document.confusion:
            first = row.runs[0]
            picture = confusion_matrix(known(first.confusion), f"{row.entry.key}, seed {first.seed}")
            picture.savefig(folder / f"{document.name}_{row.entry.name}_confusion.png", dpi=90)


def errors(rows: Sequence[Row], title: str) -> Figure:
    """Test error of every seed and of the document, on a logarithmic axis."""
    figure = Figure(figsize=(9, 1.3 + 0.33 * len(rows)), layout="constrained")
    axes = figure.subplots()
    for y, row in enumerate(rows):
        ours = [100 * (1 - known(run.results.test_acc)) for run in row.runs]
        axes.plot(
            ours, [y] * len(ours), "o", color="0.45", fillstyle="none", label="ours, one seed" if y == 0 else None
        )
        axes.plot(mean(ours), y, "|", color="0.45", markersize=16, label="our mean" if y == 0 else None)
    told = [(100 * (1 - row.entry.reported["acc"]), y) for y, row in enumerate(rows) if "acc" in row.entry.reported]
    if told:
        axes.plot(*zip(*told, strict=True), "kx", markersize=8, label="document")
    axes.set_yticks(range(len(rows)), [row.entry.name for row in rows])
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g} %"))
    low, high = axes.get_xlim()
    narrow = high / low < 20
    axes.xaxis.set_minor_formatter(FuncFormatter(lambda x, _: f"{x:g}") if narrow else NullFormatter())
    axes.set_xlabel("test error after the last epoch (logarithmic)")
    axes.grid(axis="x", which="both", color="0.92")
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
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
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        if printed := row.entry.printed:
            epochs = column(history, "epoch")
            axes.plot(epochs, printed["train/loss"], "x", color="0.45", markersize=5, label="training, document")
            axes.plot(epochs, printed["val/loss"], "x", color="black", markersize=5, label="test images, document")
        name = textwrap.fill(row.entry.name.replace("_", "_ "), 30).replace("_ ", "_")  # breaks a long one after a _
        axes.set_title(name, fontsize=9)
    named = max((axes.get_legend_handles_labels() for axes in grid.flat), key=lambda both: len(both[1]))
    figure.legend(*named, loc="outside upper center", ncols=columns, frameon=False, fontsize=8)
    for axes in grid[:, 0]:
        axes.set_ylabel("loss (logarithmic)")
    return figure
