import numpy as np
import pytest

from digits_edge.runtime.checks.parity import compare, shortfalls

REFERENCE = np.array([[0.9, 0.1], [0.52, 0.48], [0.2, 0.8]], np.float32)


def test_equal_predictions_pass_every_gate():
    parity = compare(REFERENCE, REFERENCE)
    assert (parity.images, parity.max_difference, parity.changed, parity.clear) == (3, 0, 0, 2)
    for precision in ("fp32", "fp16", "int8"):
        assert shortfalls(parity, precision) == []


def test_changed_prediction_counts_as_clear_if_the_reference_is_clear():
    changed = compare(REFERENCE, REFERENCE[:, ::-1].copy() * [[0], [1], [0]] + REFERENCE * [[1], [0], [1]])
    assert (changed.changed, changed.changed_clear) == (1, 0)
    assert shortfalls(changed, "int8") == []
    assert any("changed predictions" in line for line in shortfalls(changed, "fp32"))


def test_changed_clear_prediction_fails_fp16_and_int8():
    parity = compare(REFERENCE, REFERENCE[:, ::-1])
    assert parity.changed_clear == 2
    for precision in ("fp16", "int8"):
        assert any("clear" in line for line in shortfalls(parity, precision))


@pytest.mark.parametrize(
    ("precision", "expected"),
    [
        ("fp32", ["largest difference of a probability 0.8 > 1e-05", "changed predictions 3 > 0"]),
        ("fp16", ["largest difference of a probability 0.8 > 0.01", "changed clear predictions 2 > 0"]),
        ("int8", ["changed clear predictions 2 > 0", "errors 3 > 0.0015"]),
    ],
)
def test_shortfalls_name_value_and_limit(precision, expected):
    parity = compare(REFERENCE, REFERENCE[:, ::-1], np.array([0, 0, 1]))
    assert shortfalls(parity, precision) == expected


def test_nan_exceeds_every_limit():
    predicted = REFERENCE.copy()
    predicted[0, 1] = np.nan
    for precision in ("fp32", "fp16"):
        assert any("difference" in line for line in shortfalls(compare(REFERENCE, predicted), precision))


@pytest.mark.parametrize(("errors", "passes"), [(110, True), (111, False)])
def test_int8_may_add_5_percent_errors_and_5_per_10000_images(errors, passes):
    images, keras_errors = 10_000, 100
    labels = np.zeros(images, np.uint8)
    reference, predicted = (np.tile(np.float32([0.52, 0.48]), (images, 1)) for _ in range(2))
    reference[:keras_errors] = predicted[:errors] = [0.48, 0.52]
    assert (shortfalls(compare(reference, predicted, labels), "int8") == []) is passes
