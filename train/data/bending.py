"""Bend images: smooth random displacements and the pixels at displaced places: `cubic_spline`, `sampled`."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]


@cache
def cubic_spline(size_px: int, spacing_px: int) -> Field:
    """Uniform cubic B-splines at every pixel.

    Args:
        size_px: number of pixels.
        spacing_px: distance between the knots.

    Returns:
        float32 (size_px, knots); rows sum to 1. Values at the knots, (knots,), become a smooth line by
        `cubic_spline(size, spacing) @ values`.

    Example:
        >>> cubic_spline(28, 7).shape, bool(np.allclose(cubic_spline(28, 7).sum(axis=1), 1))
        ((28, 7), True)
    """
    places = np.arange(size_px) / spacing_px
    distances = np.abs(places[:, np.newaxis] - np.arange(-1, np.ceil(places[-1]) + 2))
    near, far = 2 / 3 - distances**2 + distances**3 / 2, (2 - distances) ** 3 / 6
    return np.where(distances < 1, near, np.where(distances < 2, far, 0)).astype(np.float32)


def sampled(images: Field, rows: Field, columns: Field) -> Field:
    """Interpolate images bilinearly; beyond the border is the pixel at the border.

    Args:
        images: float32 (N, H, W) or (N, H, W, channels).
        rows: float32 (N, H, W), vertical place of each sample, in pixels.
        columns: float32 (N, H, W), horizontal place.

    Returns:
        float32 of the shape of the images.

    Example:
        >>> ramp = np.arange(4, dtype=np.float32).reshape(1, 2, 2)
        >>> half = np.full((1, 2, 2), 0.5, np.float32)
        >>> float(sampled(ramp, half, half)[0, 0, 0])
        1.5
    """
    count, height, width = images.shape[:3]
    y, x = np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)
    top, left = np.minimum(y.astype(np.intp), max(0, height - 2)), np.minimum(x.astype(np.intp), max(0, width - 2))
    extra = (np.newaxis,) * (images.ndim - 3)
    below, beside = ((place - start)[(..., *extra)] for place, start in ((y, top), (x, left)))
    pixels = images.reshape(count, height * width, *images.shape[3:])
    right_of, beneath = min(1, width - 1), width * min(1, height - 1)

    def pixel(offset: int) -> Field:
        places = (top * width + left + offset).reshape(count, height * width)
        return np.take_along_axis(pixels, places[(..., *extra)], axis=1).reshape(images.shape)

    upper = pixel(0) * (1 - beside) + pixel(right_of) * beside
    lower = pixel(beneath) * (1 - beside) + pixel(beneath + right_of) * beside
    return np.asarray(upper * (1 - below) + lower * below, np.float32)
