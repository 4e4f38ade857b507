"""Which images train, validate and are held back, and which calibrate a quantization: drawn once for all."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.errors import DataError, UsageError

#: Not the training's seed: every run and exporter sees the same images on the same side.
SPLIT_SEED = 20_261_121
#: The shares of every class that validate, by the rule's name.
SHARES = {"tenth": 0.1, "fifth": 0.2}
#: The shares of the rows, from the first on, that train and that validate; the rest is held back.
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
    """Sorted row indices, disjoint, together all N.

    Attributes:
        train: rows that are learnt from.
        validation: rows that choose the epoch, the temperature and everything else.
        held_back: rows that no choice sees; empty under most rules, where the test set is another file.
    """

    train: NDArray[np.intp]
    validation: NDArray[np.intp]
    held_back: NDArray[np.intp]


def parts(labels: NDArray[np.uint8], rule: str = "tenth") -> Parts:
    """Part labelled images by a rule.

    Args:
        labels: uint8 (N,).
        rule: "tenth" or "fifth" of every class validates; "last-tenth" or "last-fifth" of the rows, which is what
            Keras's `validation_split` and so the documents take; "kaggle": of 42,000 rows the first 27,000 train,
            13,000 validate and 2,000 are held back, as the documents have it (of another number the same shares);
            "kaggle-38000": of those, 38,000 train and 2,000 validate, and the same 2,000 are held back;
            "fold-I-of-K": the I-th of K equal parts of every class validates.

    Raises:
        DataError: so few images that none would train or none would validate.
        UsageError: no such rule.
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
        raise DataError(f"{len(labels)} images are too few to set some apart for validation; give more")
    return Parts(train, validation, held_back)


def common_parts(labels: NDArray[np.uint8], rules: Sequence[str]) -> Parts:
    """What the rows are to models that were trained together or are compared: fair to all of them.

    Args:
        labels: uint8 (N,).
        rules: of the models, at least one, as `parts` takes them.

    Returns:
        `train`: rows that any model learnt from; `held_back`: rows that all held back; `validation`: the rest.

    Raises:
        DataError, UsageError: as `parts`.
    """
    each = [parts(labels, rule) for rule in dict.fromkeys(rules)]
    train = reduce(np.union1d, [one.train for one in each])
    held_back = reduce(np.intersect1d, [one.held_back for one in each])
    return Parts(train, np.setdiff1d(np.arange(len(labels)), np.union1d(train, held_back)), held_back)


def _validating(rule: str, count: int) -> slice:
    """Which of the `count` shuffled images of a class validate."""
    if rule in SHARES:
        return slice(round(count * SHARES[rule]))
    fold = _FOLD.fullmatch(rule)
    if not fold or not int(fold[1]) <= int(fold[2]) or int(fold[2]) < 2:
        raise UsageError(f"{rule!r} parts no data; there are: {', '.join(RULES)}")
    return slice(int(fold[1]) - 1, None, int(fold[2]))


def stratified(labels: NDArray[np.uint8], count: int) -> NDArray[np.intp]:
    """Rows of a small sample in which every class has its share.

    Args:
        labels: uint8 (N,).
        count: how many rows are wanted, as nearly as whole shares allow; all N where it is larger.

    Returns:
        Sorted row indices.
    """
    share = min(1.0, count / max(1, len(labels)))
    chosen = [rows[: round(len(rows) * share)] for rows in _shuffled_by_class(labels)]
    return np.sort(np.concatenate([np.empty(0, dtype=np.intp), *chosen]))


def _shuffled_by_class(labels: NDArray[np.uint8]) -> list[NDArray[np.intp]]:
    rng = np.random.default_rng(SPLIT_SEED)
    return [rng.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels)]
