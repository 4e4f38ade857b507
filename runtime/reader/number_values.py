"""Texts that show the same number: `value_of`, and `by_value`, which adds up their probabilities."""

import re
from collections.abc import Sequence

from digits_edge.runtime.reader.search import Hypothesis

#: A point or comma with one or two digits after it, at the end of the number.
_DECIMALS = re.compile(r"[.,](\d{1,2})$")
_BEFORE, _AFTER = re.compile(r"^\D+"), re.compile(r"\D+$")


def value_of(text: str) -> str:
    """The digits of a text, with a point before one or two decimals; other separators do not change the number.

    Example:
        >>> [value_of(text) for text in ("50000", "50.000.-", "$ 50,000", "500.00", "12-05-2026")]
        ['50000', '50000', '50000', '500.00', '12052026']
    """
    number = _AFTER.sub("", _BEFORE.sub("", text))
    decimals = _DECIMALS.search(number)
    digits = "".join(filter(str.isdecimal, number))
    return f"{digits[: -len(decimals[1])]}.{decimals[1]}" if decimals else digits


def by_value(readings: Sequence[Sequence[Hypothesis]]) -> list[Hypothesis]:
    """The numbers of one or several readings of a line, the most probable first.

    Args:
        readings: the strings of each reading.

    Returns:
        For each value, the most probable text with the probability of all its texts, on average over the readings.

    Example:
        >>> texts = [Hypothesis("5000-", 0.4), Hypothesis("500", 0.35), Hypothesis("5000", 0.2)]
        >>> [(each.text, round(each.confidence, 2)) for each in by_value([texts])]
        [('5000-', 0.6), ('500', 0.35)]
    """
    texts: dict[str, dict[str, float]] = {}
    for numbers in readings:
        for number in numbers:
            same = texts.setdefault(value_of(number.text), {})
            same[number.text] = same.get(number.text, 0.0) + number.confidence / len(readings)
    found = [
        Hypothesis(max(same, key=lambda text: same[text]), min(1.0, sum(same.values()))) for same in texts.values()
    ]
    return sorted(found, key=lambda number: -number.confidence)
