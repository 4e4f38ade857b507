"""Pictures of garments are converted to the Fashion-MNIST format."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from digits_edge.runtime.datasets import load
from digits_edge.runtime.preprocessing.pictures import open_picture
from digits_edge.runtime.preprocessing.plain_object import to_object_format

DATA = Path(os.environ.get("DIGITS_EDGE_DATA", Path(__file__).parents[4] / "shared/data"))


def shirt(*, ground: tuple[int, int, int], cloth: tuple[int, int, int]) -> Image.Image:
    """A T-shirt, 120 pixels wide and 80 high, on a background of 200×160 pixels."""
    pixels = np.full((160, 200, 3), ground, np.uint8)
    pixels[40:65, 40:160] = cloth
    pixels[40:120, 75:125] = cloth
    return Image.fromarray(pixels)


@pytest.mark.parametrize(
    ("ground", "cloth"),
    [((255, 255, 255), (20, 60, 140)), ((0, 0, 0), (230, 230, 230)), ((240, 236, 225), (120, 20, 20))],
)
def test_garment_fills_the_width_and_is_centred(ground, cloth):
    found = to_object_format(shirt(ground=ground, cloth=cloth))
    rows, columns = np.flatnonzero(found.image.any(1)), np.flatnonzero(found.image.any(0))
    assert (columns[0], columns[-1]) == (0, 27)
    assert abs((rows[0] + rows[-1]) / 2 - 13.5) <= 1
    assert len(rows) == pytest.approx(28 * 80 / 120, abs=1.5)
    assert found.box == pytest.approx((40, 40, 160, 120), abs=2)
    assert found.image[27 - rows[0]].max() == 0 or rows[0] == 0


def test_darker_garment_on_white_gives_higher_levels():
    dark, pale = (to_object_format(shirt(ground=(255, 255, 255), cloth=(c, c, c))).image.max() for c in (30, 200))
    assert dark == pytest.approx(225, abs=2)
    assert pale == pytest.approx(55, abs=2)


def test_transparent_background_is_removed():
    pixels = np.zeros((100, 80, 4), np.uint8)
    pixels[10:90, 20:60] = (200, 30, 30, 255)
    found = to_object_format(Image.fromarray(pixels))
    columns = np.flatnonzero(found.image.any(0))
    assert (columns[0], columns[-1]) == (7, 20)


def test_speck_is_ignored():
    picture = shirt(ground=(255, 255, 255), cloth=(20, 60, 140))
    picture.putpixel((3, 3), (0, 0, 0))
    np.testing.assert_array_equal(
        to_object_format(picture).image,
        to_object_format(shirt(ground=(255, 255, 255), cloth=(20, 60, 140))).image,
    )


def test_empty_picture_is_blank():
    found = to_object_format(Image.new("RGB", (60, 90), (250, 250, 250)))
    assert found.blank
    assert found.box is None
    assert not found.image.any()


@given(arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40), st.just(3))))
@settings(max_examples=60, deadline=None)
def test_any_picture_gives_an_image(pixels):
    found = to_object_format(open_picture(Image.fromarray(pixels)))
    assert found.image.shape == (28, 28)
    assert found.image.dtype == np.uint8
    assert found.blank == (not found.image.any()) or not found.blank


@pytest.mark.skipif(not (DATA / "fashion-mnist").is_dir(), reason=f"no Fashion-MNIST in {DATA}")
def test_enlarged_fashion_mnist_image_is_recovered():
    images = load("fashion-mnist", "test", data=DATA / "fashion-mnist").images[:100]
    correlations = []
    for image in images:
        canvas = np.pad(255 - image, 12, constant_values=255)
        photo = Image.fromarray(canvas).resize((416, 416), Image.Resampling.BICUBIC)
        correlations.append(np.corrcoef(to_object_format(photo).image.ravel(), image.ravel())[0, 1])
    assert np.median(correlations) > 0.88  # blur removes patterns
