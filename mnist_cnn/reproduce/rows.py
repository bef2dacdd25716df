"""All seeds of an entry side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median

import numpy as np

from mnist_cnn.report.spread import Spread
from mnist_cnn.reproduce.results import Results
from mnist_cnn.reproduce.study import PROTOCOLS, Document, Entry
from mnist_cnn.reproduce.verdicts import Comparison
from mnist_cnn.runs.history import Epoch, column, read_history
from mnist_cnn.runs.record import Record, known

FEW = 5  # epochs that are taken together


@dataclass(frozen=True)
class Row:
    """All seeds of one entry under one protocol."""

    entry: Entry
    protocol: str
    runs: list[Record]
    files: list[Path]

    def spread(self, figure: str) -> Spread:
        return Spread.of([run.results[figure] for run in self.runs])

    @cached_property
    def histories(self) -> list[list[Epoch]]:
        """metrics.csv of every seed."""
        return [read_history(file.with_suffix(".csv")) for file in self.files]

    def spread_after(self, epoch: int, figure: str) -> Spread:
        """Of a column of metrics.csv after an epoch, counted from 1."""
        return Spread.of([history[epoch - 1][figure] for history in self.histories])

    @property
    def step(self) -> float | None:
        """By how much the accuracy on the test images goes up or down in an epoch, mean of the later half of them.

        None for runs of one epoch.
        """
        curves = np.array([column(history, "val/acc") for history in self.histories])
        if curves.shape[1] == 1:
            return None
        return float(np.abs(np.diff(curves))[:, -(curves.shape[1] // 2) :].mean())

    @property
    def rise(self) -> tuple[float, float] | None:
        """Mean loss on the test images over those `FEW` epochs in a row where it is least, and over the last `FEW`.

        None for runs of less than three times as many.
        """
        curve = np.mean([column(history, "val/loss") for history in self.histories], axis=0)
        if len(curve) < 3 * FEW:
            return None
        smooth = np.convolve(curve, np.full(FEW, 1 / FEW), "valid")
        return float(smooth.min()), float(smooth[-1])

    def within(self, figure: str) -> tuple[int, int]:
        """Of the epochs for which the document prints a loss: how many lie in our interval, and how many there are."""
        told = [
            Comparison([history[epoch][figure] for history in self.histories], value)
            for epoch, value in enumerate(self.entry.printed.get(figure, []))
            if value is not None
        ]
        return sum(one.within for one in told), len(told)

    @property
    def accuracies(self) -> list[float]:
        """Of the test images, of every seed."""
        return [known(run.results.test_acc) for run in self.runs]

    @property
    def comparison(self) -> Comparison | None:
        """None where the document has no such figure, or not under this protocol."""
        if self.entry.probe or self.protocol != "document" or "acc" not in self.entry.reported:
            return None
        return Comparison(self.accuracies, self.entry.reported["acc"])

    @property
    def reported_best(self) -> float | None:
        """The document's highest accuracy on the test images in any epoch, if it printed them all."""
        return max(self.entry.printed.get("val/acc", []), default=None)

    @property
    def parameters(self) -> int:
        return known(self.runs[0].parameters).total

    @property
    def hours(self) -> float:
        """Of training and validation, of all seeds."""
        return sum(sum(column(history, "seconds")) for history in self.histories) / 3600

    @property
    def seconds(self) -> float:
        return typical_seconds([file.with_suffix(".csv") for file in self.files])


def typical_seconds(histories: Sequence[Path]) -> float:
    """Of one run: epochs times the median epoch of all seeds, so that a machine busy for a while counts little."""
    epochs = [column(read_history(file), "seconds") for file in histories]
    return len(epochs[0]) * median(second for seed in epochs for second in seed)


def read(document: Document, results: Results) -> list[Row]:
    """What the results directory has of a document, made with its present configuration, in the document's order."""
    rows = []
    for entry in document.entries:
        for protocol in PROTOCOLS:
            found = results.all_of(entry, protocol)
            if found:
                rows.append(Row(entry, protocol, list(found.values()), list(found)))
    return rows
