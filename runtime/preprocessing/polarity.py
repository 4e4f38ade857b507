"""Whether the ink is lighter or darker than the paper: `light_ink`.

The numeric constants are exported to JavaScript by `digits_edge.export.targets.preprocessing_constants`.
"""

import numpy as np

from digits_edge.runtime.preprocessing.levels import border, border_is_even, rounded_differences
from digits_edge.runtime.preprocessing.morphology import Array, Mask, opened, otsu, pieces

#: Pictures whose longer side is shorter, in pixels, are crops of a digit; pages and photographs are larger.
MIN_PAGE_SIDE = 64
#: The background is light if more than this share of the border is.
LIGHT_BORDER_SHARE = 0.5
#: Levels are rounded to multiples of 1 divided by this for the variance; sums of their squares are then exact.
VARIANCE_STEPS = 4
#: Minimum share of the variance that is between ink and paper, as Otsu's threshold separates them. It is 0.64
#: for normally distributed noise, at most 0.69 in 200 small images of it, and 0.70 or more in 99 % of cheque digits.
MIN_SEPARABILITY = 0.7
#: Paper covers more than this share of the border, the corners and the area of a crop, on average.
PAPER_SHARE = 0.5
#: A page is a tight crop if its ink covers at least the first share of the border, at most the second share of a side
#: (a table or a shadow covers all of it), and is narrower than the longer side divided by the third number. Ink that is
#: thinner than the longer side divided by the fourth number is not counted on the border: it may be ruled lines.
MIN_TIGHT_BORDER = 0.05
MAX_TIGHT_SIDE = 0.95
TIGHT_STROKE_DIVISOR = 3
TIGHT_LINE_DIVISOR = 25
#: Maximum number of connected components of the ink of a tight crop; the squares of squared paper are more.
MAX_TIGHT_PIECES = 10


def light_ink(levels: Array, *, is_tight_page: bool = False) -> Array:
    """Invert the picture if the background is light, so that the ink is lighter than the background.

    In a tight crop, ink may cover the larger part of the border or of the picture, but not of both and of the corners.
    In other pictures, an even border is background, and Otsu's threshold determines whether it is light. In uneven
    light the threshold separates lit from shaded paper instead; then ink is what differs strongly from its surroundings
    in few pixels.

    Args:
        levels: float32, (H, W) in 0…255.
        is_tight_page: Whether it is a page that is a tight crop, see `is_tight`.

    Returns:
        float32, (H, W) in 0…255.

    Example:
        >>> levels = np.full((9, 9), 250, np.float32)
        >>> levels[3:6, 4] = 10
        >>> light_ink(levels)[4].tolist()
        [5.0, 5.0, 5.0, 5.0, 245.0, 5.0, 5.0, 5.0, 5.0]
    """
    light = levels > otsu(levels)
    if is_tight_page or (is_crop(levels) and is_separable(levels)):
        ground_is_light = _is_paper(light)
    elif border_is_even(levels, light):
        ground_is_light = float(np.mean(border(light))) > LIGHT_BORDER_SHARE
    else:
        local = rounded_differences(levels)
        ground_is_light = float((local * local * local).sum()) < 0  # negative skewness
    return 255 - levels if ground_is_light else levels


def is_crop(levels: Array) -> bool:
    """Whether a picture, (H, W), is so small that it is a crop of a digit and not a page."""
    return bool(max(levels.shape) < MIN_PAGE_SIDE)


def is_separable(levels: Array) -> bool:
    """Whether Otsu's threshold separates two kinds of pixels, and not noise.

    Args:
        levels: float32, (H, W) in 0…255.

    Example:
        >>> levels = np.full((8, 8), 10, np.float32)
        >>> is_separable(levels)
        False
        >>> levels[2:6, 3:5] = 200
        >>> is_separable(levels)
        True
    """
    exact = np.rint(levels * np.float32(VARIANCE_STEPS)).astype(np.float64)
    light = exact[levels > otsu(levels)]
    pixels, light_pixels = exact.size, light.size
    total = float(exact.sum())
    between = float(light.sum()) * pixels - total * light_pixels
    variance = float((exact * exact).sum()) * pixels - total * total
    return bool(between * between > MIN_SEPARABILITY * light_pixels * (pixels - light_pixels) * variance)


def is_tight(levels: Array) -> bool:
    """Whether a page is a tight crop of a digit: strokes reach the edges, and no table or shadow.

    Args:
        levels: float32, (H, W) in 0…255, the ink lighter or darker than the paper.

    Example:
        >>> levels = np.zeros((90, 90), np.float32)
        >>> levels[:20] = levels[:, 40:60] = 255  # a "T"
        >>> is_tight(levels), is_tight(255 - levels)
        (False, False)
        >>> levels[:20, :10] = 0
        >>> is_tight(levels), is_tight(255 - levels)
        (True, True)
    """
    light = levels > otsu(levels)
    ink = ~light if _is_paper(light) else light
    height, width = ink.shape
    sides = [int(np.count_nonzero(side)) for side in (ink[0], ink[-1], ink[:, 0], ink[:, -1])]
    min_border = MIN_TIGHT_BORDER * 2 * (height + width)
    if sum(sides) < min_border:  # most pages; the other tests are slow
        return False
    if max(sides[:2]) > MAX_TIGHT_SIDE * width or max(sides[2:]) > MAX_TIGHT_SIDE * height:
        return False
    if not is_separable(levels) or pieces(ink)[1] > MAX_TIGHT_PIECES:
        return False
    line = max(ink.shape) // TIGHT_LINE_DIVISOR | 1
    stroke = max(ink.shape) // TIGHT_STROKE_DIVISOR | 1
    if np.count_nonzero(border(opened(ink, line, line))) < min_border:
        return False
    return not opened(np.pad(ink, stroke), stroke, stroke).any()


def _is_paper(mask: Mask) -> bool:
    """Whether the pixels of a mask of a crop, rather than the others, are the paper."""
    corners = mask[[0, 0, -1, -1], [0, -1, 0, -1]]
    shares = [int(np.count_nonzero(part)) / part.size for part in (border(mask), corners, mask)]
    return shares[0] + shares[1] + shares[2] > 3 * PAPER_SHARE
