"""Statistical significance of the difference between models evaluated on the same images."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

#: Significance level; smaller p-values are significant.
SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class Difference:
    """Difference between a model and the best model.

    Attributes:
        only_this: number of images that only this model misclassifies.
        only_best: number of images that only the best model misclassifies.
        p_value: p-value of McNemar's exact test with Holm's correction for all pairs of models.
    """

    only_this: int
    only_best: int
    p_value: float

    @property
    def is_more_than_chance(self) -> bool:
        """Whether the difference is significant at the level `SIGNIFICANCE`."""
        return self.p_value < SIGNIFICANCE


def differences_to_best(wrong: Sequence[NDArray[np.bool_]], sizes: Sequence[int]) -> tuple[int, list[Difference]]:
    """Find the best model and test how each model differs from it.

    Args:
        wrong: for each model, which of the same images it misclassifies, bool (N,).
        sizes: file sizes; the smallest of the models with the fewest errors is the best.

    Returns:
        Index of the best model, and the difference of every model. The entry of the best model has no meaning.

    Example:
        >>> first = np.array([True, True, False, False])
        >>> second = np.array([False, False, False, True])
        >>> best, differences = differences_to_best([first, second], [100, 200])
        >>> best, differences[0].only_this, differences[0].is_more_than_chance
        (1, 2, False)
    """
    best = min(range(len(wrong)), key=lambda index: (int(wrong[index].sum()), sizes[index]))
    # The best model is chosen on the same images, so the correction is for all pairs. With ten equal models, a
    # correction for nine tests only gives twice as many false positives as the significance level allows.
    pairs = list(combinations(range(len(wrong)), 2))
    p_values = dict(zip(pairs, holm([mcnemar(*_only_one(wrong[a], wrong[b])) for a, b in pairs]), strict=True))
    return best, [
        Difference(*_only_one(row, wrong[best]), p_values.get((min(index, best), max(index, best)), 1.0))
        for index, row in enumerate(wrong)
    ]


def _only_one(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> tuple[int, int]:
    """Count the images that only the first, and only the second model misclassifies."""
    return int((first & ~second).sum()), int((second & ~first).sum())


def mcnemar(only_first: int, only_second: int) -> float:
    """Compute the two-sided p-value of McNemar's exact test.

    Only images that exactly one of the models misclassifies count. Under the null hypothesis, each of them is
    misclassified by either model with probability 1/2 (Q. McNemar, Psychometrika 12, 1947; for classifiers:
    T. Dietterich, Neural Computation 10, 1998).

    Args:
        only_first: number of images that only the first model misclassifies.
        only_second: number of images that only the second model misclassifies.

    Example:
        >>> mcnemar(4, 4), mcnemar(30, 5) < 0.001
        (1.0, True)
    """
    differing = only_first + only_second
    return float(binomtest(only_first, differing, 0.5).pvalue) if differing else 1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for multiple tests with Holm's step-down method.

    The smallest of K p-values is multiplied by K, the next by K - 1, and so on; corrected values do not decrease
    (S. Holm, Scandinavian Journal of Statistics 6, 1979).

    Example:
        >>> holm([0.5, 0.25])
        [0.5, 0.5]
    """
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda index: p_values[index])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = largest
    return corrected
