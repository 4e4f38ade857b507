"""Logarithmic axes with few ticks and plain numbers with units."""

import math
from collections.abc import Callable, Sequence
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

_MIN_TICKS = 3
#: Candidate ticks within a decade, from coarse to fine.
_STEPS: tuple[Sequence[float], ...] = (
    (1,),
    (1, 3),
    (1, 2, 5),
    (1, 1.5, 2, 3, 5, 7),
    (1, 2, 3, 4, 5, 6, 7, 8, 9),
    tuple(step / 10 for step in range(10, 100, 5)),
    tuple(step / 10 for step in range(10, 100, 2)),
    tuple(step / 10 for step in range(10, 100)),
)


def log_axis(axes: Axes, which: Literal["x", "y"], low: float, high: float, text: Callable[[float], str]) -> None:
    """Make an axis logarithmic.

    Args:
        axes: axes to change.
        which: axis to change.
        low: lower limit.
        high: upper limit.
        text: function that formats a tick.
    """
    if which == "x":
        axes.set_xscale("log")
        axes.set_xlim(low, high)
    else:
        axes.set_yscale("log")
        axes.set_ylim(low, high)
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(FixedLocator(log_ticks(low, high)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: text(value)))
    axis.set_minor_locator(NullLocator())


def log_ticks(low: float, high: float) -> list[float]:
    """Return round numbers between two limits, at least three if possible.

    Example:
        >>> log_ticks(10, 1000)
        [10.0, 100.0, 1000.0]
        >>> log_ticks(1, 10)
        [1.0, 3.0, 10.0]
    """
    decades = range(math.floor(math.log10(low)), math.floor(math.log10(high)) + 1)
    ticks: list[float] = []
    for steps in _STEPS:
        ticks = [step * 10.0**decade for decade in decades for step in steps]
        ticks = [tick for tick in ticks if low * 0.999 <= tick <= high * 1.001]
        if len(ticks) >= _MIN_TICKS:
            break
    return ticks
