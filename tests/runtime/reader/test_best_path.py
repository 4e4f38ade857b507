"""Tests of `digits_edge.runtime.reader.best_path`."""

from itertools import product

import numpy as np

from digits_edge.runtime.reader.best_path import best_path, log_probability

LABELS = "017"


def columns(count: int, seed: int = 0) -> np.ndarray:
    exponential = np.exp(np.random.default_rng(seed).normal(0, 1.5, (count, len(LABELS) + 1)))
    return exponential / exponential.sum(axis=1, keepdims=True)


def read(path: tuple[int, ...]) -> str:
    one_hot = np.eye(len(LABELS) + 1)[list(path)]
    return best_path(one_hot, LABELS)


def test_repeated_classes_are_one_character_and_blanks_separate() -> None:
    assert read((3, 1, 1, 3, 1, 2, 2, 3)) == "117"
    assert read((3, 3)) == ""
    assert read((2,)) == "7"


def test_probabilities_are_sums_over_all_alignments() -> None:
    probabilities = columns(5)
    sums: dict[str, float] = {}
    for path in product(range(4), repeat=5):
        text = read(path)
        sums[text] = sums.get(text, 0.0) + float(np.prod(probabilities[np.arange(5), path]))
    assert len(sums) > 100
    for text, expected in sums.items():
        np.testing.assert_allclose(np.exp(log_probability(probabilities, LABELS, text)), expected, rtol=1e-6)


def test_a_string_that_does_not_fit_is_impossible() -> None:
    assert np.exp(log_probability(columns(3), LABELS, "0170")) < 1e-6
    assert np.exp(log_probability(columns(3), LABELS, "000")) < 1e-6
