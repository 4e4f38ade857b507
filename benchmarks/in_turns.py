"""Calls that take turns, so that whatever else the machine does slows all alike."""

import statistics
import time

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.classifier import Classifier


def medians_us(
    classifiers: dict[str, Classifier], pixels: NDArray[np.uint8], *, rounds: int, warm_up: int
) -> dict[str, float]:
    """The median time of `predict_batch`, in microseconds, by name.

    Args:
        classifiers: by name; each is called once in every round.
        pixels: what they answer.
        rounds: how many count.
        warm_up: how many come before those.
    """
    samples_us: dict[str, list[float]] = {name: [] for name in classifiers}
    for _ in range(warm_up + rounds):
        for name, classifier in classifiers.items():
            started = time.perf_counter()
            classifier.predict_batch(pixels)
            samples_us[name].append((time.perf_counter() - started) * 1e6)
    return {name: statistics.median(samples[warm_up:]) for name, samples in samples_us.items()}
