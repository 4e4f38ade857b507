import json
from dataclasses import replace

import numpy as np
import pytest

from digits_edge.runtime.checks.verify import BATCH_SIZES, Reference, verify
from digits_edge.runtime.classifier import Classifier
from digits_edge.runtime.datasets import Dataset
from digits_edge.runtime.errors import DataError, ModelError
from digits_edge.runtime.model.golden import GoldenValues


def dataset(squares, *, wrong: int = 0, count: int = 1000) -> Dataset:
    labels = (np.arange(count) % 10).astype(np.uint8)
    labels[:wrong] = (labels[:wrong] + 1) % 10
    return Dataset("squares", np.resize(squares, (count, 28, 28)), labels, tuple("0123456789"), "ours", "5a5a")


def test_correct_model_passes(classifier):
    found = verify(classifier)
    assert found.holds
    assert (found.model, found.provider, found.threads) == ("squares-fp32", "cpu", 1)
    assert found.golden.max_difference < 1e-6
    assert found.batch_sizes == BATCH_SIZES == (1, 2, 7, 64, 1000)
    assert found.accuracy is found.recorded is found.parity is None


def test_probability_outside_the_tolerance_is_a_problem(make_model, squares, keras_probabilities):
    probabilities = keras_probabilities(squares) + np.float32([1e-3] + [0] * 9)
    found = verify(Classifier(make_model(golden=GoldenValues(squares, probabilities, 1e-4)), provider="cpu"))
    assert not found.holds
    assert [line for line in found.problems if "golden probability" in line]


def test_changed_golden_prediction_is_a_problem_with_any_tolerance(make_model, squares, keras_probabilities):
    probabilities = np.roll(keras_probabilities(squares), 1, axis=1)
    found = verify(Classifier(make_model(golden=GoldenValues(squares, probabilities, 1.0)), provider="cpu"))
    assert [line for line in found.problems if "changed clear golden predictions 10" in line]


@pytest.mark.parametrize(("apart", "holds"), [(1e-3, True), (4e-3, False)])
def test_difference_from_exact_arithmetic_is_a_problem(make_model, squares, keras_probabilities, apart, holds):
    keras = keras_probabilities(squares)
    exact = np.clip(keras - np.float32([apart] + [0] * 9), 0, 1)
    golden = GoldenValues(squares, keras, 0.1, np.where(exact == 0, apart, exact), 0.002)
    found = verify(Classifier(make_model(golden=golden), provider="cpu"))
    assert found.exact_difference == pytest.approx(apart, abs=1e-4)
    assert found.holds is holds
    assert holds or "exact arithmetic" in found.problems[0]


def test_model_without_exact_probabilities_is_not_compared_with_them(classifier):
    found = verify(classifier)
    assert found.exact_difference is None
    assert found.overflow_free is None


def test_errors_are_counted_on_a_data_set(classifier, squares):
    found = verify(classifier, dataset=dataset(squares, wrong=30))
    assert (found.accuracy.errors, found.accuracy.images) == (30, 1000)
    assert found.holds
    assert found.recorded is None


@pytest.mark.parametrize(
    ("precision", "wrong", "holds"), [("fp32", 3, True), ("fp32", 4, False), ("int8", 3, True), ("int8", 4, False)]
)
def test_more_errors_than_at_export_are_a_problem(make_model, metadata, squares, precision, wrong, holds):
    exported = {"errors": 2, "images": 10_000, "sha256": "5a5a"}
    path = make_model(metadata=replace(metadata, precision=precision, test=exported))
    found = verify(Classifier(path, provider="cpu"), dataset=dataset(squares, wrong=wrong, count=10_000))
    assert found.holds is holds


def test_errors_on_other_data_are_not_a_problem(make_model, metadata, squares):
    path = make_model(metadata=replace(metadata, test={"errors": 0, "images": 1000, "sha256": "other"}))
    assert verify(Classifier(path, provider="cpu"), dataset=dataset(squares, wrong=900)).holds


def test_data_set_without_labels_is_rejected(classifier, squares):
    with pytest.raises(DataError, match="no labels"):
        verify(classifier, dataset=replace(dataset(squares), labels=None))


def test_empty_data_set_is_rejected(classifier, squares):
    with pytest.raises(DataError, match="no images"):
        verify(classifier, dataset=dataset(squares, count=0))


def test_reference_is_compared_by_the_limits_of_the_precision(classifier, squares, keras_probabilities):
    right = keras_probabilities(squares)
    assert verify(classifier, reference=Reference(squares, right)).holds
    found = verify(classifier, reference=Reference(squares, right + np.float32(2e-5)))
    assert not found.holds
    assert found.parity.changed == 0


def test_verification_is_serializable(classifier, squares, keras_probabilities):
    reference = Reference(squares, keras_probabilities(squares), np.arange(10, dtype=np.uint8))
    found = verify(classifier, dataset=dataset(squares), reference=reference)
    values = json.loads(json.dumps(found.to_json()))
    assert values["holds"] is True
    assert values["accuracy"]["value"] == 1
    assert len(values["accuracy"]["interval"]) == 2
    assert values["parity"]["reference_errors"] == 0


def test_model_passes_with_openvino(model_path):
    try:
        classifier = Classifier(model_path, provider="openvino")
    except ModelError as error:
        pytest.skip(str(error))
    found = verify(classifier)
    assert found.provider == "openvino"
    assert found.holds, found.problems
