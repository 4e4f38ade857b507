"""A small labelled data set for trainings of a second."""

import numpy as np
import pytest

pytest.importorskip("keras", reason="training needs the extra [train]")

from digits_edge.runtime.datasets import Dataset


@pytest.fixture(scope="session")
def squares() -> Dataset:
    """300 noisy images with a bright square whose position depends on the class."""
    rng = np.random.default_rng(5)
    labels = (np.arange(300) % 10).astype(np.uint8)
    images = rng.integers(0, 60, (300, 28, 28), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        row, column = divmod(int(label), 5)
        image[4 + 10 * row : 10 + 10 * row, 2 + 5 * column : 6 + 5 * column] = 220
    return Dataset("squares", images, labels, tuple("0123456789"), "Apache-2.0", "0" * 64)
