"""Accuracy with a confidence interval, from the number of errors."""

import math
from dataclasses import dataclass


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
