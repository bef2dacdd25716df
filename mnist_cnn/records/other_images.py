"""Intervals for other test images than these 10,000: the spread over seeds and that over images, added."""

from collections import Counter
from math import hypot

import numpy as np
from scipy.stats import norm

from mnist_cnn.records.seeds import TEST_IMAGES, Seeds
from mnist_cnn.report.difference import Difference
from mnist_cnn.report.spread import CONFIDENCE
from mnist_cnn.runs.answers import read_answers


def of_mean(seeds: Seeds) -> str:
    """Of the accuracy in percent; empty where no run has kept its answers, or one alone has finished."""
    half = seeds.accuracy.half_width
    share = _wrong(seeds)
    if half is None or share is None:
        return ""
    mean, both = seeds.accuracy.mean, hypot(half, _half_width(share))
    return f"{mean - both:.2f}–{mean + both:.2f}"


def of_difference(before: Seeds, after: Seeds, found: Difference) -> str:
    """Of a difference in percentage points; empty where one side has kept no answers."""
    old, new = _wrong(before), _wrong(after)
    if old is None or new is None or found.interval is None:
        return ""
    low, high = (100 * end for end in found.interval)
    middle, both = (low + high) / 2, hypot((high - low) / 2, _half_width(new - old))
    return f"{middle - both:+.2f} to {middle + both:+.2f}"


def _wrong(seeds: Seeds) -> np.ndarray | None:
    """Of each test image the share of runs, or of ensembles, that get it wrong."""
    files = seeds.answers
    times = Counter(row["image"] for file in files for row in read_answers(file))
    return np.array([times[image] for image in range(TEST_IMAGES)]) / len(files) if files else None


def _half_width(of_images: np.ndarray) -> float:
    """Of the 95 % interval of their mean, in percent."""
    error = of_images.std(ddof=1) / np.sqrt(TEST_IMAGES)
    return 100 * float(norm.ppf((1 + CONFIDENCE) / 2) * error)
