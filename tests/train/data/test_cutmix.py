"""CutMix joins two images along a soft line and leaves the other images unchanged."""

import numpy as np

from digits_edge.train.data.cutmix import cutmix


def images(count: int) -> np.ndarray:
    """Uniform images, each with its own value."""
    return np.ones((count, 28, 28), np.float32) * np.linspace(0, 1, count, dtype=np.float32)[:, np.newaxis, np.newaxis]


def test_share_of_cut_images_and_unchanged_rest() -> None:
    original = images(1000)
    mixed, is_cut = cutmix(original, 0.3, np.random.default_rng(0))
    assert mixed.dtype == np.float32 and 0.25 < is_cut.mean() < 0.35
    np.testing.assert_array_equal(mixed[~is_cut], original[~is_cut])
    assert (mixed[is_cut].std(axis=(1, 2)) > 0).mean() > 0.99  # an image can be paired with itself


def test_both_images_cover_enough_and_the_cut_is_soft() -> None:
    halves = np.zeros((1000, 28, 28), np.float32)
    halves[::2] = 1
    mixed, _ = cutmix(halves, 1.0, np.random.default_rng(1))
    is_own = np.abs(mixed - halves) < 0.1
    is_mixed = ~is_own.all(axis=(1, 2))
    assert 0.4 < is_mixed.mean() < 0.6
    own_share, soft_share = is_own.mean(axis=(1, 2)), ((mixed > 0.1) & (mixed < 0.9)).mean(axis=(1, 2))
    assert (own_share[is_mixed] > 0.15).all() and (own_share[is_mixed] < 0.85).all()
    assert (soft_share[is_mixed] > 0.05).all() and (soft_share < 0.3).all()


def test_cuts_have_all_directions() -> None:
    halves = np.zeros((2000, 28, 28), np.float32)
    halves[::2] = 1
    mixed, _ = cutmix(halves, 1.0, np.random.default_rng(2))
    across = mixed[:, :, :3].mean(axis=(1, 2)) - mixed[:, :, -3:].mean(axis=(1, 2))
    down = mixed[:, :3].mean(axis=(1, 2)) - mixed[:, -3:].mean(axis=(1, 2))
    for sign in (-1, 1):
        assert (sign * across > 0.8).mean() > 0.05 and (sign * down > 0.8).mean() > 0.05


def test_the_channels_of_an_image_are_cut_together() -> None:
    grey = np.random.default_rng(0).random((20, 24, 32), np.float32)
    (mixed, is_cut), (colours, cut_too) = (
        cutmix(images, 0.5, np.random.default_rng(1)) for images in (grey, np.repeat(grey[..., np.newaxis], 3, axis=3))
    )
    np.testing.assert_array_equal(is_cut, cut_too)
    np.testing.assert_array_equal(colours, np.repeat(mixed[..., np.newaxis], 3, axis=3))
