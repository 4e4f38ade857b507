import pytest

from digits_edge.runtime.checks.accuracy import Accuracy


def test_wilson_interval_equals_the_published_one():
    # Wilson's interval for 1 of 10 at 95 %, as in Newcombe (1998)
    low, high = Accuracy(errors=9, images=10).interval()
    assert (low, high) == (pytest.approx(0.0179, abs=1e-4), pytest.approx(0.4042, abs=1e-4))


def test_interval_is_between_0_and_1():
    assert Accuracy(0, 5).interval()[1] == pytest.approx(1)
    assert Accuracy(5, 5).interval()[0] == pytest.approx(0)


def test_value_is_the_share_of_correct_predictions():
    assert Accuracy(errors=25, images=10_000).value == 0.9975
