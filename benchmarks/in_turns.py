"""Calls that take turns, so that whatever else the machine does slows all alike."""

import statistics
import time
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.classifier import Classifier


def images(count: int) -> NDArray[np.uint8]:
    """Noise, uint8 (count, 28, 28), the same at every call."""
    return np.random.default_rng(0).integers(0, 256, (count, 28, 28), np.uint8)


def answering(classifiers: dict[str, Classifier], pixels: NDArray[np.uint8]) -> dict[str, Callable[[], object]]:
    """Calls of `predict_batch` for the same images."""
    return {name: partial(classifier.predict_batch, pixels) for name, classifier in classifiers.items()}


def medians_us(calls: dict[str, Callable[[], object]], *, rounds: int, warm_up: int) -> dict[str, float]:
    """The median time of each call, in microseconds, by name.

    Args:
        calls: by name; each is made once in every round.
        rounds: how many count.
        warm_up: how many come before those.
    """
    samples_us: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(warm_up + rounds):
        for name, call in calls.items():
            started = time.perf_counter()
            call()
            samples_us[name].append((time.perf_counter() - started) * 1e6)
    return {name: statistics.median(samples[warm_up:]) for name, samples in samples_us.items()}
