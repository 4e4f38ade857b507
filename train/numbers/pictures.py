"""Pictures of written lines: ink on paper, blurred and noisy, as scanners and cameras see it: `photographed`."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from digits_edge.train.data.outlines import Field
from digits_edge.train.numbers.papers import random_paper, texture
from digits_edge.train.numbers.settings import LineSettings

#: Levels of the paper, of 1.
_PAPER = (0.45, 1.0)
#: Heights of digits in pictures of low resolution.
_COARSE_PX = (10.0, 20.0)
#: Quality of JPEG files.
_QUALITY = (25, 90)


def inked(field: Field, rng: np.random.Generator) -> Field:
    """Ink of distances, with soft edges and, often, uneven.

    Args:
        field: float32 (H, W), distances to the edge of the ink in pixels.
        rng: source of all randomness.

    Returns:
        float32 (H, W), 0 to 1.

    Example:
        >>> field = np.full((9, 9), 5, np.float32)
        >>> bool(inked(field, np.random.default_rng(0)).max() <= 1)
        True
    """
    if rng.random() < 0.5:  # pressure
        field = field + np.float32(rng.uniform(0.2, 1.2)) * (
            texture(field.shape, rng, rng.uniform(5, 25)) - np.float32(0.5)
        )
    ink = np.clip(np.float32(0.5) + field / np.float32(rng.uniform(1, 2)), 0, 1)
    if rng.random() < 0.4:
        ink *= 1 - np.float32(rng.uniform(0.1, 0.6)) * texture(field.shape, rng, rng.uniform(1, 8))
    return np.asarray(ink, np.float32)


def photographed(ink: Field, height_px: float, rng: np.random.Generator, settings: LineSettings) -> NDArray[np.float32]:
    """The grey levels of ink on paper, the ink lighter than the paper.

    Args:
        ink: float32 (H, W), 0 to 1.
        height_px: height of a digit.
        rng: source of all randomness.
        settings: strength of the variation.

    Returns:
        float32 (H, W) in 0…255, of this or a smaller size.

    Example:
        >>> photographed(np.zeros((40, 60), np.float32), 30, np.random.default_rng(0), LineSettings()).dtype
        dtype('float32')
    """
    paper = rng.uniform(*_PAPER)
    contrast = min(paper, rng.uniform(*settings.contrast))
    darkness = random_paper(ink.shape, rng, settings)
    # ink hides a part of the pattern
    behind = darkness * (1 - ink * np.float32(rng.uniform(0, 0.8))) + np.float32(0.25) * ink
    levels = np.float32(paper) - np.float32(contrast) * np.maximum(ink, behind)
    if rng.random() < 0.5:
        levels = ndimage.gaussian_filter(levels, rng.uniform(0.2, settings.blur_px) * height_px / 32)
    if rng.random() < settings.coarse:
        levels = _reduced(levels, rng.uniform(*_COARSE_PX) / height_px)
    elif rng.random() < 0.5:
        levels = _reduced(levels, rng.uniform(0.6, 1.0))
    if rng.random() < 0.5:
        levels = levels + rng.normal(0, rng.uniform(0, settings.noise), levels.shape).astype(np.float32)
    pixels = np.clip(np.rint(levels * 255), 0, 255).astype(np.uint8)
    if rng.random() < settings.compressed:
        pixels = _compressed(pixels, int(rng.integers(*_QUALITY)))
    return np.asarray(255 - pixels.astype(np.float32), np.float32)


def _reduced(levels: Field, factor: float) -> Field:
    size = [max(4, round(side * factor)) for side in levels.shape]
    return np.asarray(Image.fromarray(np.asarray(levels, np.float32)).resize((size[1], size[0]), Image.Resampling.BOX))


def _compressed(pixels: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    with io.BytesIO() as stream:
        Image.fromarray(pixels).save(stream, "JPEG", quality=quality)
        return np.asarray(Image.open(stream))
