"""Two single runs on the same images: which of them each got right alone, by McNemar's exact test."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from mnist_cnn.compare.sides import Finished
from mnist_cnn.runs.layout import Layout


@dataclass(frozen=True)
class SameImages:
    """Images that only A or only B got right, and the two-sided p of so uneven a division; says nothing of seeds."""

    only_a: int
    only_b: int
    p: float


def on_same_images(a: Finished, b: Finished, split: str) -> SameImages | None:
    """None where a run kept no predictions (those of `val` came with 0.2.0, and results/ holds figures alone), or where
    they are of other images."""
    files = [Layout(run.file.parent).predictions_of(split) for run in (a, b)]
    if not all(run.file.name == "metrics.json" and file.is_file() for run, file in zip((a, b), files, strict=True)):
        return None
    labels, rights = [], []
    for file in files:
        label, predicted = np.loadtxt(file, delimiter=",", skiprows=1, usecols=(1, 2), ndmin=2, unpack=True)
        labels.append(label)
        rights.append(label == predicted)
    if not np.array_equal(*labels):
        return None
    only_a, only_b = (int((one & ~other).sum()) for one, other in (rights, rights[::-1]))
    return SameImages(only_a, only_b, float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0)
