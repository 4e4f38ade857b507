"""A small labelled data set for trainings of a second."""

import numpy as np
import pytest

pytest.importorskip("keras", reason="training needs the extra [train]")

from digits_edge.runtime.datasets import Dataset
from digits_edge.runtime.model.image_input import ImageInput
from digits_edge.runtime.model.steps import default_steps


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


@pytest.fixture(scope="session")
def colours() -> Dataset:
    """180 noisy photographs, 12×16, of three classes with a patch of different place and colour."""
    rng = np.random.default_rng(6)
    labels = (np.arange(180) % 3).astype(np.uint8)
    images = rng.integers(0, 120, (180, 12, 16, 3), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[3:9, 1 + 5 * label : 6 + 5 * label, label] = 230
    image = ImageInput(12, 16, 3, "as-photographed")
    steps = default_steps(image, digits=False)
    return Dataset("colours", images, labels, ("red", "green", "blue"), "Apache-2.0", "1" * 64, image, steps)
