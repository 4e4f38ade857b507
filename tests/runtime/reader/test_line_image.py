"""Tests of `digits_edge.runtime.reader.line_image`."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from digits_edge.runtime.reader.line_image import (
    INK_HEIGHT,
    LINE_HEIGHT,
    MAX_LINE_WIDTH,
    MIN_LINE_WIDTH,
    WORK_HEIGHT,
    find_band,
    line_image,
    line_levels,
)

Levels = NDArray[np.float32]


def bars(height: int = 60, width: int = 200, *, top: int = 12, bottom: int = 48, paper: float = 20) -> Levels:
    """A line of three upright strokes, lighter than the paper."""
    levels = np.full((height, width), paper, np.float32)
    for left in (30, 80, 130):
        levels[top:bottom, left : left + 5] = paper + 150
    return levels


def ink_rows(image: NDArray[np.uint8]) -> tuple[int, int]:
    rows = np.flatnonzero((image > 127).any(axis=1))
    return int(rows[0]), int(rows[-1]) + 1


def test_the_ink_of_a_line_is_24_rows_high() -> None:
    image = line_image(bars())
    assert image.dtype == np.uint8
    assert image.shape == (LINE_HEIGHT, round(200 * INK_HEIGHT / 36))
    assert ink_rows(image) == (4, 28)


@pytest.mark.parametrize("size", [(200, 60), (400, 120), (1000, 300)])
def test_size_and_scale_of_the_picture_do_not_matter(size: tuple[int, int]) -> None:
    picture = Image.fromarray((255 - bars()).astype(np.uint8)).resize(size, Image.Resampling.BILINEAR)
    levels = line_levels(picture)
    assert levels.shape[0] <= WORK_HEIGHT
    image = line_image(levels)
    assert abs(image.shape[1] - 133) <= 6
    assert ink_rows(image)[1] - ink_rows(image)[0] == pytest.approx(INK_HEIGHT, abs=1)


def test_columns_are_scaled_like_rows() -> None:
    levels = bars()
    image = line_image(levels)
    for left in (30, 80, 130):
        assert image[16, round((left + 2.5) * image.shape[1] / levels.shape[1])] == 255
        assert image[16, round((left + 20) * image.shape[1] / levels.shape[1])] == 0


def test_dark_ink_and_light_ink_give_the_same_image() -> None:
    dark = Image.fromarray((255 - bars()).astype(np.uint8))
    light = Image.fromarray(bars().astype(np.uint8))
    assert np.abs(line_image(line_levels(dark)).astype(int) - line_image(line_levels(light))).max() <= 2


def test_shadows_are_flattened() -> None:
    shadow = np.linspace(0, 90, 200, dtype=np.float32)
    image = line_image(bars() * np.float32(0.6) + shadow)
    assert ink_rows(image) == (4, 28)
    paper = image[:, 100:105]
    assert paper.max() < 40


def test_patterns_stay_as_faint_grey() -> None:
    levels = bars()
    levels[::4] += 25
    image = line_image(np.minimum(levels, 170))
    paper = image[:, 60:75].astype(float)
    assert 0 < paper.max() < 90


def test_blank_paper_stays_dark() -> None:
    noise = np.random.default_rng(0).normal(100, 2, (50, 150)).astype(np.float32)
    image = line_image(noise)
    assert image.mean() < 25
    assert line_image(np.full((50, 150), 80, np.float32)).max() == 0


@given(st.integers(0, 10_000), st.integers(90, 180), st.integers(50, 150))
def test_strokes_of_one_pixel_are_one_piece(seed: int, height: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    angles = np.linspace(0, 2 * np.pi, 24)
    radii = rng.uniform(0.85, 1, len(angles))  # a wobbling ring, as a hand draws a zero with a mouse
    picture = Image.new("L", (width + 60, height + 20))
    points = np.stack([30 + width / 2 * (1 + radii * np.cos(angles)), 10 + height / 2 * (1 + radii * np.sin(angles))])
    ImageDraw.Draw(picture).line([*map(tuple, points.T.tolist())], fill=255)
    levels = line_levels(picture)
    rows = np.flatnonzero((levels > 60).any(axis=1))
    upper, lower = find_band(levels)
    assert abs(upper - rows[0]) <= 2
    assert abs(lower - rows[-1] - 1) <= 2


def test_a_rule_does_not_count_as_ink_of_the_line() -> None:
    levels = bars(top=8, bottom=38)
    levels[46:48] = 170
    assert find_band(levels) == (8, 38)


def test_parts_of_neighbouring_lines_do_not_count() -> None:
    levels = bars()
    levels[:7, 60:70] = levels[53:, 110:118] = 170
    assert find_band(levels) == (12, 48)


def test_separators_do_not_count() -> None:
    levels = bars()
    levels[44:52, 60:63] = 170  # a comma
    levels[28:31, 150:175] = 170  # a dash
    assert find_band(levels) == (12, 48)


def test_a_tight_crop_has_all_rows() -> None:
    levels = bars()[12:48]
    assert find_band(levels) == (0, 36)
    assert ink_rows(line_image(levels)) == (4, 28)


def test_a_given_band_is_used() -> None:
    image = line_image(bars(), (0, 60))
    assert image.shape == (LINE_HEIGHT, 80)
    assert ink_rows(image) == (9, 23)


def test_widths_have_limits() -> None:
    narrow = np.zeros((60, 8), np.float32)
    narrow[10:50, 2:6] = 200
    image = line_image(narrow)
    assert image.shape[1] == MIN_LINE_WIDTH
    assert not image[:, 8:].any()
    wide = np.zeros((20, 2000), np.float32)
    wide[4:16, ::10] = 200
    assert line_image(wide).shape == (LINE_HEIGHT, MAX_LINE_WIDTH)


def test_a_region_of_a_coloured_picture() -> None:
    page = Image.new("RGB", (400, 300), (240, 230, 200))
    draw = ImageDraw.Draw(page)
    draw.rectangle((120, 110, 126, 150), fill=(20, 30, 140))
    draw.rectangle((160, 110, 166, 150), fill=(20, 30, 140))
    image = line_image(line_levels(page, (100, 100, 200, 160)))
    assert ink_rows(image) == (4, 28)
