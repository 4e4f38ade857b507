"""Conversion of one written line to the input of a sequence model: `line_image`.

The generator of training lines uses the same function, so training and use cannot differ.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from digits_edge.runtime.preprocessing.levels import Box, grey, resized
from digits_edge.runtime.preprocessing.morphology import (
    MEDIAN,
    Array,
    Mask,
    blurred,
    boxes,
    on_grid,
    opened,
    otsu,
    percentile,
    pieces,
)
from digits_edge.runtime.preprocessing.polarity import light_ink
from digits_edge.runtime.preprocessing.transparency import flattened, without_idle_alpha

#: Height of a line image, and height of the line's ink in it, in pixels.
LINE_HEIGHT, INK_HEIGHT = 32, 24
#: Smallest and largest width of a line image, in pixels.
MIN_LINE_WIDTH, MAX_LINE_WIDTH = 32, 1024
#: Height to which taller regions are reduced before anything else.
WORK_HEIGHT = 96

# --- paper and ink ---------------------------------------------------------------------------------------------------

#: Side of the opening that estimates the paper, as a share of the height: wider than strokes, narrower than shadows.
PAPER_SIDE_SHARE = 0.5
#: Radius of the box filter before that opening, in pixels.
PAPER_BLUR_RADIUS = 1
#: Percentile of the levels above Otsu's threshold that counts as full ink.
FULL_INK_PERCENTILE = 70
#: Thin strokes fade when the line is reduced. The line image is then lightened again by this factor at most, until this
#: percentile of the pixels lighter than `STRONG_SHARE` of the lightest one is full ink.
MAX_LIGHTENING, SCALED_INK_PERCENTILE, STRONG_SHARE = 6.0, 60, 0.5
#: Smallest difference between paper and full ink, of 255: the noise of blank paper stays faint.
MIN_CONTRAST = 24

# --- rows of the line ------------------------------------------------------------------------------------------------

#: Threshold of the components that determine the rows of the line, as a share of full ink, after a box filter. The
#: filter breaks strokes that are a pixel wide: if it leaves less than the second number of ink that had at least the
#: first, ink above the third number before the filter counts, too.
BAND_THRESHOLD = 0.45
STRONG_INK, THIN_INK, THIN_BAND_THRESHOLD = 0.5, 0.6, 0.25
#: Components whose height is below this share of the highest one's do not determine the rows: separators and specks.
MIN_HEIGHT_SHARE = 0.45
#: Components lower than this share of the region are never digits, nor are rules: those wider than this many heights.
MIN_REGION_SHARE, MAX_ASPECT = 0.15, 8.0
#: Components above or below a digit are parts of it if they share these columns with it, as a share of their width, and
#: the gap is at most this share of its height.
MIN_PART_OVERLAP, MAX_PART_GAP = 0.7, 0.12
#: A component at the upper or lower edge is part of another line if it covers less than this share of the height.
NEIGHBOUR_SHARE = 0.4


def line_levels(picture: Image.Image, region: Box | None = None) -> Array:
    """Grey levels of a region, the ink lighter than the paper, at most `WORK_HEIGHT` pixels high.

    Args:
        picture: Image as `open_picture` returns it.
        region: Left, upper, right, lower in pixels; None for the complete picture.

    Returns:
        float32, (H, W) in 0…255.

    Example:
        >>> page = Image.new("L", (300, 192), "white")
        >>> page.paste(0, (40, 20, 60, 180))
        >>> levels = line_levels(page)
        >>> levels.shape, bool(levels[48, 25] > levels[48, 100])
        ((96, 150), True)
    """
    picture = without_idle_alpha(picture)
    left, upper, right, lower = region or (0, 0, *picture.size)
    scale = min(1.0, WORK_HEIGHT / (lower - upper))
    size = (max(1, round((right - left) * scale)), max(1, round((lower - upper) * scale)))
    return light_ink(grey(flattened(resized(picture, (left, upper, right, lower), size))))


def line_image(levels: Array, band: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """Flatten the light of one written line, and scale it so that its ink is `INK_HEIGHT` pixels high.

    Paper is about 0 and full ink 255. Nothing is thresholded: patterns and texture of the paper remain as faint grey.
    Columns are scaled like rows, so pixel x of the levels is pixel `x * W / levels.shape[1]` of the line image. Only
    images narrower than `MIN_LINE_WIDTH` differ: they are filled with paper on the right.

    Args:
        levels: float32, (H, W) in 0…255, the ink lighter than the paper, as `line_levels` returns it.
        band: First and last row of the line's ink, the latter exclusive; None for those that `find_band` returns.

    Returns:
        uint8, (32, W): white ink on black, W from 32 to 1,024.

    Example:
        >>> levels = np.zeros((60, 200), np.float32)
        >>> levels[6:54, 20:28] = levels[6:54, 60:68] = 200
        >>> image = line_image(levels)
        >>> image.shape, int(image.max()), int(image[:, 12].any()), image[16, 10:16].tolist()
        ((32, 100), 255, 1, [223, 255, 255, 223, 32, 0])
    """
    ink = flattened_light(levels)
    upper, lower = _rows(ink) if band is None else band
    return _scaled(ink, (upper, max(lower, upper + 1)))


def banded_line_image(levels: Array) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """The line image of levels, and its band: first and last row of the line's ink in the levels, the latter exclusive.

    Args:
        levels: float32, (H, W) in 0…255, as for `line_image`.

    Example:
        >>> levels = np.zeros((60, 200), np.float32)
        >>> levels[6:54, 20:28] = levels[6:54, 60:68] = 200
        >>> image, band = banded_line_image(levels)
        >>> image.shape, band
        ((32, 100), (6, 54))
    """
    ink = flattened_light(levels)
    upper, lower = _rows(ink)
    band = upper, max(lower, upper + 1)
    return _scaled(ink, band), band


def find_band(levels: Array) -> tuple[int, int]:
    """First and last row of the line's ink, the latter exclusive, without rules and parts of neighbouring lines.

    Args:
        levels: float32, (H, W) in 0…255, the ink lighter than the paper.

    Example:
        >>> levels = np.zeros((60, 200), np.float32)
        >>> levels[10:40, 20:28] = levels[38:40, 60:70] = levels[50, 10:190] = 200
        >>> find_band(levels)
        (10, 40)
    """
    return _rows(flattened_light(levels))


def flattened_light(levels: Array) -> Array:
    """Subtract the paper and its shadows, and divide by the level of full ink.

    Args:
        levels: float32, (H, W) in 0…255, the ink lighter than the paper.

    Returns:
        float32, (H, W) in 0…1: paper about 0, full ink 1.

    Example:
        >>> levels = np.tile(np.linspace(0, 100, 200, dtype=np.float32), (40, 1))
        >>> levels[5:35, 50:54] += 100
        >>> flat = flattened_light(levels)
        >>> float(flat[20, 52]), bool(flat[20, 150] < 0.1)
        (1.0, True)
    """
    side = int(PAPER_SIDE_SHARE * levels.shape[0]) | 1
    raised = levels - opened(blurred(levels, PAPER_BLUR_RADIUS), side, side)
    raised = np.maximum(raised - np.float32(percentile(raised.ravel(), MEDIAN)), 0)
    strong = raised[raised > otsu(raised)]
    full = float(percentile(strong, FULL_INK_PERCENTILE)) if strong.size else 0.0
    return on_grid(np.minimum(raised / np.float32(max(full, MIN_CONTRAST)), 1))


def _rows(ink: Array) -> tuple[int, int]:
    """The rows of the line in levels of 0…1; all rows if there is no ink."""
    height = ink.shape[0]
    smooth = blurred(ink, 1)
    strong = smooth[ink >= STRONG_INK]
    full = float(percentile(strong, FULL_INK_PERCENTILE)) if strong.size else 1.0
    is_ink = np.asarray(smooth > BAND_THRESHOLD)
    numbered, count = pieces(is_ink | (ink > THIN_BAND_THRESHOLD) if full < THIN_INK else is_ink)
    if not count:
        return 0, height
    left, upper, right, lower = boxes(numbered, count).T
    heights, widths = lower - upper, right - left
    is_neighbour = ((upper == 0) | (lower == height)) & (heights < NEIGHBOUR_SHARE * height)
    possible: Mask = (heights >= MIN_REGION_SHARE * height) & (widths <= MAX_ASPECT * heights) & ~is_neighbour
    possible_part = ~is_neighbour & (widths <= MAX_ASPECT * heights)
    if not possible.any():
        return 0, height
    tall = possible & (heights >= MIN_HEIGHT_SHARE * heights[possible].max())
    for one in np.flatnonzero(tall).tolist():
        shared = np.minimum(right, right[one]) - np.maximum(left, left[one])
        gap = np.maximum(upper - lower[one], upper[one] - lower)
        tall |= possible_part & (shared >= MIN_PART_OVERLAP * widths) & (gap <= MAX_PART_GAP * heights[one])
    return int(upper[tall].min()), int(lower[tall].max())


def _scaled(ink: Array, band: tuple[int, int]) -> NDArray[np.uint8]:
    """The line image of levels of 0…1: the rows of the band, with paper or what is there above and below."""
    upper, lower = band
    scale = INK_HEIGHT / (lower - upper)
    margin = (LINE_HEIGHT - INK_HEIGHT) / 2 / scale
    border = int(np.ceil(margin)) + 1
    padded = np.zeros((ink.shape[0] + 2 * border, ink.shape[1]), ink.dtype)
    padded[border:-border] = ink
    box = (0, upper - margin + border, ink.shape[1], lower + margin + border)
    width = min(max(1, round(ink.shape[1] * scale)), MAX_LINE_WIDTH)
    small = Image.fromarray(padded).resize((width, LINE_HEIGHT), Image.Resampling.BILINEAR, box=box)
    scaled = on_grid(np.asarray(small))
    if ink.max() >= 1:  # otherwise it is paper without ink
        scaled = _lightened(scaled)
    image = np.zeros((LINE_HEIGHT, max(width, MIN_LINE_WIDTH)), np.uint8)
    image[:, :width] = np.rint(scaled * np.float32(255))
    return image


def _lightened(small: Array) -> Array:
    """The scaled levels, lightened if thin strokes have faded."""
    highest = float(small.max())
    if highest <= 0:
        return small
    full = float(percentile(small[small >= STRONG_SHARE * highest], SCALED_INK_PERCENTILE))
    return on_grid(np.minimum(small / np.float32(max(full, 1 / MAX_LIGHTENING)), 1)) if full < 1 else small
