"""Temperature scaling: the softmax temperature that calibrates a model's probabilities."""

from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

#: A temperature outside this range indicates a broken model or too little data, not poor calibration.
_RANGE = (0.2, 5.0)


def softmax(logits: NDArray[np.floating], temperature: float = 1.0) -> NDArray[np.float32]:
    """Compute probabilities from logits; the computation is in float64.

    Args:
        logits: shape (N, C).
        temperature: divisor of the logits.

    Returns:
        Shape (N, C), float32.

    Example:
        >>> softmax(np.array([[0.0, 0.0]]))
        array([[0.5, 0.5]], dtype=float32)
    """
    scaled = logits.astype(np.float64) / temperature
    exponential = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    probabilities: NDArray[np.float32] = (exponential / exponential.sum(axis=1, keepdims=True)).astype(np.float32)
    return probabilities


def sigmoid(logits: NDArray[np.floating]) -> NDArray[np.float32]:
    """Compute independent probabilities from logits; the computation is in float64.

    Example:
        >>> sigmoid(np.array([[0.0, 100.0]]))
        array([[0.5, 1. ]], dtype=float32)
    """
    exponential = np.exp(-np.abs(logits.astype(np.float64)))
    probabilities: NDArray[np.float32] = np.where(
        logits >= 0, 1 / (1 + exponential), exponential / (1 + exponential)
    ).astype(np.float32)
    return probabilities


def fit_temperature(logits: NDArray[np.floating], labels: NDArray[np.unsignedinteger]) -> float | None:
    """Fit the temperature that minimizes the negative log-likelihood (Guo et al. 2017).

    The loss is convex in 1/T, so a golden-section search over log T finds the minimum.

    Args:
        logits: shape (N, C), on images the model was not trained on.
        labels: shape (N,).

    Returns:
        The temperature; None if it would be outside 0.2 to 5. This happens with too few images, or if all are
        classified correctly.

    Example:
        A model with 90 % confidence that is right in 75 % of cases is overconfident: the temperature is
        log 9 / log 3 = 2.

        >>> logits = np.tile(np.log([[9.0, 1.0]]), (4, 1))
        >>> fit_temperature(logits, np.array([0, 0, 0, 1], np.uint8))
        2.0
        >>> fit_temperature(logits, np.zeros(4, np.uint8)) is None
        True
    """

    def loss(log_temperature: float) -> float:
        scaled = logits.astype(np.float64) / np.exp(log_temperature)
        largest = scaled.max(axis=1)
        log_sum = largest + np.log(np.exp(scaled - largest[:, None]).sum(axis=1))
        return float((log_sum - scaled[np.arange(len(labels)), labels]).mean())

    return best_temperature(loss, steps=60, digits=4)


def best_temperature(loss: Callable[[float], float], *, steps: int, digits: int) -> float | None:
    """Search the temperature with the smallest loss by golden sections of its logarithm.

    Args:
        loss: function of the temperature's logarithm, with a single minimum.
        steps: number of steps, each with one call of `loss`; a step leaves 0.62 of the interval.
        digits: number of decimals of the result.

    Returns:
        The temperature; None if it is outside 0.2 to 5.

    Example:
        >>> best_temperature(lambda log: (log - np.log(2)) ** 2, steps=60, digits=4)
        2.0
    """
    loss = cache(loss)
    ratio = (np.sqrt(5) - 1) / 2
    low, high = (float(np.log(end)) for end in _RANGE)
    for _ in range(steps):
        # rounded, so that one of the two was computed in the step before
        inner_low, inner_high = round(high - ratio * (high - low), 9), round(low + ratio * (high - low), 9)
        if loss(inner_low) < loss(inner_high):
            high = inner_high
        else:
            low = inner_low
    temperature = round(float(np.exp((low + high) / 2)), digits)
    return temperature if _RANGE[0] < temperature < _RANGE[1] else None
