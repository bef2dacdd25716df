"""Ticks of a logarithmic axis."""

import math

from matplotlib.axis import Axis
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator


def set_ticks(axis: Axis, low: float, high: float, form: str) -> None:
    """As round as they can be for four, few enough to be read."""
    for steps in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7)):
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        ticks = [value for power in decades for step in steps if low <= (value := step * 10.0**power) <= high]
        if len(ticks) >= 4:
            break
    if len(ticks) < 3:
        ticks = [value for value in MaxNLocator(4).tick_values(low, high) if low <= value <= high]
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter(FuncFormatter(lambda value, _: form.format(value)))
    axis.set_minor_locator(NullLocator())
