import numpy as np
import pytest

from digits_edge.runtime.checks.parity import compare, shortfalls

REFERENCE = np.array([[0.9, 0.1], [0.52, 0.48], [0.2, 0.8]], np.float32)


def test_same_answers_pass_every_gate():
    parity = compare(REFERENCE, REFERENCE)
    assert (parity.images, parity.max_difference, parity.changed, parity.clear) == (3, 0, 0, 2)
    for precision in ("fp32", "fp16", "int8"):
        assert shortfalls(parity, precision) == []


def test_changed_answer_is_clear_only_where_the_reference_is():
    wavering = compare(REFERENCE, REFERENCE[:, ::-1].copy() * [[0], [1], [0]] + REFERENCE * [[1], [0], [1]])
    assert (wavering.changed, wavering.changed_clear) == (1, 0)
    assert shortfalls(wavering, "int8") == []
    assert any("changed answers" in line for line in shortfalls(wavering, "fp32"))


def test_changed_clear_answer_fails_fp16_and_int8():
    parity = compare(REFERENCE, REFERENCE[:, ::-1])
    assert parity.changed_clear == 2
    for precision in ("fp16", "int8"):
        assert any("clear" in line for line in shortfalls(parity, precision))


@pytest.mark.parametrize(
    ("precision", "said"),
    [
        ("fp32", ["largest difference of a probability 0.8 > 1e-05", "changed answers 3 > 0"]),
        ("fp16", ["largest difference of a probability 0.8 > 0.01", "changed clear answers 2 > 0"]),
        ("int8", ["changed clear answers 2 > 0", "errors 3 > 0.0015"]),
    ],
)
def test_what_falls_short_is_named_with_its_limit(precision, said):
    parity = compare(REFERENCE, REFERENCE[:, ::-1], np.array([0, 0, 1]))
    assert shortfalls(parity, precision) == said


def test_not_a_number_is_as_far_away_as_can_be():
    answers = REFERENCE.copy()
    answers[0, 1] = np.nan
    for precision in ("fp32", "fp16"):
        assert any("difference" in line for line in shortfalls(compare(REFERENCE, answers), precision))


@pytest.mark.parametrize(("errors", "passes"), [(110, True), (111, False)])
def test_int8_may_cost_a_twentieth_and_half_a_thousandth(errors, passes):
    images, keras_errors = 10_000, 100
    labels = np.zeros(images, np.uint8)
    reference, answers = (np.tile(np.float32([0.52, 0.48]), (images, 1)) for _ in range(2))
    reference[:keras_errors] = answers[:errors] = [0.48, 0.52]
    assert (shortfalls(compare(reference, answers, labels), "int8") == []) is passes
