"""Image corruptions: stroke width, blur, uneven light, ruled paper, noise, specks and cut-outs.

Every function takes and returns float32 (N, H, W) or (N, H, W, channels) in 0…1, ink light on dark, and one amount per
image, (N,). All channels of an image are corrupted alike, except by noise.
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.float32]
#: Taps of the Gaussian; seven cover all but a thousandth of its mass at a standard deviation of 1.
_TAPS = np.arange(-3, 4)


def with_other_strokes(images: Images, change: NDArray[np.float64]) -> Images:
    """Grow (change up to 1) or shrink (down to -1) strokes by up to a pixel on each side.

    Example:
        >>> dot = np.zeros((1, 5, 5), np.float32)
        >>> dot[0, 2, 2] = 1
        >>> int(with_other_strokes(dot, np.array([1.0])).sum())
        5
    """
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), *[(0, 0)] * (images.ndim - 3)), mode="edge")
    across = [padded[:, :, place : place + images.shape[2]] for place in range(3)]
    cross = [across[1][:, place : place + images.shape[1]] for place in range(3)]
    cross += [across[place][:, 1:-1] for place in (0, 2)]
    grown, shrunk = np.maximum.reduce(cross), np.minimum.reduce(cross)
    share = _each(change, images)
    changed: Images = images + np.maximum(share, 0) * (grown - images) - np.minimum(share, 0) * (shrunk - images)
    return changed


def blurred(
    images: Images, sigma_px: NDArray[np.float64], *, border: Literal["constant", "edge"] = "constant"
) -> Images:
    """Blur with a Gaussian of each image's standard deviation; beyond the border is black, or the pixel at the edge.

    Example:
        >>> dot = np.zeros((1, 9, 9), np.float32)
        >>> dot[0, 4, 4] = 1
        >>> bool(blurred(dot, np.array([1.0])).max() < 0.5)
        True
    """
    weights = np.exp(-0.5 * (_TAPS / np.maximum(sigma_px, 1e-3)[:, np.newaxis]) ** 2)
    weights = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    for _ in (1, 2):
        padded = np.pad(images, ((0, 0), (3, 3), *[(0, 0)] * (images.ndim - 2)), mode=border)
        rows = np.stack([padded[:, tap : tap + images.shape[1]] for tap in range(len(_TAPS))])
        images = np.asarray(np.einsum("nt,tnhw...->nwh...", weights, rows), np.float32)
    return images


def lit(images: Images, amount: NDArray[np.float64], rng: np.random.Generator) -> Images:
    """Lighten the background, evenly or as a gradient, up to each image's amount.

    Example:
        >>> black = np.zeros((1, 28, 28), np.float32)
        >>> bool(lit(black, np.array([0.5]), np.random.default_rng(0)).max() <= 0.5)
        True
    """
    count, (height, width) = len(images), images.shape[1:3]
    angle, bias = rng.uniform(0, 2 * np.pi, count), rng.uniform(0, 1, count)
    slopes = np.stack([np.sin(angle), np.cos(angle)]) * rng.uniform(0, 1, count)
    rows, columns = np.linspace(-0.5, 0.5, height), np.linspace(-0.5, 0.5, width)
    field = (slopes[0, :, np.newaxis] * rows)[:, :, np.newaxis] + (slopes[1, :, np.newaxis] * columns)[:, np.newaxis]
    light = (_each(amount) * np.clip(_each(bias) + field, 0, 1)).astype(np.float32)
    lightened: Images = np.asarray(images + _over(light, images) * (1 - images), np.float32)
    return lightened


def ruled(images: Images, amount: NDArray[np.float64], rng: np.random.Generator) -> Images:
    """Draw the thin lines of ruled or squared paper, as bright as each image's amount.

    Lines are 5 to 14 pixels apart and tilted by up to 10°.

    Example:
        >>> black = np.zeros((1, 28, 28), np.float32)
        >>> float(ruled(black, np.array([0.5]), np.random.default_rng(0)).max())
        0.5
    """
    count, (height, width) = len(images), images.shape[1:3]
    spacing = _each(rng.uniform(5, 14, count))
    slope = _each(np.tan(np.radians(rng.uniform(-10, 10, count))))
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    thickness = _each(rng.uniform(0.5, 1.2, count))

    def lines(position: Images) -> Images:
        distance = np.abs((position + _each(rng.uniform(0, 14, count))) % spacing - spacing / 2)
        line: Images = np.clip(thickness + 0.5 - distance, 0, 1)
        return line

    squared = _each(rng.integers(0, 2, count).astype(np.float64))
    paper = np.maximum(lines(rows + slope * columns), squared * lines(columns - slope * rows))
    drawn: Images = np.maximum(images, _over(_each(amount) * paper, images))
    return drawn


def noisy(images: Images, deviation: NDArray[np.float64], rng: np.random.Generator) -> Images:
    """Add Gaussian noise of each image's standard deviation.

    Example:
        >>> grey = np.full((1, 28, 28), 0.5, np.float32)
        >>> bool(noisy(grey, np.array([0.1]), np.random.default_rng(0)).std() > 0.05)
        True
    """
    noise = rng.standard_normal(images.shape, np.float32) * _each(deviation, images)
    return np.clip(images + noise, 0, 1)


def specked(images: Images, share: NDArray[np.float64], rng: np.random.Generator) -> Images:
    """Turn each image's share of the pixels white or black.

    Example:
        >>> grey = np.full((1, 28, 28), 0.5, np.float32)
        >>> np.unique(specked(grey, np.array([0.2]), np.random.default_rng(0))).tolist()
        [0.0, 0.5, 1.0]
    """
    drawn = _over(rng.random(images.shape[:3], np.float32), images)
    half = _each(share, images) / 2
    return np.where(drawn < half, np.float32(1), np.where(drawn > 1 - half, np.float32(0), images))


def cut_out(images: Images, max_px: NDArray[np.float64], rng: np.random.Generator) -> Images:
    """Cover a rectangle with one grey level; both sides are drawn independently, up to each image's number of pixels.

    Example:
        >>> grey = np.full((1, 28, 28), 0.5, np.float32)
        >>> cut_out(grey, np.array([14.0]), np.random.default_rng(0)).shape
        (1, 28, 28)
    """
    count, (height, width) = len(images), images.shape[1:3]
    sides = rng.uniform(0, 1, (2, count)) * max_px
    centres = rng.uniform(0, 1, (2, count)) * [[height], [width]]
    rows = np.abs(np.arange(height) + 0.5 - centres[0, :, np.newaxis]) < sides[0, :, np.newaxis] / 2
    columns = np.abs(np.arange(width) + 0.5 - centres[1, :, np.newaxis]) < sides[1, :, np.newaxis] / 2
    inside = rows[:, :, np.newaxis] & columns[:, np.newaxis]
    grey = rng.uniform(0, 1, count) * rng.integers(0, 2, count)
    return np.where(_over(inside, images), _each(grey, images), images)


def _each(amounts: NDArray[np.float64], images: Images | None = None) -> Images:
    """Amounts that broadcast over images, (N,) → (N, 1, 1) or (N, 1, 1, 1); without images, over (N, H, W)."""
    return amounts.astype(np.float32).reshape(-1, *[1] * (2 if images is None else images.ndim - 1))


def _over(field: NDArray[Any], images: Images) -> NDArray[Any]:
    """A field, (N, H, W), that broadcasts over images."""
    return field if images.ndim == 3 else field[..., np.newaxis]
