"""Does this model file hold on this machine, with this provider? `verify` asks it what Keras was asked."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.checks.accuracy import Accuracy
from digits_edge.runtime.checks.parity import Parity, compare, golden_shortfalls, shortfalls
from digits_edge.runtime.classifier import Classifier, FloatArray
from digits_edge.runtime.datasets import Dataset
from digits_edge.runtime.errors import DataError
from digits_edge.runtime.model.model_file import Metadata, Precision
from digits_edge.runtime.session.int8_kernels import saturate

#: N is free in a model file; these are tried.
BATCH_SIZES = (1, 2, 7, 64, 1000)

#: More errors than the export counted, as a share of the test set, that another machine may make. Float kernels differ
#: in the last bits, which turns ties only: an image in 10,000, and two where halves are rounded. Integers do not
#: differ, but the layers that int8 leaves float do; and other providers than the CPU's round between int8 layers in
#: their own ways, by which no machine may lose more than the conversion itself was allowed to (`parity.py`).
_MORE_ERRORS: dict[Precision, float] = {"fp32": 1e-4, "fp16": 2e-4, "int8": 1e-4}
_MORE_ERRORS_ELSEWHERE = _MORE_ERRORS | {"int8": 5e-4}


@dataclass(frozen=True, eq=False)
class Reference:
    """What Keras answers, to compare with.

    Attributes:
        images: uint8, (N, 28, 28).
        probabilities: float32, (N, C), calibrated as the model file is.
        labels: the truth, (N,), where it is known.
    """

    images: NDArray[np.uint8]
    probabilities: FloatArray
    labels: NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class Verification:
    """What was found.

    Attributes:
        model: the model's name.
        provider: what was bound.
        threads: how many computed a batch together.
        golden: the golden answers compared with Keras's.
        golden_tolerance: the largest difference of a probability that the file allows in them.
        exact_difference: the largest difference of a golden probability from exact arithmetic; None where the file does
            not say what that predicts: it is not int8, or was made before 1.0.
        exact_tolerance: the largest that the file allows.
        overflow_free: whether the file's int8 weights can overflow no kernel; None where it has none.
        kernels_saturate: whether sums of two products saturate in this processor's int8 kernels.
        exact_kernels: whether slower kernels were selected for that reason.
        batch_sizes: the numbers of images that were tried.
        batch_difference: the largest difference of any probability between batches of one size and another.
        accuracy: on the data set; None without one.
        recorded: errors and images of the export on that same data; None without a record of it.
        parity: comparison with the reference; None without one.
        problems: what does not hold, one line each.
    """

    model: str
    provider: str
    threads: int
    golden: Parity
    golden_tolerance: float
    exact_difference: float | None
    exact_tolerance: float
    overflow_free: bool | None
    kernels_saturate: bool
    exact_kernels: bool
    batch_sizes: tuple[int, ...]
    batch_difference: float
    accuracy: Accuracy | None
    recorded: Accuracy | None
    parity: Parity | None
    problems: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether nothing was found wrong."""
        return not self.problems

    def to_json(self) -> dict[str, Any]:
        """As plain values, with `holds` and the accuracy's interval."""
        values = {**asdict(self), "holds": self.holds}
        if self.accuracy is not None:
            values["accuracy"] |= {"value": self.accuracy.value, "interval": self.accuracy.interval()}
        return values


def verify(
    classifier: Classifier, *, dataset: Dataset | None = None, reference: Reference | None = None
) -> Verification:
    """Check a model on the machine and provider where it is open.

    Always: it gives the golden answers within the tolerance they carry and changes none of them, and it gives them in
    batches of any size. On the CPU provider an int8 model also gives what exact arithmetic gives; other providers
    round between layers in their own ways.

    Args:
        classifier: the model, open.
        dataset: also count errors on it; fails if they are clearly more than the export counted on the same data.
        reference: also hold the model to the gate of its precision, `parity.shortfalls`.

    Raises:
        DataError: the data set has no labels or no images.
        ModelError: the provider failed.
    """
    metadata, golden = classifier.metadata, classifier.golden
    answers = classifier.predict_batch(golden.images)
    agreement = compare(golden.probabilities, answers)
    problems = golden_shortfalls(agreement, golden.tolerance)
    exact_difference = None
    if golden.exact is not None:
        exact_difference = compare(golden.exact, answers).max_difference
        if classifier.provider == "cpu" and not exact_difference <= golden.exact_tolerance:
            problems.append(
                f"golden probabilities differ by {exact_difference:.2g} > {golden.exact_tolerance:g} from exact "
                "arithmetic: this processor's kernels compute something else"
            )

    batch_difference = _batch_difference(classifier, golden.images, answers)
    if not batch_difference <= golden.tolerance:  # so written, a NaN is a problem
        problems.append(f"batches of {BATCH_SIZES} images answer {batch_difference:g} apart > {golden.tolerance:g}")

    accuracy = recorded = parity = None
    if dataset is not None:
        accuracy, recorded = _count_errors(classifier, dataset), _recorded(metadata, dataset)
        if recorded is not None:
            more = _MORE_ERRORS if classifier.provider == "cpu" else _MORE_ERRORS_ELSEWHERE
            most = recorded.errors + more[metadata.precision] * accuracy.images
            if accuracy.errors > most:
                problems.append(f"errors on {dataset.name} {accuracy.errors} > {most:g}, exported {recorded.errors}")
    if reference is not None:
        said = classifier.predict_batch(reference.images)
        parity = compare(reference.probabilities, said, reference.labels)
        problems += shortfalls(parity, metadata.precision)

    return Verification(
        model=metadata.name,
        provider=classifier.provider,
        threads=classifier.threads,
        golden=agreement,
        golden_tolerance=golden.tolerance,
        exact_difference=exact_difference,
        exact_tolerance=golden.exact_tolerance,
        overflow_free=metadata.overflow_free if metadata.precision == "int8" else None,
        kernels_saturate=saturate(),
        exact_kernels=classifier.exact_kernels,
        batch_sizes=BATCH_SIZES,
        batch_difference=batch_difference,
        accuracy=accuracy,
        recorded=recorded,
        parity=parity,
        problems=tuple(problems),
    )


def _batch_difference(classifier: Classifier, images: NDArray[np.uint8], answers: FloatArray) -> float:
    """The largest difference of any probability, with the images repeated to fill each size."""
    differences = []
    for size in BATCH_SIZES:
        order = np.arange(size) % len(images)
        differences.append(np.abs(classifier.predict_batch(images[order]) - answers[order]).max())
    return float(np.max(differences))


def _count_errors(classifier: Classifier, dataset: Dataset) -> Accuracy:
    if dataset.labels is None or not len(dataset.images):
        raise DataError(f"{dataset.name} has no {'images' if dataset.labels is not None else 'labels'} to count errors")
    said = classifier.predict_batch(dataset.images).argmax(axis=1)
    return Accuracy(int((said != dataset.labels).sum()), len(dataset.labels))


def _recorded(metadata: Metadata, dataset: Dataset) -> Accuracy | None:
    """What the export counted, if it did so on the same data."""
    test = metadata.test
    if test is None or test.get("sha256") != dataset.sha256:
        return None
    return Accuracy(test["errors"], test["images"])
