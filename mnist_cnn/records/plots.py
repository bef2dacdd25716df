"""The pictures of the book: accuracy against size, and against what training takes."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mnist_cnn.records.entries import published
from mnist_cnn.records.seeds import Seeds
from mnist_cnn.reproduce.plots import UNDATED
from mnist_cnn.reproduce.ticks import set_ticks

# Marks whose numbers would lie on each other: the logarithm of x and percentage points, both nearer than one of these.
TOO_NEAR = ((0.1, 0.1), (0.01, 0.2))

# Of the documents' nets: what does not learn would press all records into one line, in percent, and intervals half as
# wide as more than so many points would fill the picture.
LEAST, WIDEST = 98, 0.5


def draw(records: Mapping[int, Seeds], results: Path, book: Path) -> None:
    """Writes size.png and seconds.png, where there is a record to draw.

    The same bytes from the same figures, by the same version of matplotlib.
    """
    if not records:
        return
    documents = [Seeds(folder) for folder in sorted(results.glob("reproduction/*/*/holdout"))]
    others = [seeds for seeds in documents if len(seeds.runs) > 1 and seeds.accuracy.mean >= LEAST
              and (seeds.accuracy.half_width or 0.0) <= WIDEST]  # fmt: skip
    size = {number: (seeds.parameters, seeds) for number, seeds in records.items()}
    seconds = {number: (seeds.seconds.mean, seeds) for number, seeds in records.items()}
    for name, marks, apart, scale in (
        ("size", size, [(seeds.parameters, seeds) for seeds in others], "trained parameters (log scale)"),
        (
            "seconds",
            seconds,
            [(seeds.seconds.mean, seeds) for seeds in others],
            "seconds of training, ± standard deviation (log scale)",
        ),
    ):
        figure, colours = Figure(figsize=(7.5, 4.2), layout="constrained"), dict[str, str]()
        axes = figure.add_subplot()
        for x, seeds in apart:
            of_documents = f"nets of the 2019 documents, held out,\nfrom {LEAST} %, known to {WIDEST:g} points"
            _mark(axes, x, seeds, name == "seconds", marker="^", color="0.6", label=of_documents)
        for x, seeds in marks.values():
            on = " and ".join(seeds.processors) if name == "seconds" else ""
            colour = colours.setdefault(on, f"C{len(colours)}")
            label = f"records, by number, stacked\nas their marks{on and f'; on {on}'}"
            _mark(axes, x, seeds, name == "seconds", marker="o", color=colour, label=label)
        for numbers, x, top in _labels(marks):
            place: dict[str, Any] = {"textcoords": "offset points", "fontsize": 9, "ha": "center"}
            axes.annotate("\n".join(map(str, numbers)), (x, top), (0, 4), **place)
        told = [(one.parameters, one.accuracy) for one in published()] if name == "size" else []
        for x, accuracy in told:
            hollow: dict[str, Any] = {"marker": "s", "linestyle": "none", "markerfacecolor": "none", "color": "tab:red"}
            axes.plot(x, accuracy, **hollow, label="of others, not as ours:\nsee figures of others")
        places = [x for x, _ in [*marks.values(), *apart, *told]]
        axes.margins(y=0.15)  # room for the numbers
        lowest = min(seeds.accuracy.mean - (seeds.accuracy.half_width or 0.0) for _, seeds in marks.values())
        axes.set_ylim(bottom=max(axes.get_ylim()[0], min(LEAST, lowest) - 0.2))  # wide intervals of others end there
        axes.set_xscale("log")
        set_ticks(axes.xaxis, min(places) / 1.5, max(places) * 1.5, "{:,.0f}")
        axes.set_xlabel(scale)
        axes.set_ylabel("test accuracy, %")
        axes.set_title("Ours: mean over seeds on these 10,000 test images, with its 95 % interval", fontsize=11)
        axes.grid(alpha=0.3)
        named = {text: handle for handle, text in zip(*axes.get_legend_handles_labels(), strict=True)}
        figure.legend(named.values(), named.keys(), loc="outside lower center", ncols=len(named), fontsize=8)
        figure.savefig(book / f"{name}.png", dpi=110, metadata=UNDATED)


def _labels(marks: Mapping[int, tuple[float, Seeds]]) -> list[tuple[list[int], float, float]]:
    """Numbers from the highest mark down, x and y; those of marks too near for two labels above the highest of them."""
    tops = {number: seeds.accuracy.mean + (seeds.accuracy.half_width or 0.0) for number, (_, seeds) in marks.items()}
    found: list[tuple[list[int], float, float]] = []
    for number in sorted(marks, key=lambda one: -tops[one]):
        x, top = marks[number][0], tops[number]
        near = [
            numbers
            for numbers, there, above in found
            if any(abs(math.log(x / there)) < wide and above - top < high for wide, high in TOO_NEAR)
        ]
        if near:
            near[0].append(number)
        else:
            found.append(([number], x, top))
    return found


def _mark(axes: Axes, x: float, seeds: Seeds, timed: bool, **style: Any) -> None:
    if timed:  # the spread of its seconds, which are of machines with other work
        ends = x - seeds.seconds.sd, x + seeds.seconds.sd
        axes.plot(ends, [seeds.accuracy.mean] * 2, color=style["color"], alpha=0.35)
    axes.errorbar(x, seeds.accuracy.mean, seeds.accuracy.half_width or 0.0, capsize=3, linestyle="none", **style)
