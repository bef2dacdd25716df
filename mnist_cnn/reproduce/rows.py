"""All seeds of an entry side by side, and the verdict on them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from mnist_cnn.report.spread import Spread
from mnist_cnn.reproduce.study import PROTOCOLS, Document, Entry, Results
from mnist_cnn.runs.history import column, read_history
from mnist_cnn.runs.record import Record, known


@dataclass(frozen=True)
class Row:
    """All seeds of one entry under one protocol."""

    entry: Entry
    protocol: str
    runs: list[Record]
    files: list[Path]

    def spread(self, figure: str) -> Spread:
        return Spread.of([run.results[figure] for run in self.runs])

    def spread_after(self, epoch: int, figure: str) -> Spread:
        """Of a column of metrics.csv after an epoch, counted from 1."""
        return Spread.of([read_history(file.with_suffix(".csv"))[epoch - 1][figure] for file in self.files])

    @property
    def reported_best(self) -> float | None:
        """The document's highest accuracy on the test images in any epoch, if it printed them all."""
        return max(self.entry.printed.get("val/acc", []), default=None)

    @property
    def parameters(self) -> int:
        return known(self.runs[0].parameters).total

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
