"""Metrics of an evaluation, on predictions with known metrics."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from digits_edge.runtime.errors import DataError
from digits_edge.train.evaluation.evaluation import BINS, evaluate

NAMES = ("cat", "dog", "owl")
# two wrong predictions: dog for a cat, cat for an owl
LABELS = np.array([0, 0, 0, 1, 1, 2, 2], np.uint8)
PROBABILITIES = np.array(
    [
        [0.9, 0.1, 0.0],
        [0.6, 0.3, 0.1],
        [0.2, 0.7, 0.1],
        [0.1, 0.8, 0.1],
        [0.3, 0.4, 0.3],
        [0.0, 0.0, 1.0],
        [0.5, 0.2, 0.3],
    ],
    np.float32,
)


def test_metrics_equal_those_computed_by_hand():
    found = evaluate(PROBABILITIES, LABELS, NAMES)
    assert (found.accuracy.errors, found.accuracy.images) == (2, 7)
    assert found.confusion == ((2, 1, 0), (0, 2, 0), (1, 0, 1))
    cat, dog, owl = found.classes
    assert (cat.scores.precision, cat.scores.recall) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert (dog.scores.precision, dog.scores.recall, dog.support) == (pytest.approx(2 / 3), 1.0, 2)
    assert (owl.scores.precision, owl.scores.recall, owl.scores.f1) == (1.0, 0.5, pytest.approx(2 / 3))
    assert (cat.taken_for, dog.taken_for, owl.taken_for) == ((("dog", 1),), (), (("cat", 1),))
    assert found.macro.recall == pytest.approx((2 / 3 + 1 + 1 / 2) / 3)
    assert found.weighted.recall == pytest.approx(5 / 7)
    truth = [0.9, 0.6, 0.2, 0.8, 0.4, 1.0, 0.3]
    assert found.log_loss == pytest.approx(-np.mean(np.log(truth)), abs=1e-6)


def test_roc_auc_is_the_share_of_correctly_ordered_pairs():
    """The probabilistic definition of ROC AUC, computed pair by pair."""
    column = PROBABILITIES[:, 0]
    pairs = [(a > b) + 0.5 * (a == b) for a in column[LABELS == 0] for b in column[LABELS != 0]]
    assert evaluate(PROBABILITIES, LABELS, NAMES).classes[0].roc_auc == pytest.approx(np.mean(pairs))


def test_calibration_error_is_the_difference_of_confidence_and_accuracy():
    """One bin with four predictions of confidence 75 %, two of them correct: an error of 0.25."""
    probabilities = np.tile(np.array([[0.75, 0.25]], np.float32), (4, 1))
    found = evaluate(probabilities, np.array([0, 0, 1, 1], np.uint8), ("a", "b"))
    assert found.calibration_error == pytest.approx(0.25)
    [filled] = [one for one in found.bins if one.images]
    assert (filled.images, filled.accuracy) == (4, 0.5)
    assert filled.low < 0.75 <= filled.high
    assert len(found.bins) == BINS == 15


def test_confidence_of_1_is_in_the_last_bin():
    found = evaluate(np.eye(3, dtype=np.float32), np.array([0, 1, 2], np.uint8), NAMES)
    assert [one.images for one in found.bins] == [0] * (BINS - 1) + [3]
    assert (found.calibration_error, found.roc_auc, found.accuracy.errors) == (0.0, 1.0, 0)


def test_class_without_images_has_no_metrics_and_does_not_affect_averages():
    found = evaluate(PROBABILITIES[:5], LABELS[:5], NAMES)
    owl = found.classes[2]
    assert (owl.support, owl.scores.recall, owl.roc_auc) == (0, None, None)
    assert found.macro.recall == pytest.approx((2 / 3 + 1) / 2)
    one_class = evaluate(PROBABILITIES[:3], LABELS[:3], NAMES)
    assert one_class.roc_auc is None
    assert json.loads(json.dumps(one_class.to_json()))["roc_auc"] is None


def test_json_has_short_names():
    values = json.loads(json.dumps(evaluate(PROBABILITIES, LABELS, NAMES).to_json()))
    assert (values["errors"], values["images"], values["accuracy"]) == (2, 7, pytest.approx(5 / 7))
    assert values["interval"][0] < 5 / 7 < values["interval"][1]
    assert values["confusion"] == [[2, 1, 0], [0, 2, 0], [1, 0, 1]]
    assert values["classes"][1]["name"] == "dog" and values["classes"][1]["recall"] == 1.0
    assert len(values["bins"]) == BINS


@pytest.mark.parametrize(
    ("probabilities", "labels", "message"),
    [
        (PROBABILITIES[:0], LABELS[:0], "no labelled images"),
        (PROBABILITIES, LABELS + 1, "label 3, but the model has 3 classes"),
        (np.where(np.arange(7)[:, None] == 4, np.nan, PROBABILITIES), LABELS, "image 4: the prediction is not finite"),
    ],
)
def test_invalid_input_is_refused(probabilities, labels, message):
    with pytest.raises(DataError, match=message):
        evaluate(probabilities, labels, NAMES)


@settings(max_examples=40)
@given(
    logits=hnp.arrays(np.float64, st.tuples(st.integers(1, 30), st.just(4)), elements=st.floats(-30, 30)),
    seed=st.integers(0, 99),
)
def test_metrics_are_in_range_and_bins_contain_every_image(logits, seed):
    labels = np.random.default_rng(seed).integers(0, 4, len(logits)).astype(np.uint8)
    probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = (probabilities / probabilities.sum(axis=1, keepdims=True)).astype(np.float32)
    found = evaluate(probabilities, labels, tuple("abcd"))
    assert sum(one.images for one in found.bins) == len(labels)
    assert 0 <= found.calibration_error <= 1
    assert math.isfinite(found.log_loss) and found.log_loss >= 0
    assert found.roc_auc is None or 0 <= found.roc_auc <= 1
    assert sum(map(sum, found.confusion)) == len(labels)
