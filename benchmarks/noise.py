"""Images of noise for timing, and calls of `predict_batch` on them."""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.classifier import Classifier


def images(count: int) -> NDArray[np.uint8]:
    """Return images of noise, uint8 (count, 28, 28), the same in every call."""
    return np.random.default_rng(0).integers(0, 256, (count, 28, 28), np.uint8)


def batch_calls(classifiers: dict[str, Classifier], pixels: NDArray[np.uint8]) -> dict[str, Callable[[], object]]:
    """Return a call of `predict_batch` on the same images for each classifier."""
    return {name: partial(classifier.predict_batch, pixels) for name, classifier in classifiers.items()}
