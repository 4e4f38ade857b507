"""Accuracy with a confidence interval, from the number of errors."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Share of the way from guessing to no errors that a classifier must reach.
_ABOVE_CHANCE = 0.2


@dataclass(frozen=True)
class Accuracy:
    """Number of misclassified images.

    Attributes:
        errors: number of misclassified images.
        images: number of images, at least 1.

    Example:
        >>> accuracy = Accuracy(errors=25, images=10_000)
        >>> f"{accuracy.value:.2%}"
        '99.75%'
        >>> low, high = accuracy.interval()
        >>> f"{low:.2%} to {high:.2%}"
        '99.63% to 99.83%'
    """

    errors: int
    images: int

    @property
    def value(self) -> float:
        """Share of correctly classified images, 0 to 1."""
        return 1 - self.errors / self.images

    def interval(self, z: float = 1.96) -> tuple[float, float]:
        """Wilson score interval of the accuracy (Wilson 1927) as (low, high); z = 1.96 means 95 % confidence."""
        n, p = self.images, self.value
        centre = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return max(0.0, centre - half), min(1.0, centre + half)

    def is_chance(self, labels: NDArray[np.integer]) -> bool:
        """Whether the classifier is clearly not better than guessing.

        Guessing is the share of the most frequent class. A classifier must reach a fifth of the way from there to no
        errors; below that, its input or the order of its classes is most likely wrong.

        Args:
            labels: true classes of the images, (N,). With a single class, nothing is known.

        Example:
            >>> labels = np.arange(100) % 10
            >>> Accuracy(errors=88, images=100).is_chance(labels), Accuracy(errors=40, images=100).is_chance(labels)
            (True, False)
        """
        shares = np.unique(labels, return_counts=True)[1] / max(len(labels), 1)
        if len(shares) < 2:
            return False
        chance = float(shares.max())
        return self.interval()[1] < chance + _ABOVE_CHANCE * (1 - chance)
