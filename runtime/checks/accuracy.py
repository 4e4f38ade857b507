"""Errors of N, and the interval that goes with them."""

import math
from dataclasses import dataclass


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
