"""Reference images whose Keras predictions become the golden values; the same images in every export."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.datasets.synthetic_digits import draw_image

#: Maximum number of reference images; their packed size stays below the 16 KB limit of the golden values.
COUNT = 48
_CANDIDATES = 96
_SEED = 48
#: With 8 grey levels the images pack into half the bytes of 256, and digit edges are still anti-aliased.
_GREY_LEVELS = 8
#: Minimum difference of the two largest probabilities. Below it, rounding on another machine could change the label.
_MIN_MARGIN = 0.5


@cache
def candidate_images() -> NDArray[np.uint8]:
    """Draw the candidate images: synthetic digits with few grey levels, the ten digits in turn.

    The first call draws them; an ensemble needs them for each member.

    Returns:
        Shape (96, 28, 28), uint8; read-only.
    """
    rng = np.random.default_rng(_SEED)
    images = np.stack([draw_image(index % 10, rng) for index in range(_CANDIDATES)])
    step = 255 / (_GREY_LEVELS - 1)
    candidates = np.rint(np.rint(images / step) * step).astype(np.uint8)
    candidates.flags.writeable = False
    return candidates


def reproducible_rows(probabilities: NDArray[np.float32]) -> NDArray[np.intp]:
    """Select the rows, at most 48, whose two largest probabilities differ by at least 0.5.

    Args:
        probabilities: Keras's probabilities, (N, C).

    Returns:
        Row indices in ascending order.

    Example:
        >>> reproducible_rows(np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]], np.float32))
        array([0, 2])
    """
    ranked = np.sort(probabilities, axis=1)
    return np.flatnonzero(ranked[:, -1] - ranked[:, -2] >= _MIN_MARGIN)[:COUNT]
