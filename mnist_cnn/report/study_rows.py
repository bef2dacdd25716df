"""All seeds of an entry side by side, and the verdict on them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

from mnist_cnn.report.figures import read_history
from mnist_cnn.study import PROTOCOLS, Document, Entry, Results


@dataclass(frozen=True)
class Spread:
    """Mean, sample standard deviation (0 for one value), smallest, largest and number of some values."""

    mean: float
    sd: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        sd = stdev(values) if len(values) > 1 else 0.0
        return cls(mean(values), sd, min(values), max(values), len(values))

    def percent(self) -> str:
        return Spread(100 * self.mean, 100 * self.sd, 100 * self.low, 100 * self.high, self.n).text(2)

    def text(self, digits: int) -> str:
        spread = f" ± {self.sd:.{digits}f}" if self.n > 1 else ""
        return f"{self.mean:.{digits}f}{spread}"


@dataclass(frozen=True)
class Row:
    """All seeds of one entry under one protocol."""

    entry: Entry
    protocol: str
    runs: list[dict[str, Any]]
    files: list[Path]

    def spread(self, figure: str) -> Spread:
        return Spread.of([run["figures"][figure] for run in self.runs])

    def spread_after(self, epoch: int, figure: str) -> Spread:
        """Of a column of metrics.csv after an epoch, counted from 1."""
        return Spread.of([read_history(file.with_suffix(".csv"))[figure][epoch - 1] for file in self.files])

    @property
    def reported_best(self) -> float | None:
        """The document's highest accuracy on the test images in any epoch, if it printed them all."""
        return max(self.entry.printed.get("val/acc", []), default=None)

    @property
    def parameters(self) -> int:
        return self.runs[0]["parameters"]["total"]

    @property
    def seconds(self) -> float:
        return typical_seconds([file.with_suffix(".csv") for file in self.files])

    @property
    def verdict(self) -> str:
        if self.entry.probe:
            return "probe"
        if "acc" not in self.entry.reported:
            return "not reported"
        reported, ours = self.entry.reported["acc"], self.spread("test/acc")
        if ours.n < 2:
            return "needs more seeds"
        if ours.low <= reported <= ours.high or abs(reported - ours.mean) <= 3 * ours.sd:
            return "reproduced"
        return "better" if ours.mean > reported else "worse"


def typical_seconds(histories: Sequence[Path]) -> float:
    """Of one run: epochs times the median epoch of all seeds, so that a machine busy for a while counts little."""
    epochs = [read_history(file)["seconds"] for file in histories]
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
