"""Slant of line images, and the second reading of uncertain lines."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digits_edge.runtime import Reader
from digits_edge.runtime.reader import line_reader
from digits_edge.runtime.reader.number_values import by_value
from digits_edge.runtime.reader.search import Hypothesis
from digits_edge.runtime.reader.slant import slant_of, without_slant
from tests.drawn_numbers import Written, number_page, plain


def strokes(slant: float) -> np.ndarray:
    """Strokes of a slant in a line image, antialiased."""
    rows, columns = np.mgrid[:32, :120]
    image = np.zeros((32, 120))
    for foot in (30, 60, 90):
        distance = np.abs(columns - foot + slant * (rows - 15.5)) / np.hypot(1, slant)
        image = np.maximum(image, np.clip(2.5 - distance, 0, 1))
    return np.rint(255 * image).astype(np.uint8)


@given(st.floats(-0.7, 0.7))
def test_the_slant_of_strokes_is_found_and_removed(slant: float):
    image = strokes(slant)
    assert slant_of(image) == pytest.approx(slant, abs=0.05 + 0.2 * abs(slant))
    upright = without_slant(image, slant)
    assert abs(slant_of(upright)) < 0.1
    assert int(upright.sum()) == pytest.approx(int(image.sum()), rel=0.01)  # nothing is cut off


def test_a_widened_line_has_wider_strokes_at_the_same_place():
    image = strokes(0.0)
    for widening in (0.8, 1.0, 1.25):
        widened = without_slant(image, 0.0, widening)
        assert int(widened.sum()) == pytest.approx(int(image.sum()) * widening, rel=0.02)
        centres = np.flatnonzero(widened[16] > 250) / widening - 1  # the margin is one pixel
        assert all(np.abs(centres - foot).min() < 2 for foot in (30, 60, 90))


def test_paper_has_no_slant():
    assert slant_of(np.zeros((32, 40), np.uint8)) == 0


def test_confidences_of_several_readings_are_averaged():
    readings = [[Hypothesis("17", 0.6), Hypothesis("11", 0.3)], [Hypothesis("11", 0.8)]]
    assert [(each.text, round(each.confidence, 6)) for each in by_value(readings)] == [
        ("11", 0.55),
        ("17", 0.3),
    ]


def test_only_uncertain_lines_are_read_again(sequence_model: Path, monkeypatch: pytest.MonkeyPatch):
    page = number_page(plain(), [Written("7901", 100, 100, 60, even=True)])
    with Reader(sequence_model, provider="cpu") as reader:
        runs = []
        columns = reader.model.columns
        monkeypatch.setattr(reader.model, "columns", lambda image: runs.append(image.shape) or columns(image))
        monkeypatch.setattr(line_reader, "READ_AGAIN_BELOW", 0.0)
        field = [(0, 0, *page.size)]  # a field is not turned
        assert reader.read(page, regions=field).text == "7901"
        assert len(runs) == 1
        monkeypatch.setattr(line_reader, "READ_AGAIN_BELOW", 1.1)
        reader.read(page, regions=field)
        assert len(runs) == 2 + len(line_reader.WIDENINGS)
