"""Strokes with random lengths in the notation of `digits_edge.runtime.datasets.synthetic_digits.SHAPES`."""

from collections.abc import Callable

import numpy as np

from digits_edge.runtime.datasets.synthetic_digits import SHAPES, any_of

#: Points of a stroke: x to the right and y down, in hundredths of the digit's height.
Points = list[tuple[float, float]]
#: Draws a random shape of a digit.
Variant = Callable[[np.random.Generator], str]
#: Variant and relative frequency by name.
Variants = dict[str, tuple[Variant, float]]


def between(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw a number.

    Example:
        >>> 1 <= between(np.random.default_rng(0), 1, 2) <= 2
        True
    """
    return float(rng.uniform(low, high))


def shape(*strokes: Points) -> str:
    """Write strokes in the notation of `SHAPES`.

    Example:
        >>> shape([(0, 0), (50, 100)], [(0, 50), (100, 50)])
        '0.0,0.0 50.0,100.0 | 0.0,50.0 100.0,50.0'
    """
    return " | ".join(" ".join(f"{x:.1f},{y:.1f}" for x, y in stroke) for stroke in strokes)


def usual(digit: int) -> Variant:
    """Return a variant that draws the shapes of the project's synthetic digits.

    Example:
        >>> usual(1)(np.random.default_rng(0)) in SHAPES[1]
        True
    """
    return lambda rng: any_of(SHAPES[digit], rng)
