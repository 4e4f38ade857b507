"""Metrics of strings that a sequence model read: `evaluate_strings`, and the alignment of two strings, `align`."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from digits_edge.runtime.checks.accuracy import Accuracy
from digits_edge.runtime.errors import DataError

#: Stands for a missing character in an alignment.
GAP = "–"
#: Precision at which the coverage is reported.
PRECISION = 0.99


@dataclass(frozen=True)
class ReadLine:
    """A line and what a model read.

    Attributes:
        truth: the true text; empty without a number.
        text: the text that was read.
        confidence: probability of the text, 0 to 1.
    """

    truth: str
    text: str
    confidence: float


@dataclass(frozen=True)
class StringEvaluation:
    """Metrics of the strings of lines.

    Attributes:
        lines: number of lines with a number.
        errors: number of those whose string is wrong.
        digit_errors: substituted, missing and additional digits.
        digits: number of true digits.
        half_precision: share of right strings among the more confident half.
        coverage: largest share of the lines that can be accepted with a precision of 99 %.
        curve: pairs of coverage and precision, from the most confident line to all.
        empty: number of lines without a number.
        empty_errors: number of those on which digits were read.
    """

    lines: int
    errors: int
    digit_errors: int
    digits: int
    half_precision: float
    coverage: float
    curve: tuple[tuple[float, float], ...]
    empty: int
    empty_errors: int

    @property
    def accuracy(self) -> Accuracy:
        """Share of right strings."""
        return Accuracy(self.errors, self.lines)

    @property
    def digit_error_rate(self) -> float:
        """Digit errors divided by the number of true digits."""
        return self.digit_errors / max(1, self.digits)

    def to_json(self) -> dict[str, Any]:
        """Convert to values that can be serialized as JSON."""
        accuracy = {"accuracy": self.accuracy.value, "interval": self.accuracy.interval()}
        return {**asdict(self), **accuracy, "digit_error_rate": self.digit_error_rate}


def evaluate_strings(lines: Sequence[ReadLine], *, digits_only: bool = False) -> StringEvaluation:
    """Compute the metrics.

    Args:
        lines: what was read, at least one line with a number.
        digits_only: compare the digits only, for texts without separators.

    Raises:
        DataError: no line has a number.

    Example:
        >>> lines = [ReadLine("120", "120", 0.9), ReadLine("7.5", "7,5", 0.8), ReadLine("", "1", 0.2)]
        >>> found = evaluate_strings(lines)
        >>> found.errors, found.digit_errors, found.digits, found.empty_errors
        (1, 0, 5, 1)
        >>> evaluate_strings(lines, digits_only=True).errors
        0
    """
    numbers = sorted((line for line in lines if line.truth), key=lambda line: -line.confidence)
    if not numbers:
        raise DataError("the data has no lines with a number; use other data")
    shown = digits_of if digits_only else str
    is_right = np.array([shown(line.truth) == shown(line.text) for line in numbers])
    precision = np.cumsum(is_right) / np.arange(1, len(numbers) + 1)
    enough = np.flatnonzero(precision >= PRECISION)
    empty = [line for line in lines if not line.truth]
    return StringEvaluation(
        lines=len(numbers),
        errors=int((~is_right).sum()),
        digit_errors=sum(distance(digits_of(line.truth), digits_of(line.text)) for line in numbers),
        digits=sum(len(digits_of(line.truth)) for line in numbers),
        half_precision=float(precision[(len(numbers) - 1) // 2]),
        coverage=float(enough[-1] + 1) / len(numbers) if len(enough) else 0.0,
        curve=tuple(((row + 1) / len(numbers), float(value)) for row, value in enumerate(precision)),
        empty=len(empty),
        empty_errors=sum(bool(digits_of(line.text)) for line in empty),
    )


def digits_of(text: str) -> str:
    """The digits of a text.

    Example:
        >>> digits_of("1.250,-")
        '1250'
    """
    return "".join(each for each in text if each.isdigit())


def distance(one: str, other: str) -> int:
    """The edit distance (Levenshtein 1966): the smallest number of substituted, missing and additional characters.

    Example:
        >>> distance("1250", "120"), distance("7", "1")
        (1, 1)
    """
    return int(_distances(one, other)[-1, -1])


def align(truth: str, text: str) -> tuple[str, str]:
    """Align two strings of the smallest edit distance; missing characters are dashes.

    Example:
        >>> align("1250", "150")
        ('1250', '1–50')
    """
    table = _distances(truth, text)
    row, column = len(truth), len(text)
    pairs = []
    while row or column:
        is_missing = row > 0 and table[row, column] == table[row - 1, column] + 1
        is_additional = column > 0 and table[row, column] == table[row, column - 1] + 1
        if row and column and table[row, column] == table[row - 1, column - 1] + (truth[row - 1] != text[column - 1]):
            row, column = row - 1, column - 1
            pairs.append((truth[row], text[column]))
        elif is_missing:
            row -= 1
            pairs.append((truth[row], GAP))
        elif is_additional:
            column -= 1
            pairs.append((GAP, text[column]))
    aligned = pairs[::-1]
    return "".join(one for one, _ in aligned), "".join(other for _, other in aligned)


def _distances(one: str, other: str) -> "np.ndarray[tuple[int, int], np.dtype[np.int64]]":
    table = np.zeros((len(one) + 1, len(other) + 1), np.int64)
    table[:, 0], table[0] = np.arange(len(one) + 1), np.arange(len(other) + 1)
    for row in range(1, len(one) + 1):
        for column in range(1, len(other) + 1):
            substituted = table[row - 1, column - 1] + (one[row - 1] != other[column - 1])
            table[row, column] = min(table[row - 1, column] + 1, table[row, column - 1] + 1, substituted)
    return table
