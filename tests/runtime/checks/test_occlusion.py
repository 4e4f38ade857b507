"""Occlusion maps of models whose answer hangs on a known place."""

import numpy as np
import pytest

from digits_edge.runtime.checks.occlusion import occlusion_maps


def corner_model(images):
    """Class 0's probability is the brightness of the 4×4 pixels at (6, 8); class 1's the rest."""
    assert images.dtype == np.uint8 and images.shape[1:] == (28, 28)
    bright = images[:, 6:10, 8:12].mean(axis=(1, 2), dtype=np.float64) / 255
    return np.stack([bright, 1 - bright], axis=1).astype(np.float32)


@pytest.fixture
def images():
    images = np.zeros((2, 28, 28), np.uint8)
    images[0, 6:10, 8:12] = 255
    images[1, 20:, 20:] = 255
    return images


def test_map_peaks_where_the_answer_comes_from(images):
    maps = occlusion_maps(corner_model, images)
    assert (maps.shape, maps.dtype) == ((2, 2, 28, 28), np.float32)
    row, column = np.unravel_index(maps[0, 0].argmax(), (28, 28))
    assert 6 <= row < 10 and 8 <= column < 12
    assert maps[0, 0].max() <= 1
    far = maps[0, 0, 16:, 18:]
    assert not far.any()


def test_what_speaks_for_one_of_two_classes_speaks_against_the_other(images):
    maps = occlusion_maps(corner_model, images)
    np.testing.assert_allclose(maps[:, 0], -maps[:, 1], atol=1e-6)


def test_what_is_black_already_cannot_be_hidden(images):
    assert not occlusion_maps(corner_model, images)[1].any()


def test_square_and_step_may_be_chosen(images):
    """A single pixel hidden at a time takes its own share of the brightness away: 1 of 16."""
    maps = occlusion_maps(corner_model, images[:1], square=1, step=1)
    expected = np.zeros((28, 28), np.float32)
    expected[6:10, 8:12] = 1 / 16
    np.testing.assert_allclose(maps[0, 0], expected, atol=1e-6)
