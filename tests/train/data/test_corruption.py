"""Each corruption has the documented effect, with its own amount for each image."""

import numpy as np
import pytest

from digits_edge.runtime.datasets.synthetic_digits import draw_image
from digits_edge.train.data.augmentation import Augmentation, Corruption
from digits_edge.train.data.augmenting import augment
from digits_edge.train.data.corruption import blurred, cut_out, lit, noisy, ruled, specked, with_other_strokes

RNG = np.random.default_rng(5)
IMAGES = np.stack([draw_image(digit, RNG) for digit in range(10)]).astype(np.float32) / 255


def each(amount: float, *, last: float = 0.0) -> np.ndarray:
    """Amounts: `amount` for the first nine images, `last` for the last."""
    return np.array([amount] * 9 + [last])


@pytest.mark.parametrize("corrupt", [with_other_strokes, blurred])
def test_amount_zero_changes_nothing(corrupt) -> None:
    np.testing.assert_allclose(corrupt(IMAGES, np.zeros(10)), IMAGES, atol=1e-6)


@pytest.mark.parametrize(
    ("corrupt", "amount"), [(lit, 0.5), (ruled, 0.5), (noisy, 0.5), (specked, 0.5), (cut_out, 20.0)]
)
def test_amount_zero_of_random_corruptions_changes_nothing(corrupt, amount) -> None:
    changed = corrupt(IMAGES, each(amount), np.random.default_rng(0))
    np.testing.assert_array_equal(changed[9], IMAGES[9])
    assert np.abs(changed[:9] - IMAGES[:9]).max() > 0.1
    assert changed.dtype == np.float32 and changed.min() >= 0 and changed.max() <= 1


def test_strokes_grow_and_shrink_by_one_pixel() -> None:
    square = np.zeros((2, 9, 9), np.float32)
    square[:, 3:6, 3:6] = 1
    grown, shrunk = with_other_strokes(square, np.array([1.0, -1.0]))
    assert (grown[2:7, 3:6] == 1).all() and grown.sum() == 9 + 4 * 3
    assert shrunk.sum() == 1 and shrunk[4, 4] == 1


def test_blur_preserves_the_total_and_lowers_the_maximum() -> None:
    changed = blurred(IMAGES, each(1.0))
    np.testing.assert_allclose(changed.sum((1, 2)), IMAGES.sum((1, 2)), rtol=1e-2)
    assert (changed[:9].max((1, 2)) < IMAGES[:9].max((1, 2))).all()


def test_light_does_not_darken_any_pixel() -> None:
    changed = lit(IMAGES, each(0.6), np.random.default_rng(1))
    assert (changed >= IMAGES).all()
    assert changed.min() >= 0 and (changed[:9, 0, 0] <= 0.6).all()


def test_share_of_specks() -> None:
    grey = np.full((200, 28, 28), 0.5, np.float32)
    changed = specked(grey, np.full(200, 0.2), np.random.default_rng(2))
    assert (changed == 1).mean() == pytest.approx(0.1, abs=0.005)
    assert (changed == 0).mean() == pytest.approx(0.1, abs=0.005)


def test_cut_out_is_a_rectangle_of_one_grey_level() -> None:
    grey = np.full((50, 28, 28), 0.5, np.float32)
    for image in cut_out(grey, np.full(50, 14.0), np.random.default_rng(3)):
        rows, columns = np.nonzero(image != 0.5)
        if len(rows):
            box = image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
            assert (box == box[0, 0]).all() and max(box.shape) <= 15


def test_share_of_corrupted_images() -> None:
    black = np.zeros((1000, 28, 28, 1), np.float32)
    changed = augment(black, Augmentation(corruption=Corruption(share=0.4, light=0.5)), np.random.default_rng(4))
    assert changed.any((1, 2, 3)).mean() == pytest.approx(0.2, abs=0.04)


def test_share_of_inverted_images() -> None:
    changed = augment(
        IMAGES[..., np.newaxis], Augmentation(corruption=Corruption(share=1, negative=1)), np.random.default_rng(5)
    )
    np.testing.assert_allclose(changed[..., 0], 1 - IMAGES, atol=1e-6)
    black = np.zeros((1000, 28, 28, 1), np.float32)
    changed = augment(black, Augmentation(corruption=Corruption(share=0.5, negative=0.4)), np.random.default_rng(6))
    assert changed.any((1, 2, 3)).mean() == pytest.approx(0.2, abs=0.04)


def test_half_of_the_papers_are_ruled_and_half_are_squared() -> None:
    papers = ruled(np.zeros((200, 28, 28), np.float32), np.full(200, 0.5), np.random.default_rng(7))
    assert papers.max() == pytest.approx(0.5)
    covered = (papers > 0.4).mean((1, 2))
    assert covered.min() > 0 and covered.max() < 0.7
    down, across = (np.abs(np.diff(papers, axis=axis)).mean((1, 2)) for axis in (1, 2))
    assert (across < 0.45 * down).mean() == pytest.approx(0.5, abs=0.15)
    assert (across > 0.55 * down).mean() == pytest.approx(0.5, abs=0.15)
