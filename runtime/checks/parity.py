"""Comparison of predictions with a reference, and the limits (gates) of each precision."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.model.model_file import Precision

#: A prediction is clear if its two largest probabilities differ by more than this.
CLEAR_MARGIN = 0.1
#: Largest allowed difference of a golden probability on any machine and provider.
GOLDEN_TOLERANCE: dict[Precision, float] = {"fp32": 1e-4, "fp16": 1e-2, "int8": 0.1}


@dataclass(frozen=True)
class Parity:
    """A comparison of a model's predictions with reference predictions (of Keras).

    Attributes:
        images: number of compared images.
        max_difference: largest difference of a probability; infinity if one is NaN.
        changed: number of images with another predicted class.
        clear: number of images on which the reference is clear (`CLEAR_MARGIN`).
        changed_clear: number of those with another predicted class.
        errors: number of images misclassified by the model; None without labels.
        reference_errors: number of images misclassified by the reference; None without labels.
    """

    images: int
    max_difference: float
    changed: int
    clear: int
    changed_clear: int
    errors: int | None = None
    reference_errors: int | None = None


def compare(
    reference: NDArray[np.float32], probabilities: NDArray[np.float32], labels: NDArray[np.uint8] | None = None
) -> Parity:
    """Compare predicted probabilities with reference probabilities.

    Args:
        reference: float32 (N, C); N is at least 1.
        probabilities: float32 (N, C).
        labels: true classes, (N,), if known.

    Example:
        >>> reference = np.array([[0.9, 0.1], [0.52, 0.48]], np.float32)
        >>> parity = compare(reference, reference[:, ::-1], labels=np.array([0, 0]))
        >>> parity.changed, parity.clear, parity.changed_clear, parity.errors, parity.reference_errors
        (2, 1, 1, 2, 0)
    """
    ranked = np.sort(reference, axis=1)
    clear = ranked[:, -1] - ranked[:, -2] > CLEAR_MARGIN
    predicted, expected = probabilities.argmax(axis=1), reference.argmax(axis=1)
    return Parity(
        images=len(reference),
        max_difference=float(np.nan_to_num(np.abs(probabilities - reference), nan=np.inf).max()),
        changed=int((predicted != expected).sum()),
        clear=int(clear.sum()),
        changed_clear=int((predicted != expected)[clear].sum()),
        errors=None if labels is None else int((predicted != labels).sum()),
        reference_errors=None if labels is None else int((expected != labels).sum()),
    )


def shortfalls(parity: Parity, precision: Precision) -> list[str]:
    """Violated limits of a precision, one line each; empty if the model passes.

    fp32 must equal Keras except for rounding. fp16 and int8 must not change a clear prediction, so that clear
    predictions are the same in every precision. int8 must also not make more errors than 1.05 times those of Keras
    plus 0.05 % of the images.

    Example:
        >>> reference = np.array([[0.9, 0.1], [0.2, 0.8]], np.float32)
        >>> shortfalls(compare(reference, reference), "fp32")
        []
        >>> shortfalls(compare(reference, reference[:, ::-1]), "int8")
        ['changed clear predictions 2 > 0']
    """
    limits: list[tuple[str, float, float]]
    match precision:
        case "fp32":
            limits = [
                ("largest difference of a probability", parity.max_difference, 1e-5),
                ("changed predictions", parity.changed, 0),
            ]
        case "fp16":
            limits = [
                ("largest difference of a probability", parity.max_difference, 1e-2),
                ("changed clear predictions", parity.changed_clear, 0),
            ]
        case "int8":
            limits = [("changed clear predictions", parity.changed_clear, 0)]
            if parity.errors is not None and parity.reference_errors is not None:
                max_errors = 1.05 * parity.reference_errors + 0.0005 * parity.images
                limits.append(("errors", parity.errors, max_errors))
    return _exceeded(limits)


def golden_shortfalls(agreement: Parity, tolerance: float) -> list[str]:
    """Violated limits of the golden values, one line each; empty if the model passes.

    Args:
        agreement: comparison of the model's predictions with the golden probabilities.
        tolerance: largest difference of a probability that the model file allows.
    """
    limits = [
        ("changed clear golden predictions", agreement.changed_clear, 0.0),
        ("largest difference of a golden probability", agreement.max_difference, tolerance),
    ]
    return _exceeded(limits)


def exact_shortfalls(difference: float, tolerance: float) -> list[str]:
    """Violated limit of the exact arithmetic of an int8 model, one line; empty if the kernels are exact.

    Args:
        difference: largest difference of a golden probability from exact arithmetic.
        tolerance: largest difference that the model file allows.

    Example:
        >>> exact_shortfalls(0.001, 0.005)
        []
    """
    if difference <= tolerance:
        return []
    return [
        f"golden probabilities differ by {difference:.2g} > {tolerance:g} from exact arithmetic: the int8 kernels on "
        "this processor are not exact"
    ]


def _exceeded(limits: list[tuple[str, float, float]]) -> list[str]:
    # `not <=` instead of `>`: a NaN exceeds every limit
    return [f"{name} {value:g} > {limit:g}" for name, value, limit in limits if not value <= limit]
