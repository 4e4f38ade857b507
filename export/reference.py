"""The reference images whose answers become golden: drawn by this project, the same in every export."""

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.datasets.synthetic_digits import draw_image

#: Their packed size leaves room under the 16 KB of the golden answers.
COUNT = 48
_CANDIDATES = 96
_SEED = 48
#: As many pack in half the bytes of 256, and leave a digit's edges soft.
_GREYS = 8
#: Keras wavers where its first two probabilities are nearer than this; rounding on another machine could then change
#: the answer.
_MIN_MARGIN = 0.5


def candidate_images() -> NDArray[np.uint8]:
    """Drawn digits, uint8 (96, 28, 28) in few greys, all ten in turn."""
    rng = np.random.default_rng(_SEED)
    images = np.stack([draw_image(index % 10, rng) for index in range(_CANDIDATES)])
    step = 255 / (_GREYS - 1)
    return np.rint(np.rint(images / step) * step).astype(np.uint8)


def steady(probabilities: NDArray[np.float32]) -> NDArray[np.intp]:
    """The rows, 48 at most, on which Keras does not waver.

    Args:
        probabilities: Keras's, (96, C).
    """
    ranked = np.sort(probabilities, axis=1)
    return np.flatnonzero(ranked[:, -1] - ranked[:, -2] >= _MIN_MARGIN)[:COUNT]
