"""What choosing the epoch on the test images flatters a figure by."""

from collections.abc import Sequence

import numpy as np

from mnist_cnn.report.difference import t_interval
from mnist_cnn.report.text import markdown_table
from mnist_cnn.reproduce.rows import Row


def held_out_part(rows: Sequence[Row]) -> list[str]:
    """Empty where no entry has runs of both protocols."""
    pairs = [
        (row, other)
        for row in rows
        for other in rows
        if (row.protocol, other.protocol) == ("document", "holdout") and other.entry is row.entry
    ]
    if not pairs:
        return []
    head = ["experiment", "test images watched: last epoch", "best epoch", "n", "held out: chosen epoch", "n",
            "best epoch above held out by", "95 % interval"]  # fmt: skip
    lines = [
        [
            watched.entry.name,
            watched.spread("test/acc").in_percent.text(2), watched.spread("best/acc").in_percent.text(2),
            str(len(watched.runs)), held.spread("test/acc").in_percent.text(2), str(len(held.runs)),
            *_flattery(watched, held),
        ]
        for watched, held in pairs
    ]  # fmt: skip
    return [
        "## What watching the test images is worth",
        "Held out: 55,000 images for training, 5,000 for choosing the epoch, the test images read once. The "
        "watched runs have 5,000 training images more, so the difference is not of the choice alone; where every run "
        "is best in its last epoch, it comes from those images alone; its interval is Welch's, of groups.",
        markdown_table([head, *lines]),
    ]


def _flattery(watched: Row, held: Row) -> list[str]:
    """By how much, and its interval; none for a single run, nor where no seed differs from another."""
    honest = np.array([run.results["test/acc"] for run in held.runs])
    best = np.array([run.results["best/acc"] for run in watched.runs])
    found = f"{100 * (best.mean() - honest.mean()):+z.2f}"
    if min(len(honest), len(best)) < 2 or np.ptp(honest) == np.ptp(best) == 0:
        return [found, ""]
    low, high = t_interval(honest, best, paired=False)
    return [found, f"{100 * low:+z.2f} to {100 * high:+z.2f}"]
