"""Crops of a digit, in which ink reaches the edges: `as_crop` smooths textured paper and adds a margin of paper.

The numeric constants are exported to JavaScript by `digits_edge.export.targets.preprocessing_constants`.
"""

from dataclasses import dataclass

import numpy as np

from digits_edge.runtime.preprocessing.morphology import MEDIAN, Array, on_grid, otsu, percentile
from digits_edge.runtime.preprocessing.polarity import is_separable

#: The margin is the longer side divided by this, and at least this many pixels wide. The window that estimates the
#: paper is then half as wide as the crop, and wider than the strokes of a bold digit.
CROP_MARGIN_DIVISOR = 4
MIN_CROP_MARGIN = 2
#: Minimum difference of the median of the paper and its percentile, as a share of the contrast, of textured paper. It
#: is 0 in 95 % of clean crops, and 0.12 or more in 95 % of digits from cheques with a security pattern. Percentiles
#: above the median are not used: antialiased ink is there.
MIN_TEXTURE = 0.08
TEXTURE_PERCENTILE = 10
#: Minimum longer side of a crop in pixels for its texture to be smoothed; in smaller ones, strokes are a pixel wide.
MIN_TEXTURED_SIDE = 12
#: Number of binomial filters [1, 2, 1] / 4 along rows and columns that smooth texture; the standard deviation of two is
#: one pixel.
TEXTURE_FILTERS = 2


@dataclass(frozen=True)
class Crop:
    """A crop of a digit.

    Attributes:
        levels: float32, (H, W): the crop with a margin of paper.
        margin: Width of the margin in pixels.
        ground: Level of the paper.
        is_textured: Whether the paper has a pattern.
        is_separable: Whether ink and paper have different levels.
    """

    levels: Array
    margin: int
    ground: float
    is_textured: bool
    is_separable: bool


def as_crop(levels: Array, *, with_margin: bool) -> Crop:
    """Smooth textured paper, and add a margin of paper.

    Args:
        levels: float32, (H, W), the ink lighter than the paper.
        with_margin: Whether a margin is added.

    Example:
        >>> levels = np.zeros((16, 8), np.float32)
        >>> levels[:, 3:6] = 255
        >>> crop = as_crop(levels, with_margin=True)
        >>> crop.levels.shape, crop.margin, crop.is_textured, crop.is_separable
        ((24, 16), 4, False, True)
    """
    threshold = otsu(levels)
    ink, paper = levels[levels > threshold], levels[levels <= threshold]
    ground = ground_of(levels)
    texture = ground - float(percentile(paper, TEXTURE_PERCENTILE))
    separable = is_separable(levels)
    contrast = float(percentile(ink, MEDIAN)) - ground if ink.size else 0.0
    is_textured = max(levels.shape) >= MIN_TEXTURED_SIDE and texture > MIN_TEXTURE * contrast
    if is_textured:
        levels = smoothed(levels)
    margin = 0
    if with_margin and separable:  # a margin around a gradient would have contrast to its light end
        margin = max(MIN_CROP_MARGIN, max(levels.shape) // CROP_MARGIN_DIVISOR)
    return Crop(np.pad(levels, margin, constant_values=ground), margin, ground, is_textured, separable)


def ground_of(levels: Array) -> float:
    """The level of the paper: the median of the levels that Otsu's threshold separates from the ink.

    Args:
        levels: float32, (H, W), the ink lighter than the paper.

    Example:
        >>> ground_of(np.array([[3, 3, 4, 200]], np.float32))
        3.0
    """
    return float(on_grid(percentile(levels[levels <= otsu(levels)], MEDIAN)))


def smoothed(levels: Array) -> Array:
    """Apply `TEXTURE_FILTERS` binomial filters along rows and columns, with edge padding, rounded by `on_grid`.

    Args:
        levels: float32, (H, W).

    Returns:
        float32, (H, W).

    Example:
        >>> smoothed(np.array([[0, 0, 16, 0, 0]], np.float32))
        array([[1., 4., 6., 4., 1.]], dtype=float32)
    """
    for _ in range(TEXTURE_FILTERS):
        for _ in (0, 1):  # sums of multiples of 1/4096 up to 4 · 255, and then of a quarter of these, are exact
            padded = np.concatenate([levels[:1], levels, levels[-1:]])
            levels = ((padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4).T
        levels = on_grid(levels)
    return levels
