"""How well a classifier answers: `evaluate()` turns probabilities and labels into every figure of an `Evaluation`."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, log_loss, precision_recall_fscore_support, roc_auc_score

from digits_edge.runtime.checks.accuracy import Accuracy
from digits_edge.runtime.errors import DataError

#: Equal widths of confidence for reliability and calibration error, as Guo et al. 2017 have them.
BINS = 15


@dataclass(frozen=True)
class Scores:
    """Precision, recall and F1, 0…1; None where the class has no image in the data."""

    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True)
class ClassFigures:
    """One class.

    Attributes:
        name: of the class.
        scores: its precision, recall and F1; a class that is never answered has precision 0.
        support: how many images are of it.
        roc_auc: area under the ROC curve of this class against the rest; None if all or no images are of it.
        taken_for: what its images were taken for, wrongly, and how often; the most frequent first.
    """

    name: str
    scores: Scores
    support: int
    roc_auc: float | None
    taken_for: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Bin:
    """The answers with a confidence in (low, high]: how many, how confident and how right on average."""

    low: float
    high: float
    images: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True)
class Evaluation:
    """Every figure of a model on a data set.

    Attributes:
        accuracy: errors of N.
        confusion: (C, C) counts; row: the truth, column: the answer.
        classes: the figures of each class.
        macro: mean over the classes that have images.
        weighted: mean over the images.
        roc_auc: mean of the classes' areas; None if no class has one.
        log_loss: mean of −ln p(truth), in nats.
        calibration_error: ECE over `BINS` bins: the mean distance of confidence and accuracy (Guo et al. 2017).
        bins: what it was computed from.
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
        """As plain values: errors, images, accuracy, interval (Wilson, 95 %), and the rest by name."""
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
    """Measure the answers to labelled images.

    Args:
        probabilities: (N, C), rows summing to 1.
        labels: the truth, (N,), each less than C.
        names: of the C classes.

    Raises:
        DataError: no images, a label beyond the classes, or answers that are not numbers.
    """
    if not len(labels):
        raise DataError("there are no labelled images; name data that has some")
    if int(labels.max()) >= len(names):
        raise DataError(f"the data has label {labels.max()} and the model {len(names)} classes; name its own data")
    if not np.isfinite(probabilities).all():
        row = int(np.flatnonzero(~np.isfinite(probabilities).all(axis=1))[0])
        raise DataError(f"the model's answer to image {row} is not a number; its weights are damaged")
    # rows of float32 or of int8 models miss 1 by their rounding
    exact = probabilities.astype(np.float64)
    exact /= exact.sum(axis=1, keepdims=True)
    said = exact.argmax(axis=1)
    matrix = confusion_matrix(labels, said, labels=np.arange(len(names)))
    classes = _classes(exact, labels, matrix, names)
    areas = [found.roc_auc for found in classes if found.roc_auc is not None]
    bins = _bins(exact.max(axis=1), said == labels)
    return Evaluation(
        accuracy=Accuracy(int(matrix.sum() - matrix.trace()), int(matrix.sum())),
        confusion=tuple(tuple(row) for row in matrix.tolist()),
        classes=classes,
        macro=_average(labels, said, "macro"),
        weighted=_average(labels, said, "weighted"),
        roc_auc=float(np.mean(areas)) if areas else None,
        log_loss=float(log_loss(labels, exact, labels=np.arange(len(names)))),
        calibration_error=_calibration_error(bins, len(labels)),
        bins=bins,
    )


def _classes(
    probabilities: NDArray[np.float64], labels: NDArray[np.uint8], matrix: NDArray[np.int64], names: Sequence[str]
) -> tuple[ClassFigures, ...]:
    said = probabilities.argmax(axis=1)
    columns = precision_recall_fscore_support(labels, said, labels=np.arange(len(names)), zero_division=0)
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


def _average(labels: NDArray[np.uint8], said: NDArray[np.integer], average: str) -> Scores:
    precision, recall, f1, _ = precision_recall_fscore_support(
        labels, said, labels=np.unique(labels), average=average, zero_division=0
    )
    return Scores(float(precision), float(recall), float(f1))


def _bins(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> tuple[Bin, ...]:
    edges = np.linspace(0, 1, BINS + 1)
    # (low, high]: a confidence of exactly 1 is in the last bin
    index = np.clip(np.searchsorted(edges, confidence) - 1, 0, BINS - 1)
    bins = []
    for number, (low, high) in enumerate(pairwise(edges)):
        inside = index == number
        count = int(inside.sum())
        means = (float(confidence[inside].mean()), float(right[inside].mean())) if count else (None, None)
        bins.append(Bin(float(low), float(high), count, *means))
    return tuple(bins)


def _calibration_error(bins: Sequence[Bin], images: int) -> float:
    """Σ n_b/N · |accuracy_b − confidence_b|."""
    distances = [
        found.images * abs(found.accuracy - found.confidence)
        for found in bins
        if found.accuracy is not None and found.confidence is not None
    ]
    return sum(distances) / images
