"""Temperature scaling."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from digits_edge.export.temperature import fit_temperature, softmax


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_temperature_that_generated_the_labels_is_found(temperature: float) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (10_000, 10))
    probabilities = softmax(logits, temperature)
    labels = (probabilities.cumsum(axis=1) > rng.random((len(logits), 1))).argmax(axis=1).astype(np.uint8)
    assert fit_temperature(logits, labels) == pytest.approx(temperature, rel=0.03)


def test_no_temperature_if_all_images_are_classified_correctly() -> None:
    assert fit_temperature(np.eye(10)[np.arange(50) % 10] * 3, (np.arange(50) % 10).astype(np.uint8)) is None


@given(hnp.arrays(np.float32, (4, 10), elements=st.floats(-1e4, 1e4, width=32)), st.floats(0.2, 5))
def test_softmax_gives_probabilities_for_any_logits(logits: np.ndarray, temperature: float) -> None:
    probabilities = softmax(logits, temperature)
    assert probabilities.dtype == np.float32
    assert (probabilities >= 0).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    # the largest logit has the largest probability
    largest = probabilities[np.arange(4), logits.argmax(axis=1)]
    np.testing.assert_array_equal(largest, probabilities.max(axis=1))
