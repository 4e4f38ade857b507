"""Verification of a model on this machine and provider: golden values, batch sizes, accuracy, and parity with Keras."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.checks.accuracy import Accuracy
from digits_edge.runtime.checks.parity import Parity, compare, exact_shortfalls, golden_shortfalls, shortfalls
from digits_edge.runtime.classifier import Classifier, FloatArray
from digits_edge.runtime.datasets import Dataset
from digits_edge.runtime.errors import DataError
from digits_edge.runtime.model.model_file import Metadata, Precision
from digits_edge.runtime.session.int8_kernels import saturate

#: Batch sizes to test.
BATCH_SIZES = (1, 2, 7, 64, 1000)

#: Additional errors compared with the export, as a share of the test set, that are allowed on another machine. Float
#: kernels differ in the last bits, which affects near-ties only: one image in 10,000, or two for fp16. int8 kernels are
#: exact, but some layers of int8 models are float. Providers other than the CPU's also round differently between int8
#: layers; for them the limit is the share that the conversion itself may add (`parity.py`).
_ADDITIONAL_ERRORS: dict[Precision, float] = {"fp32": 1e-4, "fp16": 2e-4, "int8": 1e-4}
_ADDITIONAL_ERRORS_OTHER_PROVIDERS = _ADDITIONAL_ERRORS | {"int8": 5e-4}


@dataclass(frozen=True, eq=False)
class Reference:
    """Predictions of Keras to compare with.

    Attributes:
        images: uint8 (N, H, W[, 3]).
        probabilities: float32 (N, C), calibrated like the model file.
        labels: true classes, (N,), if known.
    """

    images: NDArray[np.uint8]
    probabilities: FloatArray
    labels: NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class Verification:
    """Result of a verification.

    Attributes:
        model: name of the model.
        provider: short name of the bound provider.
        threads: number of threads that share a batch.
        golden: comparison of the golden images' predictions with Keras.
        golden_tolerance: largest difference of a golden probability that the file allows.
        exact_difference: largest difference of a golden probability from exact arithmetic; None if the file does not
            contain exact probabilities: it is not int8, or was written before 1.0.
        exact_tolerance: largest such difference that the file allows.
        overflow_free: whether the file's int8 weights cannot overflow any kernel; None if it has none.
        kernels_saturate: whether this processor's default int8 kernels saturate sums of two products.
        exact_kernels: whether slower kernels were selected for that reason.
        batch_sizes: tested batch sizes.
        batch_difference: largest difference of a probability between batch sizes.
        int8_share: share of the multiplications in int8, as recorded at export; None if it was not recorded.
        accuracy_checked: whether the accuracy was measured on labelled images, here or at export.
        accuracy: on the data set; None without one.
        recorded: errors and images recorded at export for the same data; None if not recorded.
        parity: comparison with the reference; None without one.
        problems: what failed, one line each.
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
    int8_share: float | None
    accuracy_checked: bool
    accuracy: Accuracy | None
    recorded: Accuracy | None
    parity: Parity | None
    problems: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether all checks passed."""
        return not self.problems

    def to_json(self) -> dict[str, Any]:
        """Convert to a dictionary that can be serialized as JSON, with `holds` and the accuracy's interval."""
        values = {**asdict(self), "holds": self.holds}
        if self.accuracy is not None:
            values["accuracy"] |= {"value": self.accuracy.value, "interval": self.accuracy.interval()}
        return values


def verify(
    classifier: Classifier, *, dataset: Dataset | None = None, reference: Reference | None = None
) -> Verification:
    """Verify a model on this machine with its bound provider.

    Always checked: the predictions of the golden images, which must have the expected class and probabilities within
    the file's tolerance, and their equality for all batch sizes. With the CPU provider, an int8 model is also compared
    with exact arithmetic; other providers round differently between layers.

    Args:
        classifier: the open model.
        dataset: also count errors on this data set. The check fails if there are clearly more than the export recorded
            for the same data, or if export had no labelled images and the accuracy is like guessing.
        reference: also check the limits of the model's precision, `parity.shortfalls`.

    Returns:
        The result; failed checks are in `problems`.

    Raises:
        DataError: the data set has no labels or no images.
        ModelError: the provider failed.

    Example:
        >>> with Classifier("edge-int8", provider="cpu") as classifier:
        ...     found = verify(classifier)
        >>> found.holds, found.problems
        (True, ())
    """
    metadata, golden = classifier.metadata, classifier.golden
    probabilities = classifier.predict_batch(golden.images)
    agreement = compare(golden.probabilities, probabilities)
    problems = golden_shortfalls(agreement, golden.tolerance)
    exact_difference = None
    if golden.exact is not None:
        exact_difference = compare(golden.exact, probabilities).max_difference
        if classifier.provider == "cpu":
            problems += exact_shortfalls(exact_difference, golden.exact_tolerance)

    batch_difference = _batch_difference(classifier, golden.images, probabilities)
    if not batch_difference <= golden.tolerance:  # not `>`: a NaN is a problem
        problems.append(f"probabilities differ by {batch_difference:g} > {golden.tolerance:g} between batch sizes")

    accuracy = recorded = parity = None
    if dataset is not None:
        accuracy, recorded = _count_errors(classifier, dataset), _recorded(metadata, dataset)
        assert dataset.labels is not None  # `_count_errors` raises otherwise
        if not metadata.accuracy_checked and accuracy.is_chance(dataset.labels):
            problems.append(
                f"accuracy {accuracy.value:.1%} on {dataset.name} is like guessing: export the model with the pixel "
                "range and the order of labels that it was trained with"
            )
        if recorded is not None:
            additional = _ADDITIONAL_ERRORS if classifier.provider == "cpu" else _ADDITIONAL_ERRORS_OTHER_PROVIDERS
            max_errors = recorded.errors + additional[metadata.precision] * accuracy.images
            if accuracy.errors > max_errors:
                problems.append(
                    f"errors on {dataset.name} {accuracy.errors} > {max_errors:g}; export recorded {recorded.errors}"
                )
    if reference is not None:
        parity = compare(reference.probabilities, classifier.predict_batch(reference.images), reference.labels)
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
        int8_share=metadata.int8_share,
        accuracy_checked=accuracy is not None or metadata.accuracy_checked,
        accuracy=accuracy,
        recorded=recorded,
        parity=parity,
        problems=tuple(problems),
    )


def _batch_difference(classifier: Classifier, images: NDArray[np.uint8], expected: FloatArray) -> float:
    """Largest difference of a probability between batch sizes; images are repeated to fill each batch."""
    differences = []
    for size in BATCH_SIZES:
        order = np.arange(size) % len(images)
        differences.append(np.abs(classifier.predict_batch(images[order]) - expected[order]).max())
    return float(np.max(differences))


def _count_errors(classifier: Classifier, dataset: Dataset) -> Accuracy:
    if dataset.labels is None or not len(dataset.images):
        missing = "labels" if dataset.labels is None else "images"
        raise DataError(f"{dataset.name} has no {missing}; errors can only be counted on labelled images")
    predicted = classifier.predict_batch(dataset.images).argmax(axis=1)
    return Accuracy(int((predicted != dataset.labels).sum()), len(dataset.labels))


def _recorded(metadata: Metadata, dataset: Dataset) -> Accuracy | None:
    """Accuracy recorded at export, if it was on the same data."""
    test = metadata.test
    if test is None or test.get("sha256") != dataset.sha256:
        return None
    return Accuracy(test["errors"], test["images"])
