"""The test images that records get wrong: kept beside the figures of each run, counted and drawn."""

import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure
from torch import Tensor

from mnist_cnn.files import write_table
from mnist_cnn.reproduce.results import Results
from mnist_cnn.reproduce.study import StudyRun
from mnist_cnn.runs.directory import Run
from mnist_cnn.runs.provenance import MISSED

COLUMNS = ["image", "label", "predicted"]
EACH, MOST = 8, 32  # images in a line of the picture, and in all


def keep_missed(runs: Iterable[StudyRun], results: Results, run_root: Path) -> None:
    """Of records whose run directories are still there: missed/seed_N.csv beside the figures, a row per image."""
    for run in runs:
        kept, trained = results.file(run), Run(run_root / run.path)
        predictions, target = trained.predictions_of("test"), kept.parent / MISSED / f"{kept.stem}.csv"
        if run.protocol != "record" or target.exists() or not (kept.is_file() and predictions.is_file()):
            continue
        if kept.read_bytes() == trained.metrics_file.read_bytes():  # of that very run
            target.parent.mkdir(exist_ok=True)
            write_table(target, COLUMNS, [row for row in _rows(predictions) if row["label"] != row["predicted"]])


@dataclass(frozen=True)
class Missed:
    """A test image: what it shows, what runs took it for, and how many of how many runs got it wrong."""

    image: int
    label: int
    predicted: Counter[int]
    runs: int

    @property
    def times(self) -> int:
        return self.predicted.total()


def missed_by_all(folders: Iterable[Path]) -> list[Missed]:
    """What more than half of the runs of every record get wrong, those missed most often first.

    Args:
        folders: of records' results; those without kept rows are left out.
    """
    records = [[_rows(file) for file in sorted((folder / MISSED).glob("*.csv"))] for folder in folders]
    records = [runs for runs in records if runs]
    if not records:
        return []
    often = [{image for image, n in Counter(row["image"] for run in runs for row in run).items() if 2 * n > len(runs)}
             for runs in records]  # fmt: skip
    runs = [run for one in records for run in one]
    found = []
    for image in set.intersection(*often):
        rows = [row for run in runs for row in run if row["image"] == image]
        found.append(Missed(image, rows[0]["label"], Counter(row["predicted"] for row in rows), len(runs)))
    return sorted(found, key=lambda one: (-one.times, one.image))


def outvoted(folder: Path) -> int | None:
    """How many test images the runs of a record get wrong together, each with one vote; None without kept rows.

    A tie goes to the smaller digit.
    """
    runs = [{row["image"]: row for row in _rows(file)} for file in sorted((folder / MISSED).glob("*.csv"))]
    rows = {image: row for run in runs for image, row in run.items()}
    wrong = 0
    for image, row in rows.items():
        votes = Counter(run[image]["predicted"] if image in run else row["label"] for run in runs)
        wrong += min(votes, key=lambda digit: (-votes[digit], digit)) != row["label"]
    return wrong if runs else None


def draw_missed(found: Sequence[Missed], pixels: Tensor) -> Figure:
    """The images, each with its class, what it was taken for, and by how many runs.

    Args:
        pixels: of all test images, (N, 1, 28, 28) from 0 to 255.
    """
    shown = found[:MOST]
    lines = -(-len(shown) // EACH)
    figure = Figure(figsize=(8.5, 1.35 * lines + 0.6), layout="constrained")
    grid = list(figure.subplots(lines, EACH, squeeze=False).flat)
    for axes in grid:
        axes.axis("off")
    for axes, one in zip(grid, shown, strict=False):
        axes.imshow(pixels[one.image, 0].numpy(), cmap="gray_r", vmin=0, vmax=255)
        most, *others = [str(digit) for digit, _ in one.predicted.most_common()]
        taken = f"{most} ({', '.join(others)})" if others else most
        axes.set_title(f"{one.label}, taken for {taken}\nby {one.times} of {one.runs}", fontsize=7, pad=2)
    figure.suptitle("Test images that most runs of every record get wrong", fontsize=11)
    return figure


def _rows(file: Path) -> list[dict[str, int]]:
    with file.open() as opened:
        return [{name: int(row[name]) for name in COLUMNS} for row in csv.DictReader(opened)]
