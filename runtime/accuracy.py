"""Errors of N, the interval that goes with them, and what was taken for what."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Accuracy:
    """How many of how many images, at least one, were answered wrongly."""

    errors: int
    images: int

    @property
    def value(self) -> float:
        """The share of right answers, 0…1."""
        return 1 - self.errors / self.images

    def interval(self, z: float = 1.96) -> tuple[float, float]:
        """Wilson's score interval of the accuracy (Wilson 1927); z = 1.96 covers 95 %."""
        n, p = self.images, self.value
        centre = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return max(0.0, centre - half), min(1.0, centre + half)


def confusion_matrix(labels: NDArray[np.uint8], said: NDArray[np.integer], classes: int) -> NDArray[np.int64]:
    """How often each class was taken for each.

    Args:
        labels: the truth, (N,).
        said: the answers, (N,).
        classes: C.

    Returns:
        (C, C); row: the truth, column: the answer.
    """
    pairs = labels.astype(np.int64) * classes + said
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)
