"""The string of the most probable classes of the columns of a line: `best_path`, and the probability of a string."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

#: Probabilities are bounded by this, because zeros have no logarithm.
_TINY = 1e-12


def best_path(columns: NDArray[np.floating], labels: Sequence[str]) -> str:
    """Read the most probable class of each column: repeated classes are one character, blanks are none.

    Args:
        columns: float (T, K + 1), probabilities or logits of the K labels and of the blank, which is last.
        labels: the K characters.

    Example:
        >>> best_path(np.array([[0.6, 0.1, 0.3], [0.6, 0.1, 0.3], [0.1, 0.1, 0.8], [0.6, 0.1, 0.3]]), "17")
        '11'
    """
    best = columns.argmax(axis=1)
    return "".join(labels[place] for place in best[character_starts(best, len(labels))])


def character_starts(classes: NDArray[np.intp], blank: int) -> NDArray[np.bool_]:
    """Whether a character begins in each column: its class is not the blank, and not that of the column before.

    Args:
        classes: int (T,), one class for each column.
        blank: class of the blank.

    Example:
        >>> character_starts(np.array([0, 0, 2, 0, 1]), 2).tolist()
        [True, False, False, True, True]
    """
    return np.asarray(np.append(True, np.diff(classes) != 0) & (classes != blank), np.bool_)


def log_probability(columns: NDArray[np.floating], labels: Sequence[str], text: str) -> float:
    """The logarithm of a string's probability: the sum over all its alignments (Graves et al. 2006).

    Args:
        columns: float (T, K + 1), probabilities; rows sum to 1.
        labels: the K characters.
        text: characters of `labels`.

    Returns:
        -inf if the string has more characters than fit.

    Example:
        >>> columns = np.array([[0.6, 0.1, 0.3], [0.1, 0.1, 0.8], [0.3, 0.6, 0.1]])
        >>> round(float(np.exp(log_probability(columns, "17", "17"))), 2)
        0.38
    """
    blank = len(labels)
    classes = np.full(2 * len(text) + 1, blank)
    classes[1::2] = [labels.index(character) for character in text]
    may_skip = np.zeros(len(classes), np.bool_)
    may_skip[3::2] = classes[3::2] != classes[1:-2:2]
    steps = np.log(np.maximum(columns[:, classes].astype(np.float64), _TINY))
    scores = np.full(len(classes), -np.inf)
    scores[:2] = steps[0, :2]
    for step in steps[1:]:
        one = np.append(-np.inf, scores[:-1])
        two = np.where(may_skip, np.concatenate([[-np.inf, -np.inf], scores])[: len(classes)], -np.inf)
        scores = np.logaddexp(np.logaddexp(scores, one), two) + step
    return float(np.logaddexp.reduce(scores[-2:]))
