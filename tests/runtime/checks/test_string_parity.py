"""Tests of `digits_edge.runtime.checks.string_parity`."""

import numpy as np

from digits_edge.runtime.checks.string_parity import StringParity, compare_strings, string_shortfalls

LABELS = "17"


def line(*classes: int, certainty: float = 0.98) -> np.ndarray:
    columns = np.full((len(classes), 3), (1 - certainty) / 2, np.float32)
    columns[np.arange(len(classes)), classes] = certainty
    return columns


def test_changed_strings_are_counted_with_the_confident_ones() -> None:
    reference = [line(0, 2, 1), line(0, 2, 1, certainty=0.6), line(2, 2, 2)]
    found = [line(0, 2, 0), line(0, 2, 0), line(2, 2, 2)]
    parity = compare_strings(reference, found, LABELS, ["17", "11", ""])
    assert (parity.lines, parity.changed, parity.confident, parity.changed_confident) == (3, 2, 2, 1)
    assert (parity.errors, parity.reference_errors) == (1, 1)
    assert parity.max_difference > 0.9


def test_shifted_columns_with_the_same_string_are_no_change() -> None:
    parity = compare_strings([line(0, 0, 2, 1)], [line(2, 0, 1, 1)], LABELS)
    assert parity.changed == 0
    assert parity.errors is None


def test_limits_of_the_precisions() -> None:
    good = StringParity(1000, 1e-5, 0, 900, 0, 50, 50)
    assert all(not string_shortfalls(good, precision) for precision in ("fp32", "fp16", "int8"))
    confident = StringParity(1000, 1e-5, 1, 900, 1, 50, 50)
    assert all(string_shortfalls(confident, precision) for precision in ("fp32", "fp16", "int8"))
    worse = StringParity(1000, 0.5, 9, 900, 0, 56, 50)
    assert string_shortfalls(worse, "int8") == ["errors 56 > 55"]
    assert string_shortfalls(worse, "fp32") == ["largest difference of a probability 0.5 > 0.001"]
    broken = StringParity(10, float("inf"), 0, 9, 0, 1, 1)
    assert string_shortfalls(broken, "fp32")
