"""Mean and spread over seeds of finished runs: a Markdown table with a row per folder, data set and settings.

python scripts/summarize_seeds.py FOLDER...

    python scripts/summarize_seeds.py results          what this repository keeps
    python scripts/summarize_seeds.py runs/gap         runs of your own

Reads every metrics.json below the folders, also under other names, as `results` has them. The runs of a row differ in
nothing but the seed. A run that lies in a folder twice counts once; folders that hold the same runs share a row. What
lies below `superseded` is left out, unless it is that folder or one in it that is named.
"""

import sys
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from command_line import UsageError, read

from mnist_cnn import cli
from mnist_cnn.errors import RunError
from mnist_cnn.report.spread import Spread
from mnist_cnn.report.text import markdown_table
from mnist_cnn.runs.history import read_history
from mnist_cnn.runs.provenance import is_superseded
from mnist_cnn.runs.record import Record, known

HEADER = [
    "folder", "data", "model", "parameters", "epochs", "protocol", "n", "validation accuracy", "test accuracy",
    "test min–max", "test loss", "images seen", "training seconds",
]  # fmt: skip


@dataclass(frozen=True)
class Seed:
    """A finished run with the file that keeps its record."""

    file: Path
    record: Record

    @property
    def folder(self) -> str:
        """That of the file, or of the run directory that it lies in."""
        return str(self.file.parent.parent if self.file.name == "metrics.json" else self.file.parent)

    @property
    def images(self) -> int:
        """Trained on in all epochs; earliest records tell neither this nor whether an epoch was cut short."""
        timing, protocol = known(self.record.timing), known(self.record.protocol)
        history = read_history(self.file.with_suffix(".csv"))
        if history and all("images" in epoch for epoch in history):
            return sum(epoch["images"] for epoch in history)
        if timing.train_seconds is not None:
            return round(timing.images_per_second * timing.train_seconds)
        return (self.record.epochs or 0) * (protocol.train_images or 0)

    @property
    def seconds(self) -> float:
        timing = known(self.record.timing)
        return timing.train_seconds if timing.train_seconds is not None else self.images / timing.images_per_second


def finished(folders: Iterable[Path]) -> list[Seed]:
    """All finished runs below the folders that stand, by file; what cannot be read is said on standard error."""
    found = ((file, folder) for folder in folders for file in folder.rglob("*.json"))
    files = {file.resolve(): file for file, folder in found if not is_superseded(file, folder)}
    runs = []
    for file in sorted(files.values()):
        try:
            record = Record.load(file)
        except RunError as error:
            print(f"left out, {error}", file=sys.stderr)
            continue
        if record.completed:
            runs.append(Seed(file, record))
        else:
            print(f"left out, {record.status}: {file}", file=sys.stderr)
    return runs


def rows(runs: Iterable[Seed]) -> list[list[str]]:
    """A row per folder and settings; folders with the very same runs share one.

    Raises:
        UsageError: a seed has two different results in one folder.
    """
    groups: dict[tuple[str, Hashable], dict[int, Seed]] = defaultdict(dict)
    for run in runs:
        first = groups[run.folder, run.record.alike].setdefault(run.record.seed, run)
        if first.record.outcome != run.record.outcome:
            raise UsageError(f"{run.file}: seed {run.record.seed} with the settings of {first.file}, other figures")
    shared: dict[Hashable, list[list[Seed]]] = defaultdict(list)
    for (_, settings), seeds in groups.items():
        shared[settings, frozenset(run.record.outcome for run in seeds.values())].append(list(seeds.values()))
    return sorted((row(folders) for folders in shared.values()), key=lambda cells: cells[:3])


def row(folders: Sequence[Sequence[Seed]]) -> list[str]:
    """Of the runs of a folder, and of others that hold the very same."""
    runs = folders[0]
    first = runs[0].record
    protocol = known(first.protocol)
    return [
        ", ".join(seeds[0].folder for seeds in folders),
        protocol.dataset,
        first.model or "",
        f"{known(first.parameters).trainable:,}",
        whole([run.record.epochs or 0 for run in runs]),
        protocol.summary,
        str(len(runs)),
        validation(runs),
        *tests(runs),
        whole([run.images for run in runs]),
        Spread.of([run.seconds for run in runs]).text(1),
    ]


def tests(runs: Sequence[Seed]) -> list[str]:
    """Accuracy, its range, and loss; empty where the test images were not read."""
    if any(run.record.results.test_acc is None for run in runs):
        return ["", "", ""]
    accuracy = Spread.of([run.record.results.test_acc for run in runs]).in_percent
    loss = Spread.of([run.record.results.test_loss for run in runs])
    return [accuracy.text(3, " %"), accuracy.range(2, " %"), loss.text(4)]


def validation(runs: Sequence[Seed]) -> str:
    """Of the weights that were tested; empty for runs without any validation."""
    if any(run.record.results.best_acc is None for run in runs):
        return ""
    return Spread.of([run.record.validation for run in runs]).in_percent.text(2, " %")


def whole(values: Sequence[int]) -> str:
    """One number where all are the same: early stopping makes others."""
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,}–{high:,}"


def main() -> None:
    with cli.user_errors():
        folders = [Path(name) for name in read(__doc__, {})[0]]
        missing = [str(folder) for folder in folders if not folder.is_dir()]
        if missing or not folders:
            raise UsageError(f"no such folder: {', '.join(missing)}" if missing else "name a folder; --help says more")
        print(markdown_table([HEADER, *rows(finished(folders))]))


if __name__ == "__main__":
    main()
