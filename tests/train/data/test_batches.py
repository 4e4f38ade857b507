"""Batches are a function of seed and epoch; augmentation stays within its limits."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digits_edge.runtime.datasets import Dataset
from digits_edge.runtime.model.image_input import Polarity
from digits_edge.train.data.augmentation import (
    AUGMENTATIONS,
    HAND,
    NO_AUGMENTATION,
    PHOTO,
    ROUGH,
    Augmentation,
    Corruption,
)
from digits_edge.train.data.augmenting import augment
from digits_edge.train.data.batches import Batches, scaled


def batches(data: Dataset, *, epoch: int, seed: int = 0, augmentation: Augmentation = HAND) -> list[np.ndarray]:
    assert data.labels is not None
    dataset = Batches(
        data.images, data.labels, np.arange(len(data)), batch_size=64, augmentation=augmentation, seed=seed
    )
    dataset.epoch = epoch
    return [np.asarray(dataset[index][0]) for index in range(len(dataset))]


def test_batches_of_an_epoch_are_reproducible(squares: Dataset) -> None:
    for first, second in zip(batches(squares, epoch=3), batches(squares, epoch=3), strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("change", [{"epoch": 4}, {"epoch": 3, "seed": 1}])
def test_batches_differ_between_epochs_and_seeds(squares: Dataset, change: dict[str, int]) -> None:
    assert not np.array_equal(batches(squares, epoch=3)[0], batches(squares, **change)[0])


def test_an_epoch_has_every_image_once(squares: Dataset) -> None:
    images = np.concatenate(batches(squares, epoch=0, augmentation=NO_AUGMENTATION))
    assert len(images) == len(squares)
    np.testing.assert_array_equal(
        np.sort(images.sum(axis=(1, 2, 3))), np.sort(scaled(squares.images).sum(axis=(1, 2, 3)))
    )


def test_batches_are_augmented(squares: Dataset) -> None:
    plain, changed = (batches(squares, epoch=0, augmentation=a)[0] for a in (NO_AUGMENTATION, HAND))
    assert (np.abs(plain - changed).max(axis=(1, 2, 3)) > 0.1).mean() > 0.9


@given(st.sampled_from(sorted(AUGMENTATIONS)), st.integers(0, 2**32))
@settings(max_examples=15, deadline=None)
def test_augmented_images_keep_dtype_shape_and_range(name: str, seed: int) -> None:
    images = np.random.default_rng(seed).random((5, 28, 28, 1), np.float32)
    changed = augment(images, AUGMENTATIONS[name], np.random.default_rng(seed))
    assert changed.shape == images.shape
    assert changed.dtype == np.float32
    assert changed.min() >= 0
    assert changed.max() <= 1


def test_elastic_deformation_is_smooth_and_limited() -> None:
    rng = np.random.default_rng(0)
    ramp = np.tile(np.arange(28, dtype=np.float32) / 28, (50, 28, 1))[..., np.newaxis]
    deformed = augment(ramp, Augmentation(corruption=Corruption(share=1, elastic_px=2)), rng)[:, 3:-3, 3:-3, 0]
    moved_px = deformed * 28 - np.arange(3, 25)
    is_deformed = np.abs(moved_px).max((1, 2)) > 1e-4
    assert is_deformed.mean() == pytest.approx(0.5, abs=0.2)
    moved_px = moved_px[is_deformed]
    assert np.abs(moved_px).max() <= 2.001
    assert np.abs(moved_px).max() > 1
    assert np.abs(np.diff(moved_px, axis=1)).max() < 0.8
    assert moved_px.std(axis=0).min() > 0.2


def test_translation_moves_ink_at_most_by_its_limit() -> None:
    dot = np.zeros((200, 28, 28, 1), np.float32)
    dot[:, 14, 14] = 1
    moved = augment(dot, Augmentation(translation_px=3), np.random.default_rng(0))
    for axis in (1, 2):
        centre = (moved.sum(axis=3 - axis) * np.arange(28)[None, :, None]).sum(axis=(1, 2)) / moved.sum(axis=(1, 2, 3))
        assert np.abs(centre - 14).max() <= 3.01
        assert np.abs(centre - 14).max() > 2


@given(
    name=st.sampled_from(sorted(AUGMENTATIONS)),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    channels=st.sampled_from([1, 3]),
    polarity=st.sampled_from(["white-on-black", "as-photographed"]),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=25, deadline=None)
def test_images_of_any_shape_are_augmented(
    name: str, height: int, width: int, channels: int, polarity: Polarity, seed: int
) -> None:
    images = np.random.default_rng(seed).random((3, height, width, channels), np.float32)
    changed = augment(images, AUGMENTATIONS[name], np.random.default_rng(seed), polarity=polarity)
    assert changed.shape == images.shape
    assert changed.dtype == np.float32
    assert 0 <= changed.min() <= changed.max() <= 1


@pytest.mark.parametrize("name", sorted({*AUGMENTATIONS} - {"rough"}))
def test_the_channels_of_an_image_move_together(name: str) -> None:
    grey = np.random.default_rng(0).random((20, 32, 24, 1), np.float32)
    colours = augment(np.repeat(grey, 3, axis=3), AUGMENTATIONS[name], np.random.default_rng(1))
    np.testing.assert_allclose(colours, np.repeat(colours[..., :1], 3, axis=3), atol=1e-6)
    np.testing.assert_allclose(
        colours[..., :1], augment(grey, AUGMENTATIONS[name], np.random.default_rng(1)), atol=1e-6
    )


def test_all_corruptions_but_noise_are_the_same_in_all_channels() -> None:
    corruption = replace(ROUGH.corruption, share=1.0, noise=0.0)
    grey = np.random.default_rng(0).random((40, 28, 28, 1), np.float32)
    augmentation = Augmentation(corruption=corruption)
    colours = augment(np.repeat(grey, 3, axis=3), augmentation, np.random.default_rng(1))
    assert (colours != np.repeat(grey, 3, axis=3)).any()
    np.testing.assert_allclose(colours, np.repeat(colours[..., :1], 3, axis=3), atol=1e-6)


@pytest.mark.parametrize("augmentation", [PHOTO, Augmentation(corruption=Corruption(share=1.0, blur_px=2.0))])
def test_photographs_are_continued_beyond_their_edge(augmentation: Augmentation) -> None:
    """A grey photograph has no black border after a shift or blur; ink on black has."""
    plain = np.full((30, 28, 28, 3), 0.5, np.float32)
    photographed, ink = (
        augment(plain, replace(augmentation, contrast=0.0), np.random.default_rng(2), polarity=polarity)
        for polarity in ("as-photographed", "white-on-black")
    )
    np.testing.assert_allclose(photographed, plain, atol=1e-5)
    assert ink.min() < 0.4


def test_batches_of_colour_have_three_channels() -> None:
    images = np.random.default_rng(0).integers(0, 256, (7, 20, 30, 3), dtype=np.uint8)
    found = Batches(
        images,
        np.arange(7),
        np.arange(7),
        batch_size=7,
        augmentation=NO_AUGMENTATION,
        seed=0,
        polarity="as-photographed",
    )
    shown, labels = found[0]
    np.testing.assert_allclose(shown, images[labels] / np.float32(255), rtol=1e-6)
