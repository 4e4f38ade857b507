"""Input tensors of Keras models as images."""

import numpy as np
import pytest

from digits_edge.export.image_layout import ImageLayout
from digits_edge.runtime.errors import ModelError


@pytest.mark.parametrize(
    ("shape", "image"),
    [
        ((None, 784), (28, 28)),
        ((None, 3072), (32, 32, 3)),
        ((None, 20, 30), (20, 30)),
        ((None, 20, 30, 1), (20, 30)),
        ((None, 20, 30, 3), (20, 30, 3)),
        ((None, 1, 20, 30), (20, 30)),
        ((None, 3, 20, 30), (20, 30, 3)),
        ((None, 3, 3, 3), (3, 3, 3)),
    ],
)
def test_layout_gives_the_image_and_arranges_it(shape, image):
    layout = ImageLayout.of(shape)
    assert layout.image.shape == image
    images = np.random.default_rng(0).random((2, *image), np.float32)
    arranged = layout.arranged(images)
    assert arranged.shape == (2, *shape[1:])
    back = np.moveaxis(arranged, 1, -1) if layout.is_transposed else arranged.reshape(images.shape)
    np.testing.assert_array_equal(back, images)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((None, None, None, 3), "not fixed; build the model with the height and width"),
        ((None, 783), "not that of images; supported are"),
        ((None, 20, 30, 4), "not that of images"),
        ((None,), "not that of images"),
        ((None, 2, 2, 2, 2), "not that of images"),
        ((None, 2000, 2000, 1), "larger than 1024×1024 pixels"),
    ],
)
def test_other_shapes_are_refused_in_one_line(shape, message):
    with pytest.raises(ModelError, match=message) as caught:
        ImageLayout.of(shape)
    assert "\n" not in str(caught.value)
