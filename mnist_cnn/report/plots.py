"""The plots of a run: curves, confusion matrix, wrongly classified digits, samples; PNG, legible in greyscale."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter
from torch import Tensor

from mnist_cnn.data.images import DIGITS, ImageSet
from mnist_cnn.files import write_atomically
from mnist_cnn.report.tiled import draw_tiled
from mnist_cnn.runs.directory import Run
from mnist_cnn.runs.history import Epoch, column
from mnist_cnn.runs.record import known

CURVES = ("loss", "acc")
MOST_SHOWN = 50  # classes: more are no picture any more
MISTAKES_SHOWN = 60
COLUMNS = 10  # of mistakes


def draw_run(
    run: Run,
    title: str,
    train: ImageSet | None,
    test: ImageSet | None,
    seen: Callable[[ImageSet], Tensor] | None = None,
) -> None:
    """Draws all pictures of a finished run into its directory: those that its images and its test allow.

    Args:
        seen: see `samples`.
    """
    record = known(run.record())
    names = known(record.protocol).class_names or DIGITS
    watched = known(record.protocol).test_images_watched
    drawn, history = {}, run.history()
    if any(measured(history, name) for name in CURVES):  # a LightningModule of somebody's own may log neither
        drawn["curves.png"] = curves(history, title, watched, record.test_epoch)
    if train is not None:
        drawn["samples.png"] = samples(train, names[:MOST_SHOWN], seen)
    if record.confusion is not None and len(names) <= MOST_SHOWN:
        drawn["confusion.png"] = confusion_matrix(record.confusion, title, names)
    if test is not None and run.predictions_file.is_file():
        with run.predictions_file.open(newline="", encoding="utf-8") as file:
            drawn["mistakes.png"] = mistakes(test, list(csv.DictReader(file)), title, names)
    save_plots(drawn, run.path)


def save_plots(drawn: Mapping[str, Figure], folder: Path) -> None:
    """As PNG files by their names, each as a whole; the folder is made where it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in drawn.items():
        packed = io.BytesIO()
        figure.savefig(packed, dpi=110)
        write_atomically(folder / name, packed.getvalue())


def curves(history: Sequence[Epoch], title: str, watched: bool, tested: int | None = None) -> Figure:
    """Loss and accuracy of training and validation (on the test images, if `watched`) by epoch, both by log scales.

    What no epoch has is left out.

    Args:
        tested: the epoch whose weights were tested, marked.
    """
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    names = [name for name in CURVES if measured(history, name)]
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        plot_history(axes, history, name, watched)
        if tested is not None:
            axes.axvline(tested, color="0.6", linestyle=":", zorder=0, label=f"tested: epoch {tested}")
        axes.legend(frameon=False)
    figure.suptitle(title, fontsize=10)
    return figure


def measured(history: Sequence[Epoch], name: str) -> bool:
    """Whether any epoch has `loss` or `acc`."""
    return any(f"{split}/{name}" in row for row in history for split in ("train", "val"))


def plot_history(axes: Axes, history: Sequence[Epoch], name: str, watched: bool) -> None:
    """`loss` or `acc` of training and validation by epoch; where they are close to the best, little is much."""
    second = "test images" if watched else "validation"
    epochs = column(history, "epoch")
    axes.plot(epochs, column(history, f"train/{name}"), "o--", color="0.45", markersize=3.5, label="training")
    axes.plot(epochs, column(history, f"val/{name}"), "s-", color="black", markersize=3.5, label=second)
    axes.set_xlabel("epoch")
    axes.set_xticks(epoch_ticks(len(epochs)))
    axes.grid(color="0.9")
    if name == "loss":
        axes.set_ylabel("loss (log scale)")
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(ScalarFormatter())
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    else:
        axes.set_ylabel("accuracy (log scale of the error)")
        axes.set_yscale("function", functions=(_to_error, _to_accuracy))
        shown = np.array([column(history, "train/acc"), column(history, "val/acc")])
        low, high = _to_error(np.nanmin(shown)) - 0.1, _to_error(np.nanmax(shown)) + 0.1
        axes.set_ylim(_to_accuracy(low), _to_accuracy(high))
        axes.set_yticks([tick for tick in ACCURACIES if low <= _to_error(tick) <= high])
        axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:g}%")  # 99.5, not rounded to 100


def epoch_ticks(epochs: int) -> list[int]:
    """The first epoch, the last, and round ones between."""
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, epochs) if epochs <= 10 * step)
    return [1, *(e for e in range(step, epochs, step) if min(e - 1, epochs - e) > step / 2), epochs][: max(1, epochs)]


ACCURACIES = (0.1, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999)
_NEVER = 1.0002  # where 100 % still has a place


def _to_error(accuracy: Any) -> Any:
    return -np.log10(np.maximum(_NEVER - np.asarray(accuracy), 1e-9))


def _to_accuracy(place: Any) -> Any:
    return _NEVER - 10.0 ** -np.asarray(place)


