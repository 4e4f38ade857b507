"""Occlusion maps of models that depend on known pixels."""

import numpy as np
import pytest

from digits_edge.runtime.checks import occlusion
from digits_edge.runtime.checks.occlusion import occlusion_maps


def corner_model(images):
    """Probability of class 0: mean brightness of the 4×4 pixels at (6, 8); of class 1: the rest."""
    assert images.dtype == np.uint8 and images.shape[1:] == (28, 28)
    bright = images[:, 6:10, 8:12].mean(axis=(1, 2), dtype=np.float64) / 255
    return np.stack([bright, 1 - bright], axis=1).astype(np.float32)


@pytest.fixture
def images():
    images = np.zeros((2, 28, 28), np.uint8)
    images[0, 6:10, 8:12] = 255
    images[1, 20:, 20:] = 255
    return images


def test_map_is_largest_at_the_pixels_that_matter(images):
    maps = occlusion_maps(corner_model, images)
    assert (maps.shape, maps.dtype) == ((2, 2, 28, 28), np.float32)
    row, column = np.unravel_index(maps[0, 0].argmax(), (28, 28))
    assert 6 <= row < 10 and 8 <= column < 12
    assert maps[0, 0].max() <= 1
    far = maps[0, 0, 16:, 18:]
    assert not far.any()


def test_maps_of_two_classes_are_opposite(images):
    maps = occlusion_maps(corner_model, images)
    np.testing.assert_allclose(maps[:, 0], -maps[:, 1], atol=1e-6)


def test_occluding_black_pixels_changes_nothing(images):
    assert not occlusion_maps(corner_model, images)[1].any()


def test_square_and_step_can_be_set(images):
    """Occluding a single pixel removes 1/16 of the brightness."""
    maps = occlusion_maps(corner_model, images[:1], square=1, step=1)
    expected = np.zeros((28, 28), np.float32)
    expected[6:10, 8:12] = 1 / 16
    np.testing.assert_allclose(maps[0, 0], expected, atol=1e-6)


def colour_model(images):
    """Probability of class 0: mean red of the left half; of class 1: the rest."""
    assert images.dtype == np.uint8 and images.shape[1:] == (40, 60, 3)
    red = images[:, :, :30, 0].mean(axis=(1, 2), dtype=np.float64) / 255
    return np.stack([red, 1 - red], axis=1).astype(np.float32)


@pytest.fixture
def photographs():
    images = np.zeros((1, 40, 60, 3), np.uint8)
    images[..., 0] = 255
    return images


def test_map_of_a_colour_image_has_its_height_and_width(photographs):
    maps = occlusion_maps(colour_model, photographs, level=128)
    assert maps.shape == (1, 2, 40, 60)
    assert (maps[0, 0, :, :20] > 0).all() and not maps[0, 0, :, 45:].any()


def test_one_class_gives_its_row_of_the_complete_map(photographs):
    one = occlusion_maps(colour_model, photographs, classes=[1])
    np.testing.assert_array_equal(one, occlusion_maps(colour_model, photographs)[:, 1:])


def test_calls_have_a_limited_size_and_the_same_result(photographs, monkeypatch: pytest.MonkeyPatch):
    sizes = []

    def counted(images):
        sizes.append(len(images))
        return colour_model(images)

    expected = occlusion_maps(colour_model, photographs)
    monkeypatch.setattr(occlusion, "MAX_VALUES", 5 * photographs[0].size)
    np.testing.assert_array_equal(occlusion_maps(counted, photographs), expected)
    assert max(sizes) == 5
