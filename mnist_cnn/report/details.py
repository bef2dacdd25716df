"""What an evaluation says beyond accuracy, as tables and plots."""

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from mnist_cnn.data.corruptions import STRENGTHS
from mnist_cnn.report.calibration import BINS, Bin, ClassFigures
from mnist_cnn.report.text import as_text, text_grid


def class_table(rows: Sequence[ClassFigures]) -> str:
    table = text_grid("class", "precision", "recall", "F1", "images", right=(1, 2, 3, 4))
    for row in rows:
        table.add_row(row.name, _share(row.precision), _share(row.recall), _share(row.f1), f"{row.images:,}")
    return as_text(table)


def corruption_table(accuracies: dict[str, list[float]]) -> str:
    table = text_grid("corruption", *map(str, range(1, STRENGTHS + 1)), "mean", right=tuple(range(1, STRENGTHS + 2)))
    for name, row in accuracies.items():
        table.add_row(name, *map(_share, row), _share(sum(row) / len(row)))
    everything = [value for row in accuracies.values() for value in row]
    table.add_section()
    columns = [sum(row[i] for row in accuracies.values()) / len(accuracies) for i in range(STRENGTHS)]
    table.add_row("mean", *map(_share, columns), _share(sum(everything) / len(everything)))
    return as_text(table)


def reliability(plain: Sequence[Bin], fitted: Sequence[Bin], title: str, words: Sequence[str]) -> Figure:
    """Accuracy by confidence, as the net is and with its temperature fitted.

    Args:
        words: of the two, for the legend.
    """
    figure = Figure(figsize=(6.5, 6), layout="constrained")
    above, below = figure.subplots(2, 1, height_ratios=[3, 1], sharex=True)
    above.plot([0, 1], [0, 1], color="0.6", linewidth=1, label="as sure as right")
    styles: list[dict[str, Any]] = [
        {"marker": "o", "color": "black"}, {"marker": "s", "color": "0.5", "linestyle": "--"},
    ]  # fmt: skip
    for bins, name, style in zip((plain, fitted), words, styles, strict=True):
        above.plot([each.confidence for each in bins], [each.accuracy for each in bins], label=name, **style)
    below.bar([each.confidence for each in plain], [each.images for each in plain], width=0.6 / BINS, color="0.5")
    below.set_yscale("log")
    below.set_ylabel("images")
    below.set_xlabel("probability of the predicted class")
    above.set_ylabel("share that is right")
    above.legend(loc="lower right", fontsize=9)
    figure.suptitle(title, fontsize=10)
    return figure


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.2%}"
