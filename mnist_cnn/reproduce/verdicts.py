"""Whether a document's figure and ours agree: is it what one more seed might have given?

The document has one run, we have n. If both come from one normal distribution, its figure lies within
mean ± t(0.975, n - 1) · sd · sqrt(1 + 1/n) in 95 of 100 cases: the prediction interval for one more seed. A net that
fails in some seeds has no such distribution.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from scipy.special import stdtr, stdtrit

from mnist_cnn.report.spread import CONFIDENCE, Spread

Word = Literal["agrees", "higher", "lower", "undecided"]
WORDS: tuple[Word, ...] = ("agrees", "higher", "lower", "undecided")
MARGIN = 0.001  # of accuracy: a difference that nobody minds
GOOD = 0.99  # of a document's accuracy, which no seed of ours moves: above it tenths of a point count
ROUNDING = 1e-6  # of an accuracy in single precision, far less than one of 10,000 images
LIMITS = {True: 0.002, False: 0.01}  # largest half-width of an interval that can agree, above GOOD and below
ENOUGH = 5  # seeds
LEAST_SD = 1e-4 / math.sqrt(12)  # that of rounding to one of 10,000 test images, for seeds that are equal by chance


@dataclass(frozen=True)
class Seeds:
    """The figures of our seeds, at least one."""

    values: Sequence[float]

    @cached_property
    def ours(self) -> Spread:
        return Spread.of(self.values)

    @property
    def testable(self) -> bool:
        return self.ours.n > 1

    @property
    def sd(self) -> float:
        """Of the difference between one more seed and our mean."""
        return max(self.ours.sd, LEAST_SD) * math.sqrt(1 + 1 / self.ours.n)

    @property
    def half_width(self) -> float:
        """Infinite for a single seed."""
        if not self.testable:
            return math.inf
        return float(stdtrit(self.ours.n - 1, (1 + CONFIDENCE) / 2)) * self.sd

    @property
    def interval(self) -> tuple[float, float]:
        """For one more seed."""
        return self.ours.mean - self.half_width, self.ours.mean + self.half_width


@dataclass(frozen=True)
class Comparison(Seeds):
    """With a document's figure."""

    reported: float

    @property
    def within(self) -> bool:
        return self.testable and self.interval[0] <= self.reported <= self.interval[1]

    @property
    def place(self) -> str:
        """Rank and range in words, of accuracies."""
        below = sum(value < self.reported - ROUNDING for value in self.values)
        return f"the document's is above {below} of {self.ours.n} seeds, which lie at {self.ours.in_percent.range(2)} %"

    def p(self, margin: float = 0.0) -> float:
        """Two-sided, of a difference as large, were the true one no larger than the margin; 1 for a single seed."""
        beyond = abs(self.reported - self.ours.mean) - margin
        if not self.testable or beyond <= 0:
            return 1.0
        return 2 * float(stdtr(self.ours.n - 1, -beyond / self.sd))


@dataclass(frozen=True)
class Verdict:
    """*higher*: ours are higher than the document's figure. `p` alone, `corrected` over all comparisons by Holm.

    Neither of a single seed.
    """

    word: Word
    why: str
    p: float | None
    corrected: float | None


def judge(comparisons: Mapping[str, Comparison]) -> dict[str, Verdict]:
    """A verdict on each, which depends on how many there are."""
    corrected = holm({name: one.p(MARGIN) for name, one in comparisons.items() if one.testable})
    return {name: _verdict(one, corrected.get(name), len(corrected)) for name, one in comparisons.items()}


def holm(values: Mapping[str, float]) -> dict[str, float]:
    """Corrected p values: one below 0.05 anywhere happens by chance in 5 of 100 such families."""
    corrected, highest = {}, 0.0
    for place, name in enumerate(sorted(values, key=values.__getitem__)):
        highest = max(highest, min(1.0, (len(values) - place) * values[name]))
        corrected[name] = highest
    return corrected


def _verdict(one: Comparison, corrected: float | None, tests: int) -> Verdict:
    p, ours = one.p() if one.testable else None, one.ours
    limit = LIMITS[one.reported > GOOD]
    difference = 100 * (ours.mean - one.reported)
    side: Word = "higher" if difference > 0 else "lower"
    wide = f"± {100 * one.half_width:.2f} points, allowed {100 * limit:g}"
    if corrected is not None and corrected < 1 - CONFIDENCE:
        return Verdict(side, f"by {abs(difference):.2f} points", p, corrected)
    if one.within and one.half_width <= limit and ours.n >= ENOUGH:
        return Verdict("agrees", wide, p, corrected)
    if ours.n < ENOUGH:
        why = f"too few seeds: {ours.n}"
    elif one.within:
        why = f"too scattered: {wide}; {one.place}"
    else:
        why = f"{abs(difference):.2f} points {side}, which chance allows for in {tests} comparisons"
    return Verdict("undecided", why, p, corrected)
