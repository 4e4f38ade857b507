"""How far two sets of answers are apart, and how far they may be: the gates of each precision."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.model.model_file import Precision

#: A clear answer's first two probabilities are more than this apart.
CLEAR_MARGIN = 0.1
#: How far golden answers may be off on any machine and provider.
GOLDEN_TOLERANCE: dict[Precision, float] = {"fp32": 1e-4, "fp16": 1e-2, "int8": 0.1}


@dataclass(frozen=True)
class Parity:
    """A model's answers compared with the reference's (Keras's).

    Attributes:
        images: how many were compared.
        max_difference: the largest difference of any probability.
        changed: answers (digits) that differ.
        clear: images on which the reference is clear.
        changed_clear: of those, the answers that differ.
        errors: wrong answers of the model; None without labels.
        reference_errors: wrong answers of the reference; None without labels.
    """

    images: int
    max_difference: float
    changed: int
    clear: int
    changed_clear: int
    errors: int | None = None
    reference_errors: int | None = None


def compare(
    reference: NDArray[np.float32], answers: NDArray[np.float32], labels: NDArray[np.uint8] | None = None
) -> Parity:
    """Compare answers with a reference's.

    Args:
        reference: probabilities, (N, C); N is at least 1.
        answers: probabilities, (N, C).
        labels: the truth, (N,), where it is known.
    """
    ranked = np.sort(reference, axis=1)
    clear = ranked[:, -1] - ranked[:, -2] > CLEAR_MARGIN
    said, expected = answers.argmax(axis=1), reference.argmax(axis=1)
    return Parity(
        images=len(reference),
        # a NaN is as far away as can be
        max_difference=float(np.nan_to_num(np.abs(answers - reference), nan=np.inf).max()),
        changed=int((said != expected).sum()),
        clear=int(clear.sum()),
        changed_clear=int((said != expected)[clear].sum()),
        errors=None if labels is None else int((said != labels).sum()),
        reference_errors=None if labels is None else int((expected != labels).sum()),
    )


def shortfalls(parity: Parity, precision: Precision) -> list[str]:
    """What keeps a model from passing its precision's gate; empty if it passes.

    fp32 must be Keras to rounding. fp16 and int8 must not change a clear answer, so that whichever precision is taken
    on a machine, these are the same; and int8 must not cost more than 0.05 points and a twentieth of Keras's errors.
    """
    limits: list[tuple[str, float, float]]
    match precision:
        case "fp32":
            limits = [
                ("largest difference of a probability", parity.max_difference, 1e-5),
                ("changed answers", parity.changed, 0),
            ]
        case "fp16":
            limits = [
                ("largest difference of a probability", parity.max_difference, 1e-2),
                ("changed clear answers", parity.changed_clear, 0),
            ]
        case "int8":
            limits = [("changed clear answers", parity.changed_clear, 0)]
            if parity.errors is not None and parity.reference_errors is not None:
                most = 1.05 * parity.reference_errors + 0.0005 * parity.images
                limits.append(("errors", parity.errors, most))
    return _beyond(limits)


def golden_shortfalls(agreement: Parity, tolerance: float) -> list[str]:
    """What keeps a model from holding on the golden answers; empty if it holds.

    Args:
        agreement: the golden answers compared with the model's.
        tolerance: the largest difference of a probability that the model file allows.
    """
    limits = [
        ("changed golden answers", agreement.changed, 0.0),
        ("largest difference of a golden probability", agreement.max_difference, tolerance),
    ]
    return _beyond(limits)


def _beyond(limits: list[tuple[str, float, float]]) -> list[str]:
    # so written, a NaN is beyond every limit
    return [f"{what} {value:g} > {limit:g}" for what, value, limit in limits if not value <= limit]
