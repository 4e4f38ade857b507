"""The ink of a page in uneven light: `ink_mask`.

The width of the strokes is measured first, so that the paper can be estimated in windows that are wider than strokes
and narrower than shadows, tables and dark objects.
"""

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.preprocessing.components import noise_of
from digits_edge.runtime.preprocessing.morphology import MEDIAN, Array, Mask, blurred, opened, otsu, percentile
from digits_edge.runtime.reader.ruled_lines import without_rules

#: The first window of the paper is the longer side divided by this.
PAPER_SIDE_DIVISOR = 3
#: The second one is the median width of strokes times the first number, and at least the longer side divided by the
#: second.
PAPER_STROKES, MIN_PAPER_DIVISOR = 8, 24
#: Threshold of ink: as a share of Otsu's, of 255, and as a multiple of the paper's noise.
INK_THRESHOLD, MIN_CONTRAST, MIN_CONTRAST_TO_NOISE = 0.6, 12.0, 3.0
#: Levels above this percentile of the ink do not count for Otsu's threshold: edges of dark objects are far lighter.
INK_PERCENTILE = 90


def ink_mask(levels: Array) -> Mask:
    """Where the ink is.

    Args:
        levels: float32, (H, W) in 0…255, the ink lighter than the paper.

    Returns:
        bool, (H, W).

    Example:
        >>> levels = np.zeros((100, 100), np.float32)
        >>> levels[:, :40] = 120  # a table
        >>> levels[30:60, 70:73] = 100
        >>> mask = ink_mask(levels)
        >>> int(mask.sum()), bool(mask[40, 71])
        (90, True)
    """
    longer = max(levels.shape)
    raised = _raised(levels, longer // PAPER_SIDE_DIVISOR)
    stroke = _stroke(raised > _threshold(raised))
    window = max(longer // MIN_PAPER_DIVISOR, PAPER_STROKES * stroke)
    if window < longer // PAPER_SIDE_DIVISOR:
        raised = _raised(levels, window)
    return without_rules(np.asarray(raised > _threshold(raised)))


def _raised(levels: Array, window: int) -> Array:
    """How much lighter each pixel is than the paper around it."""
    return np.asarray(np.maximum(levels - opened(blurred(levels, 1), window | 1, window | 1), 0))


def _threshold(raised: Array) -> float:
    """The level from which a pixel is ink."""
    middle = float(percentile(raised.ravel(), MEDIAN))
    strong = raised[raised > otsu(raised)]
    if not strong.size:
        return float("inf")
    bounded = np.minimum(raised, np.float32(percentile(strong, INK_PERCENTILE)))
    return max(
        middle + INK_THRESHOLD * (otsu(bounded) - middle),
        middle + MIN_CONTRAST,
        middle + MIN_CONTRAST_TO_NOISE * noise_of(raised),
    )


def _stroke(mask: Mask) -> int:
    """The median width of strokes along rows and columns, in pixels; each stroke counts as often as it is crossed."""
    lengths = [_runs(each) for each in (mask, mask.T)]
    return min((int(percentile(each, MEDIAN)) for each in lengths if each.size), default=1)


def _runs(mask: Mask) -> NDArray[np.intp]:
    """Lengths of the runs of true pixels along rows."""
    sides = np.diff(mask.astype(np.int8), axis=1, prepend=np.int8(0), append=np.int8(0))
    starts, ends = (np.flatnonzero(sides == side) for side in (1, -1))
    return ends - starts
