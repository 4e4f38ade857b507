"""`endurance.processors` on this machine, with few images; the nightly workflow runs it on emulated processors."""

import math
from dataclasses import replace

import numpy as np
import pytest

from digits_edge.runtime.model.bundled import bundled_models
from endurance import processors
from endurance.answers import Answers, of_images

COUNT = 5


@pytest.fixture(scope="module")
def checked(data_folder, tmp_path_factory):
    """Results on this machine and references of a classifier and a sequence model."""
    models = [model for model in bundled_models() if model.name in ("edge-int8", "number-int8")]
    folder = tmp_path_factory.mktemp("processors")
    results, references = processors._check([], models, COUNT, str(data_folder), folder, folder, exact=False)
    return results[processors.NATIVE], references


def test_models_of_both_kinds_hold_on_this_machine(checked):
    results, references = checked
    assert {name: (found.changed, found.problems) for name, found in results.items()} == {
        "edge-int8": (0, []),
        "number-int8": (0, []),
    }
    for name, reference in references.items():
        assert len(reference.answers.texts) == len(reference.texts) == COUNT, name
    assert references["number-int8"].prepared != references["edge-int8"].prepared


def test_another_answer_is_a_problem(checked):
    _, references = checked
    for name, reference in references.items():
        clear = int(np.argmax(reference.answers.margins))
        texts = [*reference.answers.texts]
        texts[clear] += "?"
        found = processors.Findings(name, [], {}, reference.prepared, replace(reference.answers, texts=texts))
        compared = processors._compared(found, reference)
        assert (compared.changed, compared.problems) == (1, [f"1 of {COUNT} answers changed, though clear"])


def test_answers_that_are_almost_equally_probable_may_change():
    expected = of_images(np.array([[0.504, 0.496], [0.9, 0.1]]), "ab")
    assert of_images(np.array([[0.496, 0.504], [0.9, 0.1]]), "ab").changed(expected) == 0
    assert of_images(np.array([[0.504, 0.496], [0.4, 0.6]]), "ab").changed(expected) == 1


def test_a_probability_that_is_not_a_number_differs_infinitely():
    expected = Answers(["a"], [1.0], [1.0, 0.0])
    assert replace(expected, probabilities=[math.nan, 0.0]).difference(expected) == math.inf
