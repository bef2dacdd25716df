"""What a format makes of a net, how it is measured, and how its files get to their place."""

import contextlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mnist_cnn.errors import RunError
from mnist_cnn.export.source import SPLITS, Logits, Pixels, Source, pixels_of
from mnist_cnn.files import kind_of, require_replaceable, require_writable, write_together
from mnist_cnn.report.text import wrapped

log = logging.getLogger(__name__)
ROUNDING = 1e-3  # of a logit, by another order of sums in many layers; what is wrong is far beyond


@dataclass(frozen=True)
class Made:
    """An export in memory.

    Args:
        files: by name.
        logits: what the export says of images, by the program that reads such files; None where there is none here.
        measured_by: that program, or why there is none.
        facts: more to say of it, by name.
        unit: of the logits that its files give; those of `logits` are in units of 1.
    """

    files: Mapping[str, bytes]
    logits: Callable[[Pixels], Logits] | None
    measured_by: str
    facts: Mapping[str, str] = field(default_factory=dict)
    unit: float = 1.0


@dataclass(frozen=True)
class Measured:
    """An export beside its checkpoint, on the images of a split.

    Args:
        split: its name.
        differ: images with another answer.
        correct, correct_before: of the export and of the checkpoint.
        distance: the largest between two logits.
        size: of the checkpoint's largest logit.
        is_told: whether these are images of the kind that it was trained on, so that accuracy says anything.
        spares_test: whether test images were left out because the run never reads them.
    """

    split: str
    images: int
    differ: int
    correct: int
    correct_before: int
    distance: float
    size: float
    is_told: bool
    spares_test: bool

    @property
    def is_the_net(self) -> bool:
        """Whether rounding to float32 explains the distance."""
        return self.distance <= tolerance(self.size)

    def __str__(self) -> str:
        why = " (the run never reads its test images)" if self.spares_test else ""
        words = (
            f"{self.images:,} {self.split} images{why}: {self.differ} answers differ from the checkpoint's, logits by "
            f"{self.distance:.2g} at most"
        )
        if not self.is_told:
            return f"{words}; no accuracy: the checkpoint does not say which images it was trained on"
        accuracy, before = self.correct / self.images, self.correct_before / self.images
        return f"{words}; accuracy {accuracy:.2%}, the checkpoint's {before:.2%}"


def tolerance(size: float) -> float:
    """How far rounding to float32 may move a logit, where the largest has that size."""
    return ROUNDING * max(1.0, size)


def measure(source: Source, logits: Callable[[Pixels], Logits], by: str) -> Measured:
    """Args:
    logits: of an export, `by` the program that reads it.
    """
    images = source.images(source.measured_on)
    pixels, labels = pixels_of(images), images.labels.numpy()
    log.info(wrapped(f"reading {len(labels):,} {SPLITS[source.measured_on]} images ({by})", 2))
    before, after = source.logits(pixels), np.asarray(logits(pixels), np.float64)
    answers, others = before.argmax(1), after.argmax(1)
    return Measured(
        SPLITS[source.measured_on], len(labels), int((answers != others).sum()),
        int((others == labels).sum()), int((answers == labels).sum()),
        float(np.abs(after - before).max()), float(np.abs(before).max()),
        source.is_told, source.spares_test,
    )  # fmt: skip


def vector_images(source: Source) -> tuple[Pixels, Any]:
    """The first measured image of each class, with the labels: what an export can be tried with wherever it goes."""
    images = source.images(source.measured_on)
    labels = images.labels.numpy()
    chosen = sorted(np.unique(labels, return_index=True)[1])
    return pixels_of(images)[chosen], labels[chosen]


def require_free(folder: Path, names: list[str], force: bool) -> None:
    """Raises RunError where files cannot be written, or some of an export stand already and may not be replaced."""
    require_writable(folder, RunError)
    for name in names:
        require_replaceable(folder / name)
        if kind_of(folder / name) and not force:
            raise RunError(f"{folder / name}: is there already; force=true overwrites it, out=<folder> goes elsewhere")


def write(folder: Path, files: Mapping[str, bytes]) -> None:
    """All files or none: half of an export beside half of an earlier one would be a net that nobody measured."""
    new = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        write_together({folder / name: content for name, content in files.items()})
    except OSError:
        with contextlib.suppress(OSError):  # what stands there is somebody else's
            for each in new:
                each.rmdir()
        raise
