"""Fixed splits: training, validation and held-back rows, and stratified samples for calibration."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.errors import DataError, UsageError

#: Independent of the training's seed, so that every run and every export has the same split.
SPLIT_SEED = 20_261_121
#: Validation share of every class, by rule.
SHARES = {"tenth": 0.1, "fifth": 0.2}
#: Share of the rows for training and, after them, for validation, by rule; the remaining rows are held back.
_BY_ROWS = {
    "last-tenth": (Fraction(9, 10), Fraction(1, 10)),
    "last-fifth": (Fraction(4, 5), Fraction(1, 5)),
    "kaggle": (Fraction(27, 42), Fraction(13, 42)),
    "kaggle-38000": (Fraction(38, 42), Fraction(2, 42)),
}
_FOLD = re.compile(r"fold-([1-9]\d{0,3})-of-([1-9]\d{0,3})")
RULES = (*SHARES, *_BY_ROWS, "fold-I-of-K")


@dataclass(frozen=True, eq=False)
class Parts:
    """Sorted, disjoint row indices that together cover all N rows.

    Attributes:
        train: rows used for training.
        validation: rows used for every choice, such as the epoch and the temperature.
        held_back: rows used for testing only; empty under most rules, whose test set is another file.

    Example:
        >>> found = parts(np.arange(100, dtype=np.uint8) % 10)
        >>> len(found.train), len(found.validation), len(found.held_back)
        (90, 10, 0)
    """

    train: NDArray[np.intp]
    validation: NDArray[np.intp]
    held_back: NDArray[np.intp]


def parts(labels: NDArray[np.uint8], rule: str = "tenth") -> Parts:
    """Split labelled images by a rule.

    Args:
        labels: uint8, (N,).
        rule: one of

            - "tenth", "fifth": that share of every class is the validation part.
            - "last-tenth", "last-fifth": the last rows are the validation part, as with Keras's `validation_split`.
              The reference recipes use this split.
            - "kaggle": 27,000 training, 13,000 validation and 2,000 held-back rows of 42,000, in this order; the same
              shares for other row counts.
            - "kaggle-38000": 38,000 training, 2,000 validation and the same 2,000 held-back rows.
            - "fold-I-of-K": part I of K equal parts of every class is the validation part.

    Raises:
        DataError: there are too few images for a training and a validation part.
        UsageError: there is no such rule.

    Example:
        >>> found = parts(np.zeros(42_000, np.uint8), "kaggle")
        >>> len(found.train), len(found.validation), len(found.held_back)
        (27000, 13000, 2000)
    """
    if rule in _BY_ROWS:
        train_share, validation_share = _BY_ROWS[rule]
        ends = [int(len(labels) * train_share), int(len(labels) * (train_share + validation_share))]
        train, validation, held_back = np.split(np.arange(len(labels)), ends)
    else:
        chosen = [rows[_validating(rule, len(rows))] for rows in _shuffled_by_class(labels)]
        validates = np.zeros(len(labels), dtype=bool)
        validates[np.concatenate([np.empty(0, np.intp), *chosen])] = True
        train, validation, held_back = np.flatnonzero(~validates), np.flatnonzero(validates), np.empty(0, np.intp)
    if not len(train) or not len(validation):
        raise DataError(f"{len(labels)} images are too few for a training and a validation part; use more")
    return Parts(train, validation, held_back)


def common_parts(labels: NDArray[np.uint8], rules: Sequence[str]) -> Parts:
    """Combine the splits of several models, for a fair ensemble or comparison.

    Args:
        labels: uint8, (N,).
        rules: rules of the models, at least one, as for `parts`.

    Returns:
        `train`: rows that any model was trained on; `held_back`: rows that all models held back; `validation`: the
        remaining rows.

    Raises:
        DataError: as `parts`.
        UsageError: as `parts`.

    Example:
        >>> labels = np.arange(100, dtype=np.uint8) % 10
        >>> len(common_parts(labels, ["fold-1-of-2", "fold-2-of-2"]).validation)
        0
    """
    each = [parts(labels, rule) for rule in dict.fromkeys(rules)]
    train = reduce(np.union1d, [one.train for one in each])
    held_back = reduce(np.intersect1d, [one.held_back for one in each])
    return Parts(train, np.setdiff1d(np.arange(len(labels)), np.union1d(train, held_back)), held_back)


def _validating(rule: str, count: int) -> slice:
    """Return the slice of a class's `count` shuffled rows that is the validation part."""
    if rule in SHARES:
        return slice(round(count * SHARES[rule]))
    fold = _FOLD.fullmatch(rule)
    if not fold or not int(fold[1]) <= int(fold[2]) or int(fold[2]) < 2:
        raise UsageError(f"{rule!r} is not a split rule; use one of {', '.join(RULES)}")
    return slice(int(fold[1]) - 1, None, int(fold[2]))


def stratified(labels: NDArray[np.uint8], count: int) -> NDArray[np.intp]:
    """Draw a sample that keeps the class distribution.

    Args:
        labels: uint8, (N,).
        count: approximate number of rows (each class's share is rounded); all N rows if it is larger.

    Returns:
        Sorted row indices.

    Example:
        >>> labels = np.arange(100, dtype=np.uint8) % 10
        >>> np.bincount(labels[stratified(labels, 20)]).tolist()
        [2, 2, 2, 2, 2, 2, 2, 2, 2, 2]
    """
    share = min(1.0, count / max(1, len(labels)))
    chosen = [rows[: round(len(rows) * share)] for rows in _shuffled_by_class(labels)]
    return np.sort(np.concatenate([np.empty(0, dtype=np.intp), *chosen]))


def _shuffled_by_class(labels: NDArray[np.uint8]) -> list[NDArray[np.intp]]:
    rng = np.random.default_rng(SPLIT_SEED)
    return [rng.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels)]
