"""Other slant, aspect and stroke width for images of digits: normalised, or far from usual: `changed_shapes`."""

import numpy as np
from numpy.typing import NDArray

from digits_edge.train.data.handwriting import Shapes
from digits_edge.train.data.outlines import Field, Outlines

#: Aspect, width to height, to which digits other than 1 are normalised, and half the width of the normal pen.
_USUAL_ASPECT, _USUAL_PEN_PX = 0.72, 3.0
#: Largest slant, and largest change of the aspect's logarithm: more would make another digit of a strange one.
_MAX_SLANT, _MAX_ASPECT = 0.6, 0.5
#: Deviations from usual: of the slant, the bounds of the aspect's logarithm, and the bounds of half the pen's width.
_FAR_SLANT, _FAR_ASPECT, _FAR_PEN_PX = 0.4, (0.2, 0.5), (1.6, 5.0)


def changed_shapes(outlines: Outlines, labels: NDArray[np.unsignedinteger], rng: np.random.Generator) -> Shapes:
    """Draw for each digit and property whether to keep it, normalise it, or move it far from usual.

    Args:
        outlines: N outlines of images.
        labels: digit of each, (N,).
        rng: source of all randomness.

    Returns:
        Shapes for `digits_edge.train.data.handwriting.written`.

    Example:
        >>> from digits_edge.train.data.outlines import outlines_of
        >>> bars = outlines_of([np.full((40, 6), 255, np.uint8)] * 5)
        >>> changed_shapes(bars, np.ones(5, np.uint8), np.random.default_rng(0)).slants.shape
        (5,)
    """
    count = len(outlines)
    kept = np.zeros(count)
    upright = np.clip(-outlines.slants, -_MAX_SLANT, _MAX_SLANT)
    far = np.clip(rng.normal(0, _FAR_SLANT, count), -_MAX_SLANT - outlines.slants, _MAX_SLANT - outlines.slants)
    slants = _one_of(rng, kept, upright, far)
    usual_aspect = np.clip(np.log(_USUAL_ASPECT / _aspects(outlines.distances)), -_MAX_ASPECT, _MAX_ASPECT)
    usual_aspect[labels == 1] = 0
    far_aspect = rng.uniform(*_FAR_ASPECT, count) * rng.choice([-1, 1], count)
    aspects = _one_of(rng, kept, usual_aspect, far_aspect)
    pens = _one_of(rng, outlines.half_widths, np.full(count, _USUAL_PEN_PX), rng.choice(_FAR_PEN_PX, count))
    return Shapes(slants, aspects, pens)


def _one_of(rng: np.random.Generator, *choices: NDArray[np.floating]) -> NDArray[np.float64]:
    """For each digit one of several values, (N,)."""
    which = rng.integers(len(choices), size=len(choices[0]))
    return np.asarray(np.choose(which, choices), np.float64)


def _aspects(distances: Field) -> NDArray[np.float64]:
    """Width to height of each digit, (N,)."""
    ink = distances > 0
    widths, heights = ink.any(axis=1).sum(axis=1), ink.any(axis=2).sum(axis=1)
    return np.asarray(np.maximum(widths, 1) / np.maximum(heights, 1), np.float64)
