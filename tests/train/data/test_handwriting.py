"""Outlines, and digits written from them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("scipy", reason="needs the extra [train]")

from digits_edge.train.data.hand import Hand
from digits_edge.train.data.handwriting import Shapes, random_shapes, written
from digits_edge.train.data.national_digits import VARIANTS, draw_national_digit
from digits_edge.train.data.outlines import CANVAS_PX, DIGIT_PX, Outlines, outlines_of
from digits_edge.train.data.shape_changes import changed_shapes
from digits_edge.train.data.surroundings import surrounded

#: A hand that changes nothing by itself.
STILL = Hand(
    turn=0, bend_px=0, shake_px=0, pressure=0, joined=0, broken=0, pale=0, neighbour=0, line=0, pattern=0, coarse=0
)


def ring(width: int = 6) -> np.ndarray:
    y, x = np.mgrid[:60, :60] - 29.5
    away = np.hypot(y, x)
    return np.where((away < 25) & (away > 25 - width), 255, 0).astype(np.uint8)


def bar(height: int = 50, width: int = 5) -> np.ndarray:
    return np.full((height, width), 255, np.uint8)


def shapes(count: int, *, slant: float = 0.0, aspect: float = 0.0, pen_px: float = 3.0) -> Shapes:
    return Shapes(np.full(count, slant), np.full(count, aspect), np.full(count, pen_px))


def ink_px(images: np.ndarray) -> np.ndarray:
    return images.sum(axis=(1, 2)) / 255


def test_outlines_measure_width_gap_and_slant() -> None:
    y, x = np.mgrid[:60, :60]
    slanted = np.where(np.abs(x - (45 - 0.5 * y)) < 3, 255, 0).astype(np.uint8)
    found = outlines_of([ring(), bar(), slanted])
    assert found.distances.shape == (3, CANVAS_PX, CANVAS_PX)
    assert found.half_widths[0] == pytest.approx(3 * DIGIT_PX / 50, abs=0.6)
    assert found.gaps[0] == pytest.approx(19 * DIGIT_PX / 50, abs=2)
    assert found.gaps[1] == CANVAS_PX
    assert found.slants == pytest.approx([0, 0, 0.5], abs=0.07)


@pytest.mark.parametrize("drawing", [bar(1, 1), bar(1, 30), bar(400, 2), ring(25), bar(80, 80)])
def test_strange_drawings_have_outlines(drawing: np.ndarray) -> None:
    found = outlines_of([drawing])
    assert np.isfinite(found.distances).all()
    assert np.isfinite(found.half_widths).all()
    assert written(found, np.zeros(1, np.uint8), shapes(1), np.random.default_rng(0)).any()


def test_pens_write_wider_strokes_and_leave_holes_open() -> None:
    rings, labels = outlines_of([ring()] * 3), np.zeros(3, np.uint8)
    pens = Shapes(np.zeros(3), np.zeros(3), np.array([2.0, 3.0, 40.0]))
    images = written(rings, labels, pens, np.random.default_rng(0), STILL)
    thin, usual, felt = ink_px(images)
    assert thin < usual < felt
    assert (images[:, 14, 14] < 60).all()


def test_slant_and_aspect_change_the_shape() -> None:
    bars, labels = outlines_of([bar()]), np.ones(1, np.uint8)
    rng = np.random.default_rng(0)
    leaning = written(bars, labels, shapes(1, slant=0.4), rng, STILL)[0]
    top, bottom = (np.average(np.arange(28), weights=leaning[rows].sum(0)) for rows in (slice(4, 9), slice(19, 24)))
    assert top - bottom == pytest.approx(0.4 * 15, abs=1.2)
    rings, zeros = outlines_of([ring()]), np.zeros(1, np.uint8)
    wide = written(rings, zeros, shapes(1, aspect=0.4), rng, STILL)[0]
    assert wide.any(axis=0).sum() > 1.3 * wide.any(axis=1).sum()


def test_normalisation_makes_digits_upright() -> None:
    y, x = np.mgrid[:60, :60]
    slanted = np.where(np.abs(x - (45 - 0.5 * y)) < 3, 255, 0).astype(np.uint8)
    outlines = outlines_of([slanted] * 60)
    changed = changed_shapes(outlines, np.ones(60, np.uint8), np.random.default_rng(0))
    kinds = np.round(changed.slants + outlines.slants, 2)
    assert 8 < (kinds == 0).sum() < 32
    assert 8 < (changed.slants == 0).sum() < 32
    assert np.abs(kinds).max() <= 0.61


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 9), st.integers(0, 2**32 - 1))
def test_every_drawn_digit_is_written_in_mnist_format(digit: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.full(3, digit, np.uint8)
    outlines = outlines_of(draw_national_digit(digit, rng)[0] for _ in range(3))
    images = written(outlines, labels, random_shapes(labels, rng), rng)
    assert (images.shape, images.dtype) == ((3, 28, 28), np.uint8)
    assert (images.max(axis=(1, 2)) == 255).all()
    assert (ink_px(images) > 8).all()
    assert (ink_px(images) < 330).all()
    assert not images[:, 0].any(axis=1).all()


@pytest.mark.parametrize("digit", range(10))
def test_every_variant_can_be_drawn(digit: int) -> None:
    rng = np.random.default_rng(1)
    for draw, weight in VARIANTS[digit].values():
        points = [point.split(",") for stroke in draw(rng).split("|") for point in stroke.split()]
        assert weight > 0
        assert all(len(point) == 2 and -100 <= float(value) <= 200 for point in points for value in point)


def test_variants_are_drawn_by_their_weights() -> None:
    rng = np.random.default_rng(2)
    names = [draw_national_digit(7, rng)[1] for _ in range(60)]
    assert set(names) == set(VARIANTS[7])
    assert 20 < sum("crossed" in name for name in names) < 42


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_surroundings_add_ink_near_the_digit_only(seed: int) -> None:
    field, other = outlines_of([ring(), bar()]).distances
    crowded = surrounded(field, other, np.random.default_rng(seed), Hand(neighbour=1, line=1, pattern=1))
    assert (crowded >= field).all()
    rows, columns = np.nonzero(crowded > 0)
    first, last = (CANVAS_PX - DIGIT_PX) / 2, (CANVAS_PX + DIGIT_PX) / 2
    margin = 0.3 * DIGIT_PX + 2
    assert min(rows.min(), columns.min()) >= first - margin
    assert max(rows.max(), columns.max()) <= last + margin
    assert len(rows) > (field > 0).sum()


def test_joined_and_broken_digits_differ_near_their_ink() -> None:
    rings, zeros = outlines_of([ring()] * 20), np.zeros(20, np.uint8)
    whole, joined, broken = (
        written(rings, zeros, shapes(20), np.random.default_rng(1), replace(STILL, **change))
        for change in ({}, {"joined": 1.0}, {"broken": 1.0})
    )
    assert (joined.any(axis=1).sum(axis=1) >= whole.any(axis=1).sum(axis=1)).all()
    assert (np.abs(joined.astype(int) - whole).max(axis=(1, 2)) > 60).all()
    assert (ink_px(broken) < ink_px(whole)).mean() > 0.9


@pytest.mark.parametrize("seed", range(3))
def test_low_resolution_scans_are_blocks_in_mnist_format(seed: int) -> None:
    """An edge of a coarse ring is softer or has steps, so more or fewer pixels are between black and white."""
    rings, zeros = outlines_of([ring()] * 20), np.zeros(20, np.uint8)
    fine, coarse = (
        written(rings, zeros, shapes(20), np.random.default_rng(seed), replace(STILL, coarse=share))
        for share in (0.0, 1.0)
    )
    for image in coarse:
        rows, columns = (np.flatnonzero((image > 0).any(axis=axis)) for axis in (1, 0))
        assert max(np.ptp(rows), np.ptp(columns)) + 1 == 20
    assert (np.abs(fine.astype(int) - coarse).max(axis=(1, 2)) > 60).mean() > 0.5


def test_no_outlines_give_no_images() -> None:
    nothing = outlines_of([])
    assert isinstance(nothing, Outlines)
    assert written(nothing, np.empty(0, np.uint8), shapes(0), np.random.default_rng(0)).shape == (0, 28, 28)
