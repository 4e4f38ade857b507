"""Apply random augmentation to a batch of images."""

from collections.abc import Callable
from typing import Any, Literal

import keras
import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.model.image_input import Polarity
from digits_edge.train.data.augmentation import NO_AUGMENTATION, NO_CORRUPTION, Augmentation, Corruption
from digits_edge.train.data.bending import cubic_spline, sampled
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


def augment(
    images: NDArray[np.float32],
    augmentation: Augmentation,
    rng: np.random.Generator,
    *,
    polarity: Polarity = "white-on-black",
) -> NDArray[np.float32]:
    """Augment every image of a batch at random.

    Args:
        images: float32 (N, H, W, channels) in 0…1.
        augmentation: largest changes.
        rng: source of all randomness; the same generator state gives the same batch.
        polarity: decides what a shift uncovers: 0 (no ink), or the colours at the edge of a photograph.

    Returns:
        New batch, float32 of the same shape, in 0…1.

    Example:
        >>> from digits_edge.train import AUGMENTATIONS
        >>> images = np.zeros((2, 28, 28, 1), np.float32)
        >>> augment(images, AUGMENTATIONS["none"], np.random.default_rng(0)).shape
        (2, 28, 28, 1)
    """
    if augmentation.uncorrupted != NO_AUGMENTATION:
        images = _moved(images, augmentation, rng, "constant" if polarity == "white-on-black" else "nearest")
    if augmentation.corruption != NO_CORRUPTION:
        border: Literal["constant", "edge"] = "constant" if polarity == "white-on-black" else "edge"
        images = _corrupted(images, augmentation.corruption, rng, border)
    return images


def _moved(images: Images, augmentation: Augmentation, rng: np.random.Generator, fill_mode: str) -> Images:
    transforms = _transforms(len(images), images.shape[1:3], augmentation, rng)
    moved = keras.ops.image.affine_transform(images, transforms, interpolation="bilinear", fill_mode=fill_mode)
    gain = rng.uniform(1 - augmentation.contrast, 1 + augmentation.contrast, (len(images), 1, 1, 1))
    contrasted: Images = np.clip(keras.ops.convert_to_numpy(moved) * gain.astype(np.float32), 0, 1)
    return contrasted


def _corrupted(
    images: Images, corruption: Corruption, rng: np.random.Generator, border: Literal["constant", "edge"]
) -> Images:
    """Copy of images (N, H, W, channels) with a share of them corrupted."""
    images = images.copy()
    chosen = np.flatnonzero(rng.random(len(images)) < corruption.share)

    def apply_to_half(corrupt: Callable[..., Images], low: float, high: float, **options: Any) -> None:
        half = chosen[rng.random(len(chosen)) < 0.5]
        if high:
            images[half] = corrupt(images[half], rng.uniform(low, high, len(half)), **options)

    apply_to_half(_deformed, 0, corruption.elastic_px, rng=rng)
    apply_to_half(with_other_strokes, -corruption.stroke, corruption.stroke)
    apply_to_half(blurred, 0, corruption.blur_px, border=border)
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
    count, height, width, _ = images.shape
    vertical, horizontal = cubic_spline(height, _KNOT_SPACING_PX), cubic_spline(width, _KNOT_SPACING_PX)
    fields = rng.uniform(-1, 1, (2, count, vertical.shape[1], horizontal.shape[1])).astype(np.float32)
    down, right = vertical @ (fields * max_px.astype(np.float32)[:, np.newaxis, np.newaxis]) @ horizontal.T
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    return sampled(images, rows + down, columns + right)


def _transforms(
    count: int, size_px: tuple[int, ...], augmentation: Augmentation, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Random transforms for `keras.ops.image.affine_transform`: rows (a0, a1, a2, b0, b1, b2, 0, 0).

    `size_px` is height and width. The output at (x, y) is the input at (a0·x + a1·y + a2, b0·x + b1·y + b2).
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
    y, x = ((side - 1) / 2 for side in size_px)
    a2 = x - (a0 * x + a1 * y) + draw(augmentation.translation_px)
    b2 = y - (b0 * x + b1 * y) + draw(augmentation.translation_px)
    zero = np.zeros(count)
    return np.stack([a0, a1, a2, b0, b1, b2, zero, zero], axis=1).astype(np.float32)
