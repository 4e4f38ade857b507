"""Cut images go on with others, softly, and the rest are as they were."""

import numpy as np

from digits_edge.train.data.cutmix import cutmix


def images(count: int) -> np.ndarray:
    """Every image of one value of its own."""
    return np.ones((count, 28, 28), np.float32) * np.linspace(0, 1, count, dtype=np.float32)[:, np.newaxis, np.newaxis]


def test_a_share_is_cut_and_the_rest_is_as_it_was() -> None:
    whole = images(1000)
    mixed, is_cut = cutmix(whole, 0.3, np.random.default_rng(0))
    assert mixed.dtype == np.float32 and 0.25 < is_cut.mean() < 0.35
    np.testing.assert_array_equal(mixed[~is_cut], whole[~is_cut])
    assert (mixed[is_cut].std(axis=(1, 2)) > 0).mean() > 0.99  # but where the other is the image itself


def test_there_is_enough_of_both_and_a_soft_cut_between() -> None:
    halves = np.zeros((1000, 28, 28), np.float32)
    halves[::2] = 1
    mixed, _ = cutmix(halves, 1.0, np.random.default_rng(1))
    own = np.abs(mixed - halves) < 0.1
    with_the_other_kind = ~own.all(axis=(1, 2))
    assert 0.4 < with_the_other_kind.mean() < 0.6
    of_each_own, between = own.mean(axis=(1, 2)), ((mixed > 0.1) & (mixed < 0.9)).mean(axis=(1, 2))
    assert (of_each_own[with_the_other_kind] > 0.15).all() and (of_each_own[with_the_other_kind] < 0.85).all()
    assert (between[with_the_other_kind] > 0.05).all() and (between < 0.3).all()


def test_all_directions_are_cut() -> None:
    halves = np.zeros((2000, 28, 28), np.float32)
    halves[::2] = 1
    mixed, _ = cutmix(halves, 1.0, np.random.default_rng(2))
    across = mixed[:, :, :3].mean(axis=(1, 2)) - mixed[:, :, -3:].mean(axis=(1, 2))
    down = mixed[:, :3].mean(axis=(1, 2)) - mixed[:, -3:].mean(axis=(1, 2))
    for sign in (-1, 1):
        assert (sign * across > 0.8).mean() > 0.05 and (sign * down > 0.8).mean() > 0.05
