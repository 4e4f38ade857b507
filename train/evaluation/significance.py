"""Whether models that answered the same images differ by more than chance."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

#: Under this probability a difference is called more than chance.
SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class Difference:
    """Against the best model: how many images only one of the two got wrong, and how likely that is by chance.

    Attributes:
        only_this: images that only this model got wrong.
        only_best: images that only the best model got wrong.
        p_value: McNemar's exact test, after Holm's correction for all pairs of models.
    """

    only_this: int
    only_best: int
    p_value: float

    @property
    def is_more_than_chance(self) -> bool:
        """Whether the models differ, at `SIGNIFICANCE`."""
        return self.p_value < SIGNIFICANCE


def differences_to_best(wrong: Sequence[NDArray[np.bool_]], sizes: Sequence[int]) -> tuple[int, list[Difference]]:
    """Which model is best, and how each differs from it.

    Args:
        wrong: for each model which of the same images it got wrong, (N,).
        sizes: of the files; among models with as few errors the smallest is best.

    Returns:
        The best model's index, and a difference for every model in order; the best one's to itself says nothing.
    """
    best = min(range(len(wrong)), key=lambda index: (int(wrong[index].sum()), sizes[index]))
    # The best is chosen on the same images, so it is compared with all by the choice: of ten equal models, corrected
    # for nine tests only, one is called different twice as often as it may be.
    pairs = list(combinations(range(len(wrong)), 2))
    p_values = dict(zip(pairs, holm([mcnemar(*_only_one(wrong[a], wrong[b])) for a, b in pairs]), strict=True))
    return best, [
        Difference(*_only_one(row, wrong[best]), p_values.get((min(index, best), max(index, best)), 1.0))
        for index, row in enumerate(wrong)
    ]


def _only_one(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> tuple[int, int]:
    """How many images only the first got wrong, and only the second."""
    return int((first & ~second).sum()), int((second & ~first).sum())


def mcnemar(only_first: int, only_second: int) -> float:
    """The p-value of McNemar's exact test, two-sided.

    Images that both models get right, or both wrong, do not tell them apart. If the models were equally good, each of
    the others would be wrong for the first or the second like a fair coin's throw (Q. McNemar, Psychometrika 12, 1947;
    for classifiers: T. Dietterich, Neural Computation 10, 1998).

    Args:
        only_first: images that only the first model got wrong.
        only_second: images that only the second model got wrong.
    """
    differing = only_first + only_second
    return float(binomtest(only_first, differing, 0.5).pvalue) if differing else 1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct K p-values for their number: the smallest times K, the next times K - 1, none under the one before it.

    S. Holm, Scandinavian Journal of Statistics 6, 1979.
    """
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda index: p_values[index])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = largest
    return corrected
