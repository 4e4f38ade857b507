"""Random turns, shifts, zooms, shears, bends, contrast and spoiling for a batch of images."""

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

#: Closer, and strokes break up; wider, and a bend is a turn. A digit is 20 pixels long.
_KNOT_SPACING_PX = 7


def augment(images: NDArray[np.float32], augmentation: Augmentation, rng: np.random.Generator) -> NDArray[np.float32]:
    """Change every image of a batch at random.

    Args:
        images: float32 (N, 28, 28, 1) in 0…1.
        augmentation: the largest changes.
        rng: where all randomness comes from; the same generator state gives the same batch.

    Returns:
        A new batch, float32 (N, 28, 28, 1) in 0…1, filled with 0 (no ink) where an image was moved away.
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
    """A copy of images (N, 28, 28) with a share of them spoiled."""
    images = images.copy()
    chosen = np.flatnonzero(rng.random(len(images)) < corruption.share)

    def to_every_second(corrupt: Callable[..., Images], least: float, largest: float, **draws: Any) -> None:
        hit = chosen[rng.random(len(chosen)) < 0.5]
        if largest:
            images[hit] = corrupt(images[hit], rng.uniform(least, largest, len(hit)), **draws)

    to_every_second(_bent, 0, corruption.elastic_px, rng=rng)
    to_every_second(with_other_strokes, -corruption.stroke, corruption.stroke)
    to_every_second(blurred, 0, corruption.blur_px)
    to_every_second(lit, 0, corruption.light, rng=rng)
    to_every_second(ruled, 0, corruption.ruled, rng=rng)
    to_every_second(cut_out, 0, corruption.cut_out_px, rng=rng)
    negative = chosen[rng.random(len(chosen)) < corruption.negative]
    images[negative] = 1 - images[negative]
    to_every_second(noisy, 0, corruption.noise, rng=rng)
    to_every_second(specked, 0, corruption.specks, rng=rng)
    return images


def _bent(images: Images, largest_px: NDArray[np.float64], rng: np.random.Generator) -> Images:
    """Images whose pixels were taken from up to `largest_px`, (N,), beside, each image in its own smooth field."""
    count, size_px = images.shape[:2]
    smooth = _cubic_spline(size_px)
    fields = rng.uniform(-1, 1, (2, count, smooth.shape[1], smooth.shape[1])).astype(np.float32)
    down, right = smooth @ (fields * largest_px.astype(np.float32)[:, np.newaxis, np.newaxis]) @ smooth.T
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
    """Uniform cubic B-splines, knots 7 pixels apart, at every pixel: float32 (size_px, knots), rows summing to 1."""
    places = np.arange(size_px) / _KNOT_SPACING_PX
    distances = np.abs(places[:, np.newaxis] - np.arange(-1, np.ceil(places[-1]) + 2))
    near, far = 2 / 3 - distances**2 + distances**3 / 2, (2 - distances) ** 3 / 6
    return np.where(distances < 1, near, np.where(distances < 2, far, 0)).astype(np.float32)


def _transforms(count: int, size_px: int, augmentation: Augmentation, rng: np.random.Generator) -> NDArray[np.float32]:
    """Rows (a0, a1, a2, b0, b1, b2, 0, 0), as `keras.ops.image.affine_transform` takes them.

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
