"""Crops of a digit: ink that reaches the edges, few pixels, textured paper."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from digits_edge.runtime import Classifier
from digits_edge.runtime.datasets.synthetic_digits import draw_digit
from digits_edge.runtime.preprocessing.crops import as_crop, smoothed
from digits_edge.runtime.preprocessing.mnist_format import framed, thickened, to_mnist_format
from digits_edge.runtime.preprocessing.polarity import MIN_PAGE_SIDE, is_separable, is_tight, light_ink
from tests.runtime.preprocessing.drawn_pictures import octagonal_zero, on_a_cheque, tight_crop

DIGITS = range(10)


@pytest.fixture(scope="module")
def classifier():
    with Classifier("edge-int8", provider="cpu", threads=1) as opened:
        yield opened


@pytest.mark.parametrize(("side", "levels"), [(16, 2), (16, 256), (8, 17), (30, 2), (63, 256)])
@pytest.mark.parametrize("dark", [False, True])
def test_tight_crops_are_classified_correctly(classifier, side: int, levels: int, dark: bool):
    wrong = [
        digit
        for digit in DIGITS
        if classifier.predict(tight_crop(digit, side, dark=dark, levels=levels)).label != str(digit)
    ]
    assert len(wrong) <= 1


@given(
    digit=st.sampled_from([0, 2, 3, 4, 5, 6, 7, 8, 9]),
    seed=st.integers(0, 10_000),
    thickness=st.floats(0.1, 0.2),
    side=st.integers(14, MIN_PAGE_SIDE - 1),
)
@settings(max_examples=40, deadline=None)
def test_a_tight_crop_and_its_negative_are_the_same_digit(digit: int, seed: int, thickness: float, side: int):
    drawn = draw_digit(digit, np.random.default_rng(seed), size=300, thickness=thickness)
    ink = drawn.crop(drawn.getbbox())
    scale = side / max(ink.size)
    small = ink.resize((max(4, round(ink.width * scale)), max(4, round(ink.height * scale))), Image.Resampling.BOX)
    pixels = np.where(np.asarray(small) > 127, 255, 0).astype(np.uint8)
    found, negative = (to_mnist_format(Image.fromarray(each)) for each in (pixels, 255 - pixels))
    assert not found.blank
    assert np.array_equal(found.image, negative.image)


@pytest.mark.parametrize("digit", DIGITS)
def test_very_bold_strokes_are_narrowed(digit: int):
    ink = tight_crop(digit, 60, 0.4, levels=256)[:, :, 0].astype(np.float32)
    bold, narrowed = framed(ink), framed(thickened(ink))
    assert (narrowed > 127).sum() < 0.95 * (bold > 127).sum()
    assert int(narrowed.any(axis=1).sum()) == int(bold.any(axis=1).sum())  # still 20 pixels high


def test_a_dot_is_not_narrowed_to_nothing():
    assert thickened(np.ones((9, 9), np.float32)).max() >= 0.5


def test_no_part_of_a_tight_crop_is_lost():
    for digit in (2, 3, 5, 8):
        pixels = tight_crop(digit, 40, 0.15, levels=256)
        found = to_mnist_format(Image.fromarray(pixels))
        left, upper, right, lower = found.box
        assert right - left >= pixels.shape[1] - 2
        assert lower - upper >= pixels.shape[0] - 2


def test_pattern_of_a_cheque_is_not_ink(classifier):
    wrong = [digit for digit in DIGITS if classifier.predict(on_a_cheque(digit)).label != str(digit)]
    assert len(wrong) <= 1
    plain = to_mnist_format(Image.fromarray(tight_crop(0, 40, 0.07, dark=True)))
    patterned = to_mnist_format(Image.fromarray(on_a_cheque(0)))
    inside = np.s_[11:17, 12:16]  # the hole of the zero
    assert patterned.image[inside].mean() < plain.image[inside].mean() + 20


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40))), st.booleans())
@settings(deadline=None)
def test_any_levels_keep_their_place_in_the_margin(pixels: np.ndarray, with_margin: bool):
    levels = pixels.astype(np.float32)
    crop = as_crop(levels, with_margin=with_margin)
    height, width = levels.shape
    inner = crop.levels[crop.margin : crop.margin + height, crop.margin : crop.margin + width]
    assert crop.levels.shape == (height + 2 * crop.margin, width + 2 * crop.margin)
    assert np.array_equal(inner, smoothed(levels) if crop.is_textured else levels)
    assert with_margin or crop.margin == 0


def pages_with_uneven_edges(dark_share: float):
    """A page with a pen stroke, of which a share is in a shadow, and a light strip on a dark table."""
    page = np.full((160, 160), 230, np.float32)
    page[:, : round(160 * dark_share)] = 120
    page[40:120, 70:76] -= 80
    yield page
    table = np.full((160, 160), 60, np.float32)
    table[:, : round(160 * (1 - dark_share))] = 230
    yield table


@pytest.mark.parametrize("dark_share", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_shadow_and_table_are_not_strokes_of_a_tight_crop(dark_share: float):
    assert not any(is_tight(page) for page in pages_with_uneven_edges(dark_share))


def test_lines_of_squared_paper_are_not_strokes_of_a_tight_crop():
    page = np.full((160, 160), 230, np.float32)
    page[::16] = page[:, ::16] = page[1::16] = page[:, 1::16] = 60
    assert not is_tight(page)


@pytest.mark.parametrize("digit", [0, 2, 3, 5, 6, 8, 9])
@pytest.mark.parametrize("side", [90, 160, 400])
def test_enlarged_tight_crop_and_its_negative_are_the_same_digit(classifier, digit: int, side: int):
    pixels = tight_crop(digit, side, 0.22)
    found = to_mnist_format(Image.fromarray(pixels))
    negative = to_mnist_format(Image.fromarray(np.dstack([255 - pixels[:, :, :3], pixels[:, :, 3:]])))
    difference = np.abs(found.image.astype(int) - negative.image)
    assert difference.max() <= 8  # resizing rounds levels and their negatives in different directions
    assert classifier.predict(found.image).digit == digit


@pytest.mark.parametrize("stroke", [25, 35, 42])
@pytest.mark.parametrize("dark", [False, True])
def test_ink_on_most_of_the_border_of_an_enlarged_crop_is_ink(classifier, stroke: int, dark: bool):
    picture = Image.fromarray(octagonal_zero(stroke, dark=dark))
    image = to_mnist_format(picture).image
    assert image[14, 14] == 0
    assert image[14].max() == 255
    assert classifier.predict(picture).digit == 0


def test_noise_and_light_are_not_ink_and_paper():
    rng = np.random.default_rng(0)
    for side in (16, 28, 50):
        noise = np.clip(128 + rng.normal(0, 20, (side, side)), 0, 255).astype(np.float32)
        assert not is_separable(noise)
        assert as_crop(noise, with_margin=True).margin == 0


def test_corners_decide_where_ink_covers_most_of_the_border():
    levels = np.zeros((16, 16), np.float32)
    levels[[0, 1, 14, 15]] = levels[:, [0, 1, 14, 15]] = 255  # a bold 0
    levels[np.ix_([0, 1, 14, 15], [0, 1, 14, 15])] = 0
    assert np.array_equal(light_ink(levels), levels)
    assert np.array_equal(light_ink(255 - levels), levels)