def confusion_matrix(counts: Sequence[Sequence[int]], title: str, names: Sequence[str] = DIGITS) -> Figure:
    """Counts in cells, rows by true class, with the accuracy of each class at the right."""
    side = max(6.2, 0.45 * len(names))
    figure = Figure(figsize=(side + 1.2, side), layout="constrained")
    axes = figure.subplots()
    matrix = np.array(counts)
    axes.imshow(np.log1p(matrix), cmap="Greys")
    dark = np.log1p(matrix) > 0.6 * np.log1p(matrix.max())
    places = range(len(names))
    for i in places:
        for j in places:
            axes.text(j, i, f"{matrix[i, j]}", ha="center", va="center", fontsize=9,
                      color="white" if dark[i, j] else "black")  # fmt: skip
        share = matrix[i, i] / max(1, matrix[i].sum())
        axes.text(len(names) - 0.25, i, f"{share:.2%}", ha="left", va="center", fontsize=9)
    axes.text(len(names) - 0.25, -0.8, "correct", ha="left", va="center", fontsize=9)
    axes.set_xticks(places, names, rotation=0 if max(map(len, names)) <= 3 else 90)
    axes.set_yticks(places, names)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    wrong = matrix.sum() - matrix.trace()
    axes.set_title(f"{title}\n{wrong:,} of {matrix.sum():,} test images wrong", fontsize=10)
    return figure


def mistakes(
    test: ImageSet, predictions: Sequence[dict[str, str]], title: str, names: Sequence[str] = DIGITS
) -> Figure:
    """Wrongly classified test images, the surest first, as `true -> predicted, probability`."""
    wrong = [row for row in predictions if row["label"] != row["predicted"]]
    shown = sorted(wrong, key=lambda row: -float(row["probability"]))[:MISTAKES_SHOWN]
    lines = 1 if max(map(len, names)) <= 3 else 3
    rows = [shown[start : start + COLUMNS] for start in range(0, len(shown), COLUMNS)]
    above = 0.05 + 0.15 * lines
    figure = Figure(figsize=(9, 0.7 + 0.84 * (1 + above) * max(1, len(rows))), layout="constrained")
    axes = figure.subplots()
    axes.axis("off")
    if rows:
        pixels = [[test.images[int(row["image"])] for row in line] for line in rows]
        placed = draw_tiled(axes, pixels, COLUMNS, above)
    for place, row in enumerate(shown):
        true, predicted = names[int(row["label"])], names[int(row["predicted"])]
        parts = [true, f"→ {predicted}", f"{float(row['probability']):.0%}"]
        caption = "\n".join(parts) if lines > 1 else "{} {}  {}".format(*parts)
        axes.text(*placed.caption(*divmod(place, COLUMNS)), caption, ha="center", va="bottom", fontsize=7)
    figure.suptitle(
        f"{title}\n{len(wrong):,} wrong of {len(predictions):,}"
        + (f", the {len(shown)} surest" if len(wrong) > len(shown) else "")
        + " (true → predicted, its probability)",
        fontsize=10,
    )
    return figure


def samples(
    images: ImageSet, names: Sequence[str] = DIGITS, seen: Callable[[ImageSet], Tensor] | None = None, each: int = 10
) -> Figure:
    """The first training images of each class, a row for each.

    Args:
        seen: what augmentation makes of them, (N, 1, 28, 28) from 0 to 255; the right half shows it.
    """
    figure = Figure(figsize=(0.7 * each, 0.72 * len(names)), layout="constrained")
    half = each if seen is None else each // 2
    rows: list[list[Tensor | None]] = []
    for label in range(len(names)):
        found = (images.labels == label).nonzero().flatten()[:half]
        chosen = ImageSet(images.images[found], images.labels[found])
        free = [None] * (half - len(found))
        rows.append([*chosen.images, *free, *(seen(chosen) if seen is not None and len(found) else [])])
    axes = figure.subplots()
    axes.axis("off")
    placed = draw_tiled(axes, rows, each)
    for label, name in enumerate(names):
        axes.text(-placed.gap, placed.top(label) + placed.height / 2, name, ha="right", va="center", fontsize=9)
    if seen is not None:
        axes.axvline(placed.left(half) - placed.gap / 2 - 0.5, color="0.6", linewidth=1)
        for first, words in ((0, "as they are"), (half, "as the net sees them, augmented")):
            middle = (placed.left(first) + placed.left(first + half) - placed.gap) / 2
            axes.text(middle, -1, words, ha="center", va="bottom", fontsize=9)
    figure.suptitle("training images", fontsize=10)
    return figure


def augmented(augment: Callable[..., Any], divide_by: float, images: ImageSet) -> Tensor:
    """What augmentation makes of images, the same every time, from 0 to 255; the random state stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made, _ = augment(images.images.float() / divide_by, images.labels)
    return made * divide_by
