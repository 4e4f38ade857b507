"""The answers of a model to the same inputs on several processors: `Answers`."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.reader.search import search

#: An answer is clear if its probability exceeds that of the next one by more than this.
TIE = 0.01


@dataclass(frozen=True)
class Answers:
    """Answers to several inputs.

    Attributes:
        texts: the label of each image, or the number in each line.
        margins: difference between the probabilities of the best and the next answer, of each input.
        probabilities: the outputs of the model for all inputs, flat.

    Example:
        >>> first, second = of_images(np.array([[0.9, 0.1]]), "ab"), of_images(np.array([[0.4, 0.6]]), "ab")
        >>> first.texts, second.texts, second.changed(first), second.difference(first)
        (['a'], ['b'], 1, 0.5)
    """

    texts: list[str]
    margins: list[float]
    probabilities: list[float]

    def changed(self, expected: "Answers") -> int:
        """Number of clear answers that differ from the expected ones."""
        return sum(
            text != other and margin > TIE
            for text, other, margin in zip(self.texts, expected.texts, expected.margins, strict=True)
        )

    def difference(self, expected: "Answers") -> float:
        """Largest difference of a probability from the expected ones; infinite if one is not a number."""
        differences = np.abs(np.subtract(self.probabilities, expected.probabilities))
        return float(np.nan_to_num(differences, nan=np.inf).max())


def of_images(probabilities: NDArray[np.floating], labels: Sequence[str]) -> Answers:
    """The answers of a classifier.

    Args:
        probabilities: float (N, K).
        labels: names of the K classes.
    """
    largest = np.sort(probabilities, axis=1)[:, -2:]
    texts = [labels[place] for place in probabilities.argmax(axis=1).tolist()]
    return Answers(texts, (largest[:, 1] - largest[:, 0]).tolist(), probabilities.ravel().tolist())


def of_lines(columns: Sequence[NDArray[np.float32]], labels: Sequence[str]) -> Answers:
    """The answers of a sequence model.

    Args:
        columns: float32 (T, K+1) of each line.
        labels: the K characters.

    Example:
        >>> of_lines([np.array([[0.7, 0.1, 0.2]], np.float32)], "17").texts
        ['1']
    """
    texts, margins = [], []
    for each in columns:
        best, *others = search(each, labels)
        texts.append(best.text)
        margins.append(best.confidence - (others[0].confidence if others else 0.0))
    return Answers(texts, margins, np.concatenate([each.ravel() for each in columns]).tolist())
