"""The test images that records get wrong, counted and drawn."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure
from torch import Tensor

from mnist_cnn.runs.answers import MISSED, read_answers

EACH, MOST = 8, 32  # images in a line of the picture, and in all
NAMED = 1  # other digits that an image was taken for; more have no room beside their neighbours


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
    records = [[read_answers(file) for file in sorted((folder / MISSED).glob("*.csv"))] for folder in folders]
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


def outvoted(answers: Sequence[Path]) -> int:
    """How many test images the runs that these are of get wrong together, each with one vote.

    A tie goes to the smaller digit.
    """
    runs = [{row["image"]: row for row in read_answers(file)} for file in answers]
    rows = {image: row for run in runs for image, row in run.items()}
    wrong = 0
    for image, row in rows.items():
        votes = Counter(run[image]["predicted"] if image in run else row["label"] for run in runs)
        wrong += min(votes, key=lambda digit: (-votes[digit], digit)) != row["label"]
    return wrong


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
        more = ["..."] if len(others) > NAMED else []
        taken = f"{most} ({', '.join(others[:NAMED] + more)})" if others else most
        axes.set_title(f"{one.label}, taken for {taken}\nby {one.times} of {one.runs}", fontsize=7, pad=2)
    figure.suptitle("Test images that most runs of every record get wrong", fontsize=11)
    return figure
