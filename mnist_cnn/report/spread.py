"""Mean and spread of a figure over seeds: one place for how they are computed and written."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev

from scipy.special import stdtrit

CONFIDENCE = 0.95


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

    @property
    def half_width(self) -> float | None:
        """Of the 95 % confidence interval of the mean (Student's t); None for a single value."""
        if self.n < 2:
            return None
        return float(stdtrit(self.n - 1, (1 + CONFIDENCE) / 2)) * self.sd / math.sqrt(self.n)

    @property
    def in_percent(self) -> "Spread":
        return Spread(100 * self.mean, 100 * self.sd, 100 * self.low, 100 * self.high, self.n)

    def text(self, digits: int, unit: str = "") -> str:
        """`99.47 ± 0.07`, or the value alone where there is one."""
        return f"{self.mean:.{digits}f}{f' ± {self.sd:.{digits}f}' if self.n > 1 else ''}{unit}"

    def range(self, digits: int, unit: str = "") -> str:
        return f"{self.low:.{digits}f}–{self.high:.{digits}f}{unit}"
