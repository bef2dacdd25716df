"""Whether two groups of runs differ: the difference of a figure with its interval, a permutation test, what it takes.

All statistics are scipy's. Runs of the same seed are pairs where there are enough of them, else the groups are apart.
"""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from math import comb
from typing import Any

import numpy as np
from scipy.special import nctdtr, stdtrit
from scipy.stats import permutation_test, ttest_ind, ttest_rel

from mnist_cnn.report.spread import CONFIDENCE, Spread
from mnist_cnn.report.text import counted

LEVEL, POWER = 1 - CONFIDENCE, 0.8  # two-sided
ENOUGH = 6  # pairs, or runs in each group: of five pairs no p is below 2/32
RESAMPLES = 20_000  # all permutations where there are no more: up to 14 pairs, or 8 runs in each group
MANY = 10_000  # seeds: nobody trains more


@dataclass(frozen=True)
class Difference:
    """B - A of a figure.

    Args:
        a, b: of the runs that were compared.
        interval: 95 %, by Student's t; Welch's for groups; None for a single pair or a group of one.
        p: two-sided, under all changes of sign of the pairs or all divisions into two groups; None as above.
        exact: all of them were tried, not `RESAMPLES` drawn with a fixed seed.
        seeds_needed: pairs, or runs in each group, that would show a difference of this size (p < 0.05 in 80 % of the
            attempts, by the noncentral t distribution), at least `ENOUGH`; None where it cannot be told, for no
            difference at all, and above `MANY`.
    """

    a: Spread
    b: Spread
    paired: bool
    value: float
    interval: tuple[float, float] | None
    p: float | None
    exact: bool
    seeds_needed: int | None

    @classmethod
    def of(cls, a: Mapping[int, float], b: Mapping[int, float], images: int | None = None) -> "Difference":
        """From the figure of each seed.

        Args:
            images: for accuracies the number of images: equal differences of counts are exactly equal, and count as
                ties.
        """
        common = sorted(a.keys() & b.keys())
        paired = len(common) >= min(ENOUGH, len(a), len(b))
        chosen = [[side[seed] for seed in (common if paired else side)] for side in (a, b)]
        x, y = (np.rint(images * np.array(side)) if images else np.array(side) for side in chosen)
        x, y = x - x[0], y - x[0]  # small numbers: their sums are exact
        value, unit = float(y.mean() - x.mean()), 1 / (images or 1)
        of_a, of_b = map(Spread.of, chosen)
        if min(len(x), len(y)) < 2:
            return cls(of_a, of_b, paired, value * unit, None, None, False, None)
        moving = [y - x] if paired else [x, y]
        level = all(np.ptp(part) == 0 for part in moving)  # no spread to go by
        low, high = (value, value) if level else t_interval(x, y, paired)
        return cls(
            of_a,
            of_b,
            paired,
            value * unit,
            (float(low) * unit, float(high) * unit),
            float(permutation_p(x, y, paired)),
            (2 ** len(x) if paired else comb(len(x) + len(y), len(x))) <= RESAMPLES,
            seeds_needed(value, *(part.var(ddof=1) for part in moving)),
        )

    @property
    def enough(self) -> bool:
        return min(self.a.n, self.b.n) >= ENOUGH

    @property
    def found(self) -> bool:
        """Whether the two can be told apart."""
        return self.enough and self.p is not None and self.p < LEVEL

    @property
    def size(self) -> str:
        """`8 pairs`, or `7 and 9 runs`."""
        if self.paired:
            return counted(self.a.n, "pair")
        return f"{self.a.n} and {self.b.n} runs"


def t_interval(a: np.ndarray, b: np.ndarray, paired: bool) -> tuple[Any, Any]:
    """95 % interval of the mean of b - a along the last axis."""
    if paired:
        found = ttest_rel(b, a, axis=-1).confidence_interval(CONFIDENCE)
        return found.low, found.high
    first_a, first_b = a[..., :1], b[..., :1]  # taken away: of equal numbers far from zero SciPy warns
    found = ttest_ind(b - first_b, a - first_a, axis=-1, equal_var=False).confidence_interval(CONFIDENCE)
    moved = (first_b - first_a)[..., 0]
    return found.low + moved, found.high + moved


def permutation_p(a: np.ndarray, b: np.ndarray, paired: bool) -> Any:
    """Two-sided p of the mean of b - a along the last axis."""
    if paired:
        signs = {"permutation_type": "samples", "n_resamples": RESAMPLES, "axis": -1, "rng": 0}
        return permutation_test((b - a,), lambda x, axis: x.sum(axis), **signs).pvalue
    groups = {"n_resamples": RESAMPLES, "axis": -1, "rng": 0}
    return permutation_test((b, a), lambda x, y, axis: x.mean(axis) - y.mean(axis), **groups).pvalue


def seeds_needed(difference: float, *variances: float) -> int | None:
    """See `Difference`; one variance is that of the differences of pairs, two are those of the groups."""
    total = sum(variances)
    if difference == 0:
        return None
    if total == 0:
        return ENOUGH
    freedom = total**2 / sum(variance**2 for variance in variances)  # Welch's, for groups of the same size

    def power(n: int) -> float:
        df, shift = (n - 1) * freedom, abs(difference) * np.sqrt(n / total)
        edge = stdtrit(df, 1 - LEVEL / 2)
        return float(1 - nctdtr(df, shift, edge)) if shift < 2 * edge + 10 else 1.0  # the other tail is negligible

    tried = range(ENOUGH, MANY + 1)
    place = bisect_left(tried, POWER, key=power)
    return tried[place] if place < len(tried) else None
