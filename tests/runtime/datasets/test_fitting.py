"""Data sets as inputs of models with another input or other classes."""

import numpy as np
import pytest

from digits_edge.runtime.datasets.catalogue import CATALOGUE, dataset_of
from digits_edge.runtime.datasets.fitting import fitted
from digits_edge.runtime.datasets.label_map import relabelled
from digits_edge.runtime.errors import UsageError
from digits_edge.runtime.model.image_input import ImageInput
from digits_edge.runtime.model.steps import DigitStep, ResizeStep

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 28, 28), np.uint8)
LABELS = (np.arange(20) % 10).astype(np.uint8)
DIGITS = dataset_of("mnist", IMAGES, LABELS)


def test_data_that_fits_is_unchanged():
    assert fitted(DIGITS, ImageInput()) is DIGITS
    assert fitted(DIGITS, ImageInput(polarity="as-photographed")) is DIGITS


@pytest.mark.parametrize("method", ["resize", "pad"])
@pytest.mark.parametrize("image", [ImageInput(32, 32), ImageInput(20, 40, 3), ImageInput(28, 28, 3)], ids=str)
def test_images_have_the_shape_of_the_input(image, method):
    data = fitted(DIGITS, image, method)
    assert data.images.shape == (20, *image.shape)
    assert data.image == ImageInput(image.height, image.width, image.channels)
    assert data.sha256 == DIGITS.sha256
    assert data.preprocessing[0] == DigitStep()
    np.testing.assert_array_equal(data.labels, LABELS)


def test_padding_keeps_the_pixels_and_resizing_is_a_step():
    padded = fitted(DIGITS, ImageInput(32, 30), "pad").images
    np.testing.assert_array_equal(padded[:, 2:30, 1:29], IMAGES)
    assert not padded[:, :2].any()
    assert fitted(DIGITS, ImageInput(20, 20), "pad").images.tolist() == IMAGES[:, 4:24, 4:24].tolist()
    assert fitted(DIGITS, ImageInput(14, 14)).preprocessing[-1] == ResizeStep(14, 14)


def test_progress_counts_the_images():
    seen = []
    fitted(DIGITS, ImageInput(32, 32), progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (20, 20)


def test_labels_are_mapped_to_other_classes():
    data = relabelled(DIGITS, [0, 1] * 5, ["even", "odd"])
    np.testing.assert_array_equal(data.labels, LABELS % 2)
    assert (data.class_names, data.sha256) == (("even", "odd"), DIGITS.sha256)


@pytest.mark.parametrize(
    ("classes", "message"), [([0, 1], "2 entries, but mnist has 10 classes"), ([0, 2] * 5, "outside 0 to 1")]
)
def test_a_label_map_that_does_not_fit_is_refused(classes, message):
    with pytest.raises(UsageError, match=message):
        relabelled(DIGITS, classes, ["even", "odd"])


def test_data_without_labels_has_nothing_to_map():
    with pytest.raises(UsageError, match="omit --label-map"):
        relabelled(dataset_of("mnist", IMAGES, None), [0] * 10, ["a", "b"])


def test_every_known_data_set_states_its_preprocessing():
    assert all(known.preprocessing for known in CATALOGUE.values())
