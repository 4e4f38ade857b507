"""The pinned splits."""

import numpy as np

from digits_edge.runtime.datasets import stratified, validation_split

LABELS = np.random.default_rng(0).integers(0, 10, 5000).astype(np.uint8)


def test_train_and_validation_share_all_rows_out_between_them():
    train, validation = validation_split(LABELS)
    np.testing.assert_array_equal(np.sort(np.concatenate([train, validation])), np.arange(5000))
    assert (np.diff(train) > 0).all()
    assert (np.diff(validation) > 0).all()


def test_every_class_gives_its_share_to_the_validation():
    _, validation = validation_split(LABELS, fraction=0.2)
    np.testing.assert_allclose(np.bincount(LABELS[validation]), np.bincount(LABELS) * 0.2, atol=1)


def test_a_sample_is_sorted_and_has_every_class_in_its_share():
    chosen = stratified(LABELS, 500)
    assert (np.diff(chosen) > 0).all()
    assert abs(len(chosen) - 500) <= 5
    np.testing.assert_allclose(np.bincount(LABELS[chosen]), np.bincount(LABELS) / 10, atol=1)


def test_the_draw_is_the_same_every_time():
    np.testing.assert_array_equal(validation_split(LABELS)[1], validation_split(LABELS)[1])
    np.testing.assert_array_equal(stratified(LABELS, 100), stratified(LABELS, 100))
