"""The temperature that calibrates a model's probabilities."""

import numpy as np
from numpy.typing import NDArray

#: Outside of this a model is broken, not badly calibrated.
_RANGE = (0.2, 5.0)
_STEPS = 60


def softmax(logits: NDArray[np.floating], temperature: float = 1.0) -> NDArray[np.float32]:
    """Probabilities of logits, (N, C) → float32 (N, C), computed in float64."""
    scaled = logits.astype(np.float64) / temperature
    exponential = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    probabilities: NDArray[np.float32] = (exponential / exponential.sum(axis=1, keepdims=True)).astype(np.float32)
    return probabilities


def fit_temperature(logits: NDArray[np.floating], labels: NDArray[np.uint8]) -> float | None:
    """The temperature under which the labels are likeliest (Guo et al. 2017).

    Args:
        logits: (N, C), on images the model was not trained on.
        labels: (N,).

    Returns:
        T; the loss is convex in 1/T, so a golden-section search over log T finds it. None where it would be outside of
        0.2 to 5: too few images, or none answered wrongly, do not tell how sure to be.
    """

    def loss(log_temperature: float) -> float:
        scaled = logits.astype(np.float64) / np.exp(log_temperature)
        largest = scaled.max(axis=1)
        log_sum = largest + np.log(np.exp(scaled - largest[:, None]).sum(axis=1))
        return float((log_sum - scaled[np.arange(len(labels)), labels]).mean())

    ratio = (np.sqrt(5) - 1) / 2
    low, high = np.log(_RANGE)
    for _ in range(_STEPS):
        inner_low, inner_high = high - ratio * (high - low), low + ratio * (high - low)
        if loss(inner_low) < loss(inner_high):
            high = inner_high
        else:
            low = inner_low
    temperature = round(float(np.exp((low + high) / 2)), 4)
    return temperature if _RANGE[0] < temperature < _RANGE[1] else None
