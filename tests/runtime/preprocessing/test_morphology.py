"""The image operations agree with their definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from digits_edge.runtime.preprocessing.morphology import blurred, boxes, opened, otsu, percentile, pieces, running

MASKS = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12))
LEVELS = hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(0, 255))
ODD = st.sampled_from([1, 3, 5, 7])


def windows(array: np.ndarray, height: int, width: int) -> np.ndarray:
    padded = np.pad(array, ((height // 2, height // 2), (width // 2, width // 2)), mode="edge")
    return np.lib.stride_tricks.sliding_window_view(padded, (height, width))


@given(LEVELS, ODD, ODD)
def test_running_maximum_is_the_maximum_of_each_window(levels: np.ndarray, height: int, width: int):
    assert np.array_equal(running(np.maximum, levels, height, width), windows(levels, height, width).max((2, 3)))


@given(LEVELS, st.integers(0, 4))
def test_blurred_is_the_mean_of_each_window(levels: np.ndarray, radius: int):
    side = 2 * radius + 1
    np.testing.assert_allclose(blurred(levels, radius), windows(levels, side, side).mean((2, 3)), atol=1e-2)


@given(MASKS, ODD, ODD)
def test_opening_only_removes_and_is_idempotent(mask: np.ndarray, height: int, width: int):
    once = opened(mask, height, width)
    assert not (once & ~mask).any()
    assert np.array_equal(opened(once, height, width), once)


@given(MASKS)
def test_pieces_are_those_of_a_flood_fill(mask: np.ndarray):
    numbered, count = pieces(mask)
    assert np.array_equal(numbered > 0, mask)
    left = {(int(row), int(column)) for row, column in np.argwhere(mask)}
    found = 0
    while left:
        found += 1
        edge = [left.pop()]
        numbers = set()
        while edge:
            row, column = edge.pop()
            numbers.add(int(numbered[row, column]))
            around = {(row + y, column + x) for y in (-1, 0, 1) for x in (-1, 0, 1)} & left
            left -= around
            edge.extend(around)
        assert len(numbers) == 1
    assert found == count


@given(MASKS)
def test_boxes_are_tight(mask: np.ndarray):
    numbered, count = pieces(mask)
    for number, (left, upper, right, lower) in enumerate(boxes(numbered, count), start=1):
        rows, columns = np.nonzero(numbered == number)
        assert (left, upper, right, lower) == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)


@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_otsu_separates_ink_from_paper(share: float):
    rng = np.random.default_rng(0)
    ink = rng.random((60, 60)) < share
    levels = (np.where(ink, 200, 60) + rng.normal(0, 10, (60, 60))).astype(np.float32)
    assert np.array_equal(levels > otsu(levels), ink)


def test_otsu_of_a_tiled_picture_is_unchanged():
    levels = np.random.default_rng(0).normal([[60.0], [190.0]], 25, (2, 50)).astype(np.float32)
    levels[0, 0], levels[1, 0] = 0, 255
    large = np.tile(levels, (160, 4))
    assert otsu(large) == otsu(levels)


def test_otsu_of_one_level_is_that_level():
    assert otsu(np.full((3, 3), 7, np.float32)) == 7


@given(
    values=hnp.arrays(
        np.float32, hnp.array_shapes(min_dims=1, max_dims=2, max_side=9), elements=st.floats(-1e3, 1e3, width=32)
    ),
    percent=st.floats(0, 100),
)
def test_percentile_is_numpy_s(values, percent):
    np.testing.assert_allclose(percentile(values, percent), np.percentile(values, percent, axis=0), atol=1e-3)
