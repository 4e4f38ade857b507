"""Temperature and confidence threshold of sequence models: `fit_line_temperature`, `confidence_threshold`."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from digits_edge.export.temperature import best_temperature, softmax
from digits_edge.runtime.checks.string_parity import confidence
from digits_edge.runtime.model.model_file import Metadata
from digits_edge.runtime.reader.best_path import best_path, log_probability

#: Number of lines on which the temperature is fitted.
_LINES = 500
#: Lower bound of the logarithm of a string's probability: a line with a wrong text does not decide alone.
_LOWEST = -12.0
#: Share of the strings above the threshold that are right.
PRECISION = 0.99
_MAX_THRESHOLD = 0.99


def fit_line_temperature(
    logits: Sequence[NDArray[np.float32]], labels: Sequence[str], texts: Sequence[str]
) -> float | None:
    """Fit the temperature with which the probabilities of the true texts are highest.

    Args:
        logits: float32 (T, K + 1) for each line.
        labels: the K characters.
        texts: the true texts.

    Returns:
        The temperature; None if it would be outside 0.2 to 5.

    Example:
        >>> logits = [np.log(np.array([[0.9, 0.1]], np.float32))] * 4
        >>> fit_line_temperature(logits, "1", ["1", "1", "1", ""])
        2.0
    """
    rows = np.linspace(0, len(texts) - 1, min(len(texts), _LINES)).astype(int).tolist()
    few, truths = [logits[row] for row in rows], [texts[row] for row in rows]

    def loss(log_temperature: float) -> float:
        columns = (softmax(each, float(np.exp(log_temperature))) for each in few)
        pairs = zip(columns, truths, strict=True)
        return -float(np.mean([max(_LOWEST, log_probability(each, labels, text)) for each, text in pairs]))

    return best_temperature(loss, steps=14, digits=2)


def confidence_threshold(columns: Sequence[NDArray[np.float32]], labels: Sequence[str], texts: Sequence[str]) -> float:
    """The lowest confidence above which `PRECISION` of the strings are right.

    Lines without a number do not count.

    Returns:
        The threshold, at most 0.99; the default of the metadata with too few lines.
    """
    found = [(best_path(each, labels), each, text) for each, text in zip(columns, texts, strict=True)]
    graded = [(confidence(each, labels, string), string == text) for string, each, text in found if string]
    if len(graded) * (1 - PRECISION) < 1:
        return Metadata.uncertain_below
    graded.sort(reverse=True)
    confidences = np.array([value for value, _ in graded])
    precision = np.cumsum([is_right for _, is_right in graded]) / np.arange(1, len(graded) + 1)
    # lines of the same confidence are accepted together
    is_last = np.append(confidences[1:] < confidences[:-1], True)
    enough = np.flatnonzero((precision >= PRECISION) & is_last)
    threshold = float(confidences[enough[-1]]) if len(enough) else 1.0
    return min(float(np.floor(threshold * 1e4) / 1e4), _MAX_THRESHOLD)
