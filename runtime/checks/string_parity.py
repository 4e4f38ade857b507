"""Comparison of the strings of a sequence model with reference strings (of Keras), and the limits of each precision."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.model.model_file import Precision
from digits_edge.runtime.reader.best_path import best_path, log_probability

#: A string is confident if its probability is at least this.
CONFIDENT = 0.9
#: Additional share of wrong strings that int8 may have.
MAX_ADDITIONAL_ERRORS = 0.005
#: Largest allowed difference of a probability in fp32: kernels differ in the last bits.
_MAX_DIFFERENCE_FP32 = 1e-3

Columns = NDArray[np.float32]


@dataclass(frozen=True)
class StringParity:
    """A comparison of the strings of lines with reference strings.

    Attributes:
        lines: number of compared lines.
        max_difference: largest difference of a probability in a column; infinity if one is NaN.
        changed: number of lines with another string.
        confident: number of lines on which the reference is confident (`CONFIDENT`).
        changed_confident: number of those with another string.
        errors: number of wrong strings of the model; None without texts.
        reference_errors: number of wrong strings of the reference; None without texts.
    """

    lines: int
    max_difference: float
    changed: int
    confident: int
    changed_confident: int
    errors: int | None = None
    reference_errors: int | None = None


def confidence(columns: Columns, labels: Sequence[str], text: str) -> float:
    """The probability of a string, given the columns of its line, 0 to 1.

    Example:
        >>> round(confidence(np.array([[0.9, 0.1]], np.float32), "1", "1"), 2)
        0.9
    """
    return float(np.exp(log_probability(columns, labels, text)))


def compare_strings(
    reference: Sequence[Columns],
    columns: Sequence[Columns],
    labels: Sequence[str],
    texts: Sequence[str] | None = None,
) -> StringParity:
    """Compare the columns of lines, and their strings on the best path, with reference columns.

    Args:
        reference: float32 (T, K + 1) for each line, at least one.
        columns: float32 (T, K + 1) for each line.
        labels: the K characters.
        texts: the true texts, if known.

    Example:
        >>> one = np.array([[0.95, 0.01, 0.04]], np.float32)
        >>> compare_strings([one], [one[:, ::-1]], "17", ["1"]).changed_confident
        1
    """
    expected = [best_path(each, labels) for each in reference]
    found = [best_path(each, labels) for each in columns]
    is_changed = np.array([one != other for one, other in zip(found, expected, strict=True)])
    pairs = zip(reference, expected, strict=True)
    is_confident = np.array([confidence(each, labels, text) >= CONFIDENT for each, text in pairs])
    differences = [np.abs(one - other).max() for one, other in zip(columns, reference, strict=True)]
    return StringParity(
        lines=len(expected),
        max_difference=float(np.nan_to_num(np.array(differences), nan=np.inf).max()),
        changed=int(is_changed.sum()),
        confident=int(is_confident.sum()),
        changed_confident=int((is_changed & is_confident).sum()),
        errors=None if texts is None else sum(one != text for one, text in zip(found, texts, strict=True)),
        reference_errors=None if texts is None else sum(one != text for one, text in zip(expected, texts, strict=True)),
    )


def string_shortfalls(parity: StringParity, precision: Precision) -> list[str]:
    """Violated limits of a precision, one line each; empty if the model passes.

    No precision may change a confident string. fp32 must equal Keras except for rounding, and int8 must not
    have more than an additional 0.5 % of wrong strings.

    Example:
        >>> string_shortfalls(StringParity(100, 1e-6, 0, 90, 0, 5, 5), "fp32")
        []
        >>> string_shortfalls(StringParity(100, 0.2, 3, 90, 0, 6, 5), "int8")
        ['errors 6 > 5.5']
    """
    limits: list[tuple[str, float, float]] = [("changed confident strings", parity.changed_confident, 0)]
    if precision == "fp32":
        limits.append(("largest difference of a probability", parity.max_difference, _MAX_DIFFERENCE_FP32))
    elif parity.errors is not None and parity.reference_errors is not None:
        limits.append(("errors", parity.errors, parity.reference_errors + MAX_ADDITIONAL_ERRORS * parity.lines))
    # `not <=` instead of `>`: a NaN exceeds every limit
    return [f"{name} {value:g} > {limit:g}" for name, value, limit in limits if not value <= limit]
