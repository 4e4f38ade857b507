"""Metrics of a classifier on labelled images: `evaluate`."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, log_loss, precision_recall_fscore_support, roc_auc_score

from digits_edge.runtime.checks.accuracy import Accuracy
from digits_edge.runtime.errors import DataError

#: Number of equal-width bins of the reliability diagram and the calibration error, as in Guo et al. 2017.
BINS = 15


@dataclass(frozen=True)
class Scores:
    """Precision, recall and F1 score, 0 to 1; None for a class without images."""

    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True)
class ClassFigures:
    """Metrics of one class.

    Attributes:
        name: name of the class.
        scores: precision, recall and F1 score; the precision of a class that is never predicted is 0.
        support: number of images of the class.
        roc_auc: one-vs-rest area under the ROC curve; None if all images or none are of this class.
        taken_for: wrong predictions for images of this class with their counts, most frequent first.
    """

    name: str
    scores: Scores
    support: int
    roc_auc: float | None
    taken_for: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Bin:
    """Predictions with a confidence in (low, high].

    Attributes:
        low: lower end of the bin, exclusive.
        high: upper end of the bin, inclusive.
        images: number of predictions.
        confidence: mean confidence; None for an empty bin.
        accuracy: accuracy; None for an empty bin.
    """

    low: float
    high: float
    images: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True)
class Evaluation:
    """Metrics of a model on a data set.

    Attributes:
        accuracy: number of errors and images.
        confusion: counts, (C, C); rows are true classes, columns are predicted classes.
        classes: metrics of each class.
        macro: mean scores over the classes that have images.
        weighted: mean scores weighted by support.
        roc_auc: mean of the classes' areas; None if no class has one.
        log_loss: mean of −ln p(true class), in nats.
        calibration_error: expected calibration error over `BINS` bins (Guo et al. 2017).
        bins: bins of the calibration error.
    """

    accuracy: Accuracy
    confusion: tuple[tuple[int, ...], ...]
    classes: tuple[ClassFigures, ...]
    macro: Scores
    weighted: Scores
    roc_auc: float | None
    log_loss: float
    calibration_error: float
    bins: tuple[Bin, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the metrics as JSON-compatible values; `interval` is the 95 % Wilson interval of the accuracy."""
        values = asdict(self)
        del values["accuracy"]
        return {
            "errors": self.accuracy.errors,
            "images": self.accuracy.images,
            "accuracy": self.accuracy.value,
            "interval": list(self.accuracy.interval()),
            **values,
            "classes": [{"name": found["name"], **found.pop("scores"), **found} for found in values["classes"]],
        }


def evaluate(probabilities: NDArray[np.floating], labels: NDArray[np.uint8], names: Sequence[str]) -> Evaluation:
    """Compute the metrics of predictions for labelled images.

    Args:
        probabilities: floating point, (N, C), rows summing to 1.
        labels: true classes, unsigned integers (N,), each less than C.
        names: names of the C classes.

    Raises:
        DataError: there are no images, a label is beyond the classes, or a probability is not finite.

    Example:
        >>> probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
        >>> evaluation = evaluate(probabilities, np.array([0, 1, 1], np.uint8), ("cat", "dog"))
        >>> evaluation.accuracy.errors, evaluation.confusion
        (1, ((1, 0), (1, 1)))
    """
    if not len(labels):
        raise DataError("the data has no labelled images; use labelled data")
    if int(labels.max()) >= len(names):
        raise DataError(
            f"the data has label {labels.max()}, but the model has {len(names)} classes; use data with its classes"
        )
    if not np.isfinite(probabilities).all():
        row = int(np.flatnonzero(~np.isfinite(probabilities).all(axis=1))[0])
        raise DataError(f"image {row}: the prediction is not finite; the weights of the model are damaged")
    # rounding in float32 and int8 models makes the sums of rows differ from 1
    exact = probabilities.astype(np.float64)
    exact /= np.maximum(exact.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    predicted = exact.argmax(axis=1)
    matrix = confusion_matrix(labels, predicted, labels=np.arange(len(names)))
    classes = _classes(exact, labels, matrix, names)
    areas = [found.roc_auc for found in classes if found.roc_auc is not None]
    bins = _bins(exact.max(axis=1), predicted == labels)
    return Evaluation(
        accuracy=Accuracy(int(matrix.sum() - matrix.trace()), int(matrix.sum())),
        confusion=tuple(tuple(row) for row in matrix.tolist()),
        classes=classes,
        macro=_average(labels, predicted, "macro"),
        weighted=_average(labels, predicted, "weighted"),
        roc_auc=float(np.mean(areas)) if areas else None,
        log_loss=float(log_loss(labels, exact, labels=np.arange(len(names)))),
        calibration_error=_calibration_error(bins, len(labels)),
        bins=bins,
    )


def _classes(
    probabilities: NDArray[np.float64], labels: NDArray[np.uint8], matrix: NDArray[np.int64], names: Sequence[str]
) -> tuple[ClassFigures, ...]:
    predicted = probabilities.argmax(axis=1)
    columns = precision_recall_fscore_support(labels, predicted, labels=np.arange(len(names)), zero_division=0)
    found = []
    for index, (precision, recall, f1, support) in enumerate(zip(*columns, strict=True)):
        scores = Scores(float(precision), float(recall), float(f1)) if support else Scores(None, None, None)
        one_sided = support in (0, len(labels))
        area = None if one_sided else float(roc_auc_score(labels == index, probabilities[:, index]))
        found.append(ClassFigures(names[index], scores, int(support), area, _taken_for(matrix[index], index, names)))
    return tuple(found)


def _taken_for(row: NDArray[np.int64], truth: int, names: Sequence[str]) -> tuple[tuple[str, int], ...]:
    wrong = [other for other in np.argsort(-row, kind="stable") if other != truth and row[other]]
    return tuple((names[other], int(row[other])) for other in wrong)


def _average(labels: NDArray[np.uint8], predicted: NDArray[np.integer], average: str) -> Scores:
    precision, recall, f1, _ = precision_recall_fscore_support(
        labels, predicted, labels=np.unique(labels), average=average, zero_division=0
    )
    return Scores(float(precision), float(recall), float(f1))


def _bins(confidence: NDArray[np.float64], is_correct: NDArray[np.bool_]) -> tuple[Bin, ...]:
    edges = np.linspace(0, 1, BINS + 1)
    # intervals are (low, high], so a confidence of 1 is in the last bin
    index = np.clip(np.searchsorted(edges, confidence) - 1, 0, BINS - 1)
    bins = []
    for number, (low, high) in enumerate(pairwise(edges)):
        inside = index == number
        count = int(inside.sum())
        means = (float(confidence[inside].mean()), float(is_correct[inside].mean())) if count else (None, None)
        bins.append(Bin(float(low), float(high), count, *means))
    return tuple(bins)


def _calibration_error(bins: Sequence[Bin], images: int) -> float:
    """Return Σ n_b/N · |accuracy_b − confidence_b|."""
    distances = [
        found.images * abs(found.accuracy - found.confidence)
        for found in bins
        if found.accuracy is not None and found.confidence is not None
    ]
    return sum(distances) / images
