"""Apply random augmentation to a batch of images."""

from collections.abc import Callable
from functools import cache
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from digits_edge.train.data.augmentation import NO_AUGMENTATION, NO_CORRUPTION, Augmentation, Corruption
from digits_edge.train.data.corruption import (
    Images,
    blurred,
    cut_out,
    lit,
    noisy,
    ruled,
    specked,
    with_other_strokes,
)

#: Closer knots break strokes up; wider ones only rotate. A digit is 20 pixels long.
_KNOT_SPACING_PX = 7


def augment(images: NDArray[np.float32], augmentation: Augmentation, rng: np.random.Generator) -> NDArray[np.float32]:
    """Augment every image of a batch at random.

    Args:
        images: float32 (N, H, W, 1) in 0…1, H = W.
        augmentation: largest changes.
        rng: source of all randomness; the same generator state gives the same batch.

    Returns:
        New batch, float32 (N, H, W, 1) in 0…1. Pixels that a shift uncovers are 0 (no ink).

    Example:
        >>> from digits_edge.train import AUGMENTATIONS
        >>> images = np.zeros((2, 28, 28, 1), np.float32)
        >>> augment(images, AUGMENTATIONS["none"], np.random.default_rng(0)).shape
        (2, 28, 28, 1)
    """
    if augmentation.uncorrupted != NO_AUGMENTATION:
        images = _moved(images, augmentation, rng)
    if augmentation.corruption != NO_CORRUPTION:
        images = _corrupted(images[..., 0], augmentation.corruption, rng)[..., np.newaxis]
    return images


def _moved(images: Images, augmentation: Augmentation, rng: np.random.Generator) -> Images:
    transforms = _transforms(len(images), images.shape[1], augmentation, rng)
    moved = keras.ops.image.affine_transform(images, transforms, interpolation="bilinear")
    gain = rng.uniform(1 - augmentation.contrast, 1 + augmentation.contrast, (len(images), 1, 1, 1))
    contrasted: Images = np.clip(keras.ops.convert_to_numpy(moved) * gain.astype(np.float32), 0, 1)
    return contrasted


def _corrupted(images: Images, corruption: Corruption, rng: np.random.Generator) -> Images:
    """Copy of images (N, H, W) with a share of them corrupted."""
    images = images.copy()
    chosen = np.flatnonzero(rng.random(len(images)) < corruption.share)

    def apply_to_half(corrupt: Callable[..., Images], low: float, high: float, **options: Any) -> None:
        half = chosen[rng.random(len(chosen)) < 0.5]
        if high:
            images[half] = corrupt(images[half], rng.uniform(low, high, len(half)), **options)

    apply_to_half(_deformed, 0, corruption.elastic_px, rng=rng)
    apply_to_half(with_other_strokes, -corruption.stroke, corruption.stroke)
    apply_to_half(blurred, 0, corruption.blur_px)
    apply_to_half(lit, 0, corruption.light, rng=rng)
    apply_to_half(ruled, 0, corruption.ruled, rng=rng)
    apply_to_half(cut_out, 0, corruption.cut_out_px, rng=rng)
    negative = chosen[rng.random(len(chosen)) < corruption.negative]
    images[negative] = 1 - images[negative]
    apply_to_half(noisy, 0, corruption.noise, rng=rng)
    apply_to_half(specked, 0, corruption.specks, rng=rng)
    return images


def _deformed(images: Images, max_px: NDArray[np.float64], rng: np.random.Generator) -> Images:
    """Elastic deformation: each image has its own smooth field of displacements up to `max_px`, (N,)."""
    count, size_px = images.shape[:2]
    smooth = _cubic_spline(size_px)
    fields = rng.uniform(-1, 1, (2, count, smooth.shape[1], smooth.shape[1])).astype(np.float32)
    down, right = smooth @ (fields * max_px.astype(np.float32)[:, np.newaxis, np.newaxis]) @ smooth.T
    rows, columns = np.mgrid[:size_px, :size_px].astype(np.float32)
    y, x = (np.clip(place, 0, size_px - 1) for place in (rows + down, columns + right))
    top, left = (np.minimum(place.astype(np.intp), size_px - 2) for place in (y, x))
    below, beside = (y - top), (x - left)
    pixels = images.reshape(count, size_px * size_px)
    corner = top * size_px + left

    def pixel(offset: int) -> Images:
        return np.take_along_axis(pixels, (corner + offset).reshape(count, size_px * size_px), axis=1).reshape(
            count, size_px, size_px
        )

    upper = pixel(0) * (1 - beside) + pixel(1) * beside
    lower = pixel(size_px) * (1 - beside) + pixel(size_px + 1) * beside
    return np.asarray(upper * (1 - below) + lower * below, np.float32)


@cache
def _cubic_spline(size_px: int) -> NDArray[np.float32]:
    """Uniform cubic B-splines, knots 7 pixels apart, at every pixel: float32 (size_px, knots); rows sum to 1."""
    places = np.arange(size_px) / _KNOT_SPACING_PX
    distances = np.abs(places[:, np.newaxis] - np.arange(-1, np.ceil(places[-1]) + 2))
    near, far = 2 / 3 - distances**2 + distances**3 / 2, (2 - distances) ** 3 / 6
    return np.where(distances < 1, near, np.where(distances < 2, far, 0)).astype(np.float32)


def _transforms(count: int, size_px: int, augmentation: Augmentation, rng: np.random.Generator) -> NDArray[np.float32]:
    """Random transforms for `keras.ops.image.affine_transform`: rows (a0, a1, a2, b0, b1, b2, 0, 0).

    The output at (x, y) is the input at (a0·x + a1·y + a2, b0·x + b1·y + b2).
    """

    def draw(largest: float) -> NDArray[np.float64]:
        return rng.uniform(-largest, largest, count)

    angle = np.radians(draw(augmentation.rotation_degrees))
    shear = np.tan(np.radians(draw(augmentation.shear_degrees)))
    scale_x, scale_y = 1 + draw(augmentation.zoom), 1 + draw(augmentation.zoom)
    if augmentation.mirror:
        scale_x *= rng.choice([-1, 1], count)
    cos, sin = np.cos(angle), np.sin(angle)
    # rotation · shear · scale
    a0, a1 = scale_x * cos, scale_y * (shear * cos - sin)
    b0, b1 = scale_x * sin, scale_y * (shear * sin + cos)
    centre = (size_px - 1) / 2
    a2 = centre - (a0 + a1) * centre + draw(augmentation.translation_px)
    b2 = centre - (b0 + b1) * centre + draw(augmentation.translation_px)
    zero = np.zeros(count)
    return np.stack([a0, a1, a2, b0, b1, b2, zero, zero], axis=1).astype(np.float32)
