"""Tests of `digits_edge.train.numbers.loss`."""

import keras
import numpy as np

from digits_edge.runtime.reader.best_path import best_path, log_probability
from digits_edge.train.numbers.loss import ColumnLoss, TextAccuracy

LABELS = "0123"
BLANK = len(LABELS)
TEXTS = ["12", "", "3301"]
COLUMNS = [6, 3, 8]


def targets() -> np.ndarray:
    rows = np.full((3, 5), BLANK, np.int32)
    rows[:, 0] = COLUMNS
    for row, text in enumerate(TEXTS):
        rows[row, 1 : 1 + len(text)] = [LABELS.index(each) for each in text]
    return rows


def test_the_loss_is_the_probability_of_the_text_in_its_own_columns() -> None:
    logits = np.random.default_rng(0).normal(0, 2, (3, 8, 5)).astype(np.float32)
    found = np.asarray(ColumnLoss(BLANK).call(targets(), logits))
    for row, (text, columns) in enumerate(zip(TEXTS, COLUMNS, strict=True)):
        exponential = np.exp(logits[row, :columns].astype(np.float64))
        probabilities = exponential / exponential.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(found[row], -log_probability(probabilities, LABELS, text), rtol=1e-4)


def test_the_accuracy_is_that_of_the_best_path() -> None:
    rng = np.random.default_rng(1)
    metric = TextAccuracy(BLANK)
    right = 0
    for _ in range(30):
        # mostly right logits: the characters, separated by blanks
        logits = rng.normal(0, 1.2, (3, 8, 5)).astype(np.float32)
        for row, text in enumerate(TEXTS):
            path = [BLANK] * 8
            for place, character in enumerate(text):
                path[2 * place] = LABELS.index(character)
            logits[row, np.arange(8), path] += 3
        metric.update_state(targets(), keras.ops.convert_to_tensor(logits))
        found = [best_path(each[:columns], LABELS) for each, columns in zip(logits, COLUMNS, strict=True)]
        right += sum(one == other for one, other in zip(found, TEXTS, strict=True))
    assert 0 < right < 90
    np.testing.assert_allclose(float(metric.result()), right / 90, rtol=1e-6)


def test_additional_characters_are_wrong() -> None:
    logits = np.full((3, 8, 5), -5, np.float32)
    for row, text in enumerate(TEXTS):
        path = [LABELS.index(each) for pair in zip(text, text, strict=True) for each in pair] + [BLANK] * 8
        logits[row, np.arange(8), path[:8]] = 5
    logits[1, 2] = (9, 0, 0, 0, 0)  # a character on the line without a number
    metric = TextAccuracy(BLANK)
    metric.update_state(targets(), keras.ops.convert_to_tensor(logits))
    assert float(metric.result()) <= 2 / 3
