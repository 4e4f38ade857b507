"""Drawings that are not digits."""

import numpy as np
import pytest

from digits_edge.train.data.non_digits import LETTERS, SIGNS, draw_non_digits


def test_drawings_are_a_function_of_the_seed() -> None:
    first, again, other = (draw_non_digits(30, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert (first.dtype, first.shape) == (np.uint8, (30, 28, 28))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert len({image.tobytes() for image in first}) == 30


def test_few_drawings_are_blank_and_count_zero_gives_none() -> None:
    drawn = draw_non_digits(200, np.random.default_rng(0))
    assert (drawn.max(axis=(1, 2)) > 20).mean() > 0.95
    assert draw_non_digits(0, np.random.default_rng(0)).shape == (0, 28, 28)


@pytest.mark.parametrize("name", [*LETTERS, *SIGNS])
def test_shapes_stay_within_their_square(name: str) -> None:
    for shape in (LETTERS | SIGNS)[name]:
        points = [tuple(map(int, point.split(","))) for stroke in shape.split("|") for point in stroke.split()]
        assert all(0 <= value <= 100 for point in points for value in point)
