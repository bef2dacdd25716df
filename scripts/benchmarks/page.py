"""The benchmark's page and picture from its measurements."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from matplotlib.figure import Figure

from mnist_cnn.report.spread import Spread
from mnist_cnn.report.text import markdown_table

TUTORIAL, KERAS, BARE = "tutorial Lightning", "Keras", "bare PyTorch, same tricks"
COMPUTING = f"{KERAS}, computing"
# What we set out to reach: net, contestant, against whom, at most so many times its seconds.
GOALS = [
    ("bn_dropout_14k", "mnist_cnn", COMPUTING, 0.30),
    ("bn_dropout_14k", "mnist_cnn", TUTORIAL, 0.21),
    ("vanilla_10k", "mnist_cnn", COMPUTING, 0.45),
    ("vanilla_10k", "mnist_cnn", TUTORIAL, 0.25),
    ("gap", "mnist_cnn", COMPUTING, 0.33),
    ("gap", "mnist_cnn", TUTORIAL, 0.27),
    ("model_2_1.2M", "mnist_cnn", COMPUTING, 0.80),
    ("bn_dropout_14k", "mnist_cnn", BARE, 1.1),
    ("vanilla_10k", "mnist_cnn", BARE, 1.1),
    ("gap", "mnist_cnn", BARE, 1.1),
]


def write_page(measured: dict[str, Any], pages: Path) -> None:
    options, hardware = measured["options"], measured["environment"]["hardware"]
    versions = measured["environment"]["versions"]
    draw(measured).savefig(pages / "speed.png", dpi=110)
    parts = []
    for net, found in measured["turns"].items():
        parts.append(f"### {net}\n\n{markdown_table(rows(found, options['images']))}\n")
    turns = len(next(iter(next(iter(measured["turns"].values())).values())))
    which = "all epochs but the first of each process" if options["epochs"] > 1 else "the one epoch of each process"
    text = f"""# How fast it trains

`{measured["command"]}` on {hardware["cpu"]}, {hardware["cores"]} cores, {options["threads"]} threads, no GPU;
Python {versions["python"]}, torch {versions["torch"]}, pytorch-lightning {versions["pytorch-lightning"]}, peers:
{measured["peers"]}.

The same net, optimiser, batch size and images ({options["images"]:,} of MNIST, no augmentation), {options["epochs"]}
epochs in each of {turns} turns; every turn starts every program once, as a process of its own. Seconds are medians over
{which}, per 60,000 training images, validation left out; in brackets the smallest and
largest. *whole*: seconds from the command to its end, with start, validation on 5,000 images after each epoch and a
test on 10,000. *start*: from the command to the end of the first step (caches warm). *Keras, computing*: from an
epoch's first batch to its last, which leaves out what `fit` does between epochs. The programs are in
`scripts/benchmarks/`.

![seconds per epoch](speed.png)

{chr(10).join(parts)}
## What we set out to reach

{markdown_table(goals(measured["turns"], options["images"]))}

## One step of bn_dropout, part by part

{markdown_table([["part", "ms"], *([name, f"{ms:.2f}"] for name, ms in measured["parts"].items())])}

## Scaling: training seconds of one epoch of bn_dropout

{chr(10).join(scaling(name, found, options) for name, found in measured["scaling"].items())}
Jobs side by side: [sweeps.md](sweeps.md).
"""
    (pages / "speed.md").write_text(text)


def rows(found: dict[str, list[dict[str, Any]]], images: int) -> list[list[str]]:
    table = [["", "s per 60,000 images", "of tutorial Lightning", "of Keras, computing", "whole", "start", "peak MiB"]]
    seconds = per_epoch(found, images)
    for name, values in seconds.items():
        runs = found.get(name, found.get(KERAS, []))
        table.append(
            [
                name,
                f"{median(values):.2f} ({Spread.of(values).range(2)})",
                ratio(values, seconds.get(TUTORIAL)),
                ratio(values, seconds.get(COMPUTING)),
                f"{median(run['seconds'] for run in runs):.1f}",
                f"{median(run['start'] for run in runs):.1f}",
                f"{median(run['peak_mib'] for run in runs):,.0f}",
            ]
        )
    return table


def per_epoch(found: dict[str, list[dict[str, Any]]], images: int) -> dict[str, list[float]]:
    """Seconds of every epoch but each process's first (unless it is the only one), scaled to 60,000 images."""
    seconds = {}
    for name, runs in found.items():
        seconds[name] = [60_000 / images * epoch for run in runs for epoch in counted(run["epochs"])]
        if name == KERAS:
            seconds[COMPUTING] = [60_000 / images * epoch for run in runs for epoch in counted(run["compute"])]
    return seconds


def counted(epochs: Sequence[float]) -> Sequence[float]:
    return epochs[1:] or epochs


def goals(turns: dict[str, dict[str, list[dict[str, Any]]]], images: int) -> list[list[str]]:
    table = [["net", "", "against", "goal", "measured", ""]]
    for net, name, base, most in GOALS:
        seconds = per_epoch(turns.get(net, {}), images)
        if name in seconds and base in seconds:
            reached = median(seconds[name]) <= most * median(seconds[base])
            measured = ratio(seconds[name], seconds[base])
            table.append([net, name, base, f"{most}", measured, "reached" if reached else "missed"])
    return table


def ratio(values: list[float], base: list[float] | None) -> str:
    """Ratio of the medians, and the extremes over turns."""
    if not base:
        return ""
    each = [a / b for a, b in zip(values, base, strict=True)]
    return f"{median(values) / median(base):.2f} ({Spread.of(each).range(2)})"


def scaling(name: str, found: dict[str, float], options: dict[str, Any]) -> str:
    head = [name, *found]
    return markdown_table([head, ["seconds", *(f"{seconds:.2f}" for seconds in found.values())]]) + "\n"


def draw(measured: dict[str, Any]) -> Figure:
    turns, images = measured["turns"], measured["options"]["images"]
    figure = Figure(figsize=(4.2 * min(2, len(turns)), 2.9 * ((len(turns) + 1) // 2)), layout="constrained")
    axes = list(figure.subplots((len(turns) + 1) // 2, min(2, len(turns)), squeeze=False).flat)
    for axis in axes[len(turns) :]:
        axis.set_visible(False)
    for axis, (net, found) in zip(axes, turns.items(), strict=False):
        seconds = per_epoch(found, images)
        names = list(seconds)[::-1]
        middle = [median(seconds[name]) for name in names]
        spread = [[m - min(seconds[n]) for m, n in zip(middle, names, strict=True)],
                  [max(seconds[n]) - m for m, n in zip(middle, names, strict=True)]]  # fmt: skip
        colors = ["0.25" if name.startswith("mnist_cnn") else "0.75" for name in names]
        axis.barh(names, middle, xerr=spread, color=colors, ecolor="0.5")
        for i, value in enumerate(middle):
            axis.text(value, i, f" {value:.1f}", va="bottom", fontsize=7)
        axis.set_xlim(0, 1.1 * max(max(values) for values in seconds.values()))  # room for the figures
        axis.set_title(net, fontsize=9)
        axis.set_xlabel("training seconds per 60,000 images", fontsize=8)
        axis.tick_params(labelsize=7)
    return figure
