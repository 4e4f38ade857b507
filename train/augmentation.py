"""Random turns, shifts, zooms, shears, bends, contrast and spoiling for a batch of images."""

from dataclasses import dataclass, replace
from functools import cache
from typing import Annotated, ClassVar

import keras
import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field

from digits_edge.train.spoiling import blurred, cut_out, lit, noisy, specked, with_other_strokes

_Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_Share = Annotated[float, Field(ge=0, lt=1)]


@dataclass(frozen=True)
class Augmentation:
    """The largest change of each kind; every image draws its own, uniformly between minus and plus that.

    `mirror` turns left and right around in every second image; `elastic_px` bends strokes (Simard, Steinkraus and Platt
    2003): smooth displacements that reach so far. `stroke` grows or shrinks strokes by that many pixels on each side.
    What comes after `spoiled` is done to that share of the images alone, each kind to every second of them: a blur's
    standard deviation, the ground's lightness, the noise's standard deviation, the share of specks, and the longest
    side of a cut-out. Zero everywhere means images are taken as they are.
    """

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid", strict=True)

    rotation_degrees: _Amount = 0.0
    translation_px: _Amount = 0.0
    zoom: _Share = 0.0
    shear_degrees: Annotated[float, Field(ge=0, lt=90)] = 0.0
    contrast: _Share = 0.0
    mirror: bool = False
    elastic_px: _Amount = 0.0
    stroke: Annotated[float, Field(ge=0, le=1)] = 0.0
    spoiled: Annotated[float, Field(ge=0, le=1)] = 0.0
    blur_px: _Amount = 0.0
    light: _Share = 0.0
    noise: _Share = 0.0
    specks: _Share = 0.0
    cut_out_px: _Amount = 0.0


#: Closer, and strokes break up; wider, and a bend is a turn. A digit is 20 pixels long.
_KNOT_SPACING_PX = 7

NO_AUGMENTATION = Augmentation()
#: The documents' Keras layers: RandomRotation(0.1) is a tenth of a full turn, RandomTranslation(0.2, 0.2) a fifth of
#: 28 px.
DOCUMENT = Augmentation(rotation_degrees=36.0, translation_px=5.6, contrast=0.2)
#: Ours: what a hand does, and no more; stronger turns confuse 6 with 9 and cost accuracy on upright digits.
HAND = Augmentation(rotation_degrees=13.0, translation_px=2.5, zoom=0.13, shear_degrees=12.0, contrast=0.2)

#: What a photographer does to a garment that lies flat: it can face either side, but hardly turns.
GARMENT = Augmentation(rotation_degrees=4.0, translation_px=1.5, zoom=0.1, contrast=0.1, mirror=True)

#: For a network that is to read what people photograph, and what a scanner or a bad line does to it.
ROUGH = Augmentation(
    rotation_degrees=16.0,
    translation_px=3.0,
    zoom=0.18,
    shear_degrees=14.0,
    contrast=0.3,
    elastic_px=1.5,
    stroke=0.7,
    spoiled=0.5,
    blur_px=1.3,
    light=0.6,
    noise=0.25,
    specks=0.2,
    cut_out_px=14.0,
)
ROUGH_GARMENT = replace(
    GARMENT,
    spoiled=ROUGH.spoiled,
    blur_px=ROUGH.blur_px,
    light=ROUGH.light,
    noise=ROUGH.noise,
    specks=ROUGH.specks,
    cut_out_px=ROUGH.cut_out_px,
)

AUGMENTATIONS = {
    "none": NO_AUGMENTATION,
    "document": DOCUMENT,
    "hand": HAND,
    "garment": GARMENT,
    "rough": ROUGH,
}


def augment(images: NDArray[np.float32], augmentation: Augmentation, rng: np.random.Generator) -> NDArray[np.float32]:
    """Change every image of a batch at random.

    Args:
        images: float32 (N, 28, 28, 1) in 0…1.
        augmentation: the largest changes.
        rng: where all randomness comes from; the same generator state gives the same batch.

    Returns:
        A new batch, float32 (N, 28, 28, 1) in 0…1, filled with 0 (no ink) where an image was moved away.
    """
    if augmentation == NO_AUGMENTATION:
        return images
    moved = keras.ops.image.affine_transform(
        images, _transforms(len(images), images.shape[1], augmentation, rng), interpolation="bilinear"
    )
    if augmentation.elastic_px:
        moved = _bent(np.asarray(keras.ops.convert_to_numpy(moved)), augmentation.elastic_px, rng)
    gain = rng.uniform(1 - augmentation.contrast, 1 + augmentation.contrast, (len(images), 1, 1, 1))
    contrasted: NDArray[np.float32] = np.clip(keras.ops.convert_to_numpy(moved) * gain.astype(np.float32), 0, 1)
    if augmentation.stroke or augmentation.spoiled:
        return _spoiled(contrasted[..., 0], augmentation, rng)[..., np.newaxis]
    return contrasted


def _spoiled(images: NDArray[np.float32], augmentation: Augmentation, rng: np.random.Generator) -> NDArray[np.float32]:
    count = len(images)
    spoiled = rng.random(count) < augmentation.spoiled

    def draw(largest: float) -> NDArray[np.float64]:
        """Nothing for images that are not spoiled, and for every second of the others."""
        return rng.uniform(0, largest, count) * (spoiled & (rng.random(count) < 0.5))

    images = with_other_strokes(images, rng.uniform(-augmentation.stroke, augmentation.stroke, count))
    images = blurred(images, draw(augmentation.blur_px))
    images = lit(images, draw(augmentation.light), rng)
    images = cut_out(images, draw(augmentation.cut_out_px), rng)
    images = noisy(images, draw(augmentation.noise), rng)
    return specked(images, draw(augmentation.specks), rng)


def _bent(images: NDArray[np.float32], largest_px: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Images whose pixels were taken from up to `largest_px` beside, each image in its own smooth field."""
    count, size_px = images.shape[:2]
    smooth = _cubic_spline(size_px)
    fields = rng.uniform(-largest_px, largest_px, (2, count, smooth.shape[1], smooth.shape[1])).astype(np.float32)
    down, right = smooth @ fields @ smooth.T
    rows, columns = np.mgrid[:size_px, :size_px].astype(np.float32)
    y, x = (np.clip(place, 0, size_px - 1.001) for place in (rows + down, columns + right))
    top, left = y.astype(np.intp), x.astype(np.intp)
    below, beside = (y - top), (x - left)
    pixels = images.reshape(count, -1)
    corner = top * size_px + left

    def pixel(offset: int) -> NDArray[np.float32]:
        return np.take_along_axis(pixels, (corner + offset).reshape(count, -1), axis=1).reshape(count, size_px, size_px)

    upper = pixel(0) * (1 - beside) + pixel(1) * beside
    lower = pixel(size_px) * (1 - beside) + pixel(size_px + 1) * beside
    return np.asarray(upper * (1 - below) + lower * below, np.float32)[..., np.newaxis]


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
