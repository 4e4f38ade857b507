"""Tests of `digits_edge.train.numbers.lines`."""

import numpy as np
import pytest

from digits_edge.runtime.datasets.synthetic_digits import draw_image
from digits_edge.runtime.reader.line_image import LINE_HEIGHT
from digits_edge.train.data.outlines import outlines_of
from digits_edge.train.numbers.distractors import draw_distractor
from digits_edge.train.numbers.glyphs import digit_glyphs, separator_glyph
from digits_edge.train.numbers.lines import NumberLines
from digits_edge.train.numbers.settings import LineSettings
from digits_edge.train.numbers.texts import CHARACTERS, Text
from digits_edge.train.numbers.writing import random_style, write_line
from scripts.draw_numbers import contact_sheet

STROKES = LineSettings(images=0, fonts=0, empty=0)


def strokes(seed: int = 0, **settings: object) -> NumberLines:
    return NumberLines(seed, LineSettings(**{"images": 0, "fonts": 0, "empty": 0, **settings}), fonts=())  # type: ignore[arg-type]


def test_the_same_seed_makes_the_same_lines() -> None:
    one, other = strokes().block(3, 12), strokes().block(3, 12)
    assert [line.text for line in one] == [line.text for line in other]
    assert all(np.array_equal(a.image, b.image) for a, b in zip(one, other, strict=True))
    assert [line.text for line in strokes().block(4, 12)] != [line.text for line in one]


def test_lines_are_line_images_of_numbers() -> None:
    lines = strokes().block(0, 60)
    assert {line.image.shape[0] for line in lines} == {LINE_HEIGHT}
    assert all(line.image.dtype == np.uint8 and line.image.max() > 100 for line in lines)
    assert all(line.text and set(line.text) <= set(CHARACTERS) for line in lines)
    # longer texts are wider lines
    widths, lengths = np.array([(line.image.shape[1], len(line.text)) for line in lines]).T
    assert np.median(widths[lengths >= 6]) > 1.25 * np.median(widths[lengths <= 4])


def test_lines_without_a_number_have_no_text() -> None:
    lines = strokes(empty=1.0).block(0, 20)
    assert {line.text for line in lines} == {""}
    assert any(line.image.max() > 100 for line in lines)


def test_images_of_the_data_are_used() -> None:
    images = np.stack([draw_image(digit, np.random.default_rng(digit)) for digit in range(10)])
    labels = np.arange(10, dtype=np.uint8)
    settings = LineSettings(fonts=0, strokes=0, empty=0)
    lines = NumberLines(0, settings, images=images, labels=labels, fonts=()).block(0, 5)
    assert all(line.image.max() > 100 for line in lines)


def test_characters_are_placed_from_left_to_right() -> None:
    rng = np.random.default_rng(0)
    for seed in range(5):
        hand = strokes()._source.hand(np.random.default_rng(seed))
        line = write_line(Text("1720.-"), hand, random_style(rng, STROKES), rng, STROKES)
        middles = line.boxes.mean(axis=1)
        assert (np.diff(middles) > 0).all()
        assert line.boxes.min() >= 0
        assert line.boxes.max() <= line.field.shape[1]


def test_raised_cents_are_smaller_and_higher() -> None:
    rng = np.random.default_rng(1)
    hand = strokes()._source.hand(np.random.default_rng(2))
    style = random_style(rng, LineSettings(joined=0, comb=0, slant=0, mean_slant=0, wide=1))
    line = write_line(Text("8888", raised=2), hand, style, rng, STROKES)
    rows = []
    for left, right in line.boxes:
        part = line.field[:, round(left) : round(right)] > 0
        rows.append(np.flatnonzero(part.any(axis=1)))
    assert max(len(each) for each in rows[2:]) < min(len(each) for each in rows[:2])
    assert max(each[-1] for each in rows[2:]) < min(each[-1] for each in rows[:2])


@pytest.mark.parametrize("character", ".,-/=$€")
def test_separators_have_a_place_on_the_line(character: str) -> None:
    for seed in range(10):
        glyph = separator_glyph(character, np.random.default_rng(seed))
        field = np.asarray(glyph.field)
        rows = np.flatnonzero((field > 0).any(axis=1))
        top, bottom = (glyph.base_px - rows[0]) / glyph.unit_px, (glyph.base_px - rows[-1]) / glyph.unit_px
        assert top <= 1.4
        assert bottom >= -0.6
        if character in ".,":
            assert top < 0.75
        if character in "$€/":
            assert top > 0.9


def test_an_image_without_ink_becomes_a_glyph() -> None:
    glyphs = digit_glyphs(outlines_of([np.full((8, 8), 255, np.uint8)]), np.zeros(1, np.uint8), removes_slant=True)
    assert glyphs[0].unit_px > 0


def test_the_sheet_shows_every_line() -> None:
    lines = strokes().block(0, 9)
    sheet = contact_sheet(lines, width=400)
    assert sheet.width == 400
    assert sheet.height >= 2 * 46
    assert np.asarray(sheet).max() == 255


def test_distractors_are_ink() -> None:
    rng = np.random.default_rng(0)
    found = [draw_distractor((), 30, rng) for _ in range(40)]
    assert all(ink.min() >= 0 and ink.max() <= 1 for ink in found)
    assert sum(ink.max() > 0.9 for ink in found) > 25
    assert any(ink.max() < 0.5 for ink in found)  # blank paper
