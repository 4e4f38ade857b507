"""Tests of `digits_edge.train.evaluation.string_evaluation`."""

import pytest

from digits_edge.runtime.errors import DataError
from digits_edge.train.evaluation.string_evaluation import ReadLine, align, distance, evaluate_strings


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("", "", 0),
        ("12", "", 2),
        ("", "12", 2),
        ("1250", "1250", 0),
        ("1250", "150", 1),
        ("109", "1019", 1),
        ("71", "17", 2),
    ],
)
def test_edit_distance(one: str, other: str, expected: int) -> None:
    assert distance(one, other) == expected
    first, second = align(one, other)
    assert len(first) == len(second)
    assert first.replace("–", "") == one
    assert second.replace("–", "") == other
    assert sum(a != b for a, b in zip(first, second, strict=True)) == expected


def test_coverage_counts_the_most_confident_lines() -> None:
    lines = [ReadLine("1", "1", 1 - row / 1000) for row in range(150)]
    lines += [ReadLine("1", "7", 0.5), ReadLine("1", "1", 0.4), ReadLine("1", "2", 0.3)]
    found = evaluate_strings(lines)
    assert found.errors == 2
    assert found.half_precision == 1
    # one error of 152 is below 1 %, two of 153 are not
    assert found.coverage == pytest.approx(152 / 153)
    assert found.curve[-1] == (1.0, pytest.approx(151 / 153))


def test_lines_without_a_number_are_counted_apart() -> None:
    lines = [ReadLine("12", "12", 0.9), ReadLine("", "", 0.9), ReadLine("", "-", 0.5), ReadLine("", "1", 0.5)]
    found = evaluate_strings(lines)
    assert (found.lines, found.errors, found.empty, found.empty_errors) == (1, 0, 3, 1)
    with pytest.raises(DataError, match="no lines with a number"):
        evaluate_strings(lines[1:])
