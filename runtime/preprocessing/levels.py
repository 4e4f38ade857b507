"""Grey levels of a picture.

The steps are functions of small arrays, applied in this order: `reduced`, `flattened` of `transparency`, `grey`, and
`light_ink` of `polarity`.
The numeric constants are exported to JavaScript by `digits_edge.export.targets.preprocessing_constants`.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from digits_edge.runtime.preprocessing.morphology import (
    GRID,
    LOWER_QUARTILE,
    UPPER_QUARTILE,
    Array,
    Mask,
    T,
    blurred,
    on_grid,
    percentile,
)

Box = tuple[int, int, int, int]

# --- reduction -------------------------------------------------------------------------------------------------------

#: Longer side of the reduced picture that all steps work on; 128 and 200 are no more accurate.
WORK_SIDE = 160
#: Offset in pixels of the region that is resized. If the centre of a pixel is exactly on the edge of the area that a
#: new pixel covers, the last bit decides, and that differs between x86 and ARM. With this offset there are no such
#: pixels: for new sides of at most 160 pixels, all other centres are at least 1/320 pixel away from an edge.
REGION_OFFSET = 2.0**-9
#: `reducing_gap` of `PIL.Image.Image.resize`.
REDUCING_GAP = 3.0

# --- conversion to grey ----------------------------------------------------------------------------------------------

#: Luminance weights of red, green and blue (ITU-R BT.601), in multiples of 1/GRID, so that weighted sums are exact.
LUMINANCE = (1225 / GRID, 2404 / GRID, 467 / GRID)
#: Every n-th pixel and row is used to find the colours of ink and paper.
COLOUR_STRIDE = 2
#: The radius of the local mean is the longer side divided by this.
LOCAL_RADIUS_DIVISOR = 8
#: Local differences are rounded to multiples of 1 divided by this; sums of their products are then exact in float64.
DIFFERENCE_STEPS = 4
#: Added to the covariance of the colours, so that the mix of a picture of one colour is its luminance.
COVARIANCE_OFFSET = 2.0**-6
#: Maximum difference between the quartiles of an even border, as a share of the contrast of the picture.
MAX_BORDER_SPREAD = 0.25


def reduced(picture: Image.Image, region: Box) -> NDArray[np.uint8]:
    """Crop a region and reduce its longer side to at most `WORK_SIDE` pixels.

    Args:
        picture: Mode L, LA, RGB or RGBA.
        region: Left, upper, right, lower in pixels.

    Returns:
        uint8, (H, W, 3) or (H, W, 4).

    Example:
        >>> reduced(Image.new("RGB", (400, 200)), (0, 0, 400, 200)).shape
        (80, 160, 3)
    """
    left, upper, right, lower = region
    scale = min(1.0, WORK_SIDE / max(right - left, lower - upper))
    return resized(picture, region, (max(1, round((right - left) * scale)), max(1, round((lower - upper) * scale))))


def resized(picture: Image.Image, region: Box, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Crop a region and resize it; a new pixel is about the mean of the pixels it covers.

    Large regions are first reduced by an integer factor to three times the new size or more, which is twice as fast as
    exact means.

    Args:
        picture: Mode L, LA, RGB or RGBA.
        region: Left, upper, right, lower in pixels.
        size: New width and height.

    Returns:
        uint8, (H, W, 3) or (H, W, 4).

    Example:
        >>> resized(Image.new("LA", (10, 10)), (0, 0, 10, 5), (4, 2)).shape
        (2, 4, 4)
    """
    if picture.mode == "LA":
        picture = picture.convert("RGBA")
    left, upper, right, lower = region
    offset = 0.0 if size == (right - left, lower - upper) else REGION_OFFSET
    box = (left + offset, upper + offset, right, lower)
    small = picture.resize(size, Image.Resampling.BOX, box=box, reducing_gap=REDUCING_GAP)
    return np.asarray(small if small.mode == "RGBA" else small.convert("RGB"))


def grey(colours: Array) -> Array:
    """Convert to grey with the channel weights that give the ink the most contrast.

    The weights are the first principal axis of the local colour differences: luminance for grey pictures; for red ink
    on green paper of the same luminance, the axis from red to green.

    Args:
        colours: float32, (H, W, 3) in 0…255.

    Returns:
        float32, (H, W) in 0…255.

    Example:
        >>> colours = np.full((20, 20, 3), (0, 200, 0), np.float32)
        >>> colours[8:12, 8:12] = (200, 0, 0)
        >>> levels = grey(colours)
        >>> levels.shape, bool(np.ptp(levels) > 100)
        ((20, 20), True)
    """
    if (colours[..., 0] == colours[..., 1]).all() and (colours[..., 0] == colours[..., 2]).all():
        return on_grid(colours[..., 0])  # what the weights, thirds that sum to 1, give
    coarse = colours[::COLOUR_STRIDE, ::COLOUR_STRIDE]
    local = rounded_differences(coarse).reshape(-1, 3)
    weights = _weights(np.linalg.eigh(local.T @ local + COVARIANCE_OFFSET)[1][:, -1])
    return on_grid(colours.astype(np.float64) @ weights - 255 * np.minimum(weights, 0).sum())


def luminance(colours: Array) -> NDArray[np.float64]:
    """The luminance of colours, (…, 3) in 0…255, as float64 of shape (…).

    Example:
        >>> luminance(np.array([[255, 255, 255], [0, 0, 0]], np.float32)).tolist()
        [255.0, 0.0]
    """
    return np.asarray(colours.astype(np.float64) @ np.array(LUMINANCE))


def rounded_differences(levels: Array) -> NDArray[np.float64]:
    """Differences from the local mean, rounded to multiples of 1/DIFFERENCE_STEPS: sums of their products are exact.

    Args:
        levels: float32, (H, W) or (H, W, C).

    Returns:
        float64, of the same shape, in these units.

    Example:
        >>> rounded_differences(np.full((9, 9), 7, np.float32)).any()
        np.False_
    """
    differences = levels - blurred(levels, max(levels.shape[:2]) // LOCAL_RADIUS_DIVISOR)
    return np.asarray(np.rint(differences * np.float32(DIFFERENCE_STEPS)), np.float64)


def _weights(axis: NDArray[np.float64]) -> NDArray[np.float64]:
    """An axis, (3,), as weights in multiples of 1/GRID whose absolute values sum to 1 and whose sum is at least 0."""
    steps = np.rint(axis * (GRID / np.abs(axis).sum()))
    heaviest = int(np.abs(steps).argmax())
    steps[heaviest] += np.sign(steps[heaviest]) * (GRID - np.abs(steps).sum())
    # if the weights of two channels cancel out, the larger or first one is positive
    is_positive = steps.sum() > 0 or (steps.sum() == 0 and steps[heaviest] > 0)
    return np.asarray((steps if is_positive else -steps) / GRID)


def border(array: NDArray[T]) -> NDArray[T]:
    """The first and last rows and columns of an array, (H, W), as (2·W + 2·H,)."""
    return np.concatenate([array[0], array[-1], array[:, 0], array[:, -1]])


def border_is_even(levels: Array, light: Mask) -> bool:
    """Whether the border varies little compared to the picture's contrast: no gradient, no partial shadow.

    Args:
        levels: float32, (H, W).
        light: bool, (H, W), the levels above Otsu's threshold.
    """
    if not light.any() or light.all():
        return True
    contrast = mean(levels[light]) - mean(levels[~light])
    lower, upper = (float(percentile(border(levels), percent)) for percent in (LOWER_QUARTILE, UPPER_QUARTILE))
    return upper - lower < MAX_BORDER_SPREAD * contrast


def mean(levels: Array) -> float:
    """The mean of levels rounded by `on_grid`: their sum is exact in float64."""
    return float(levels.mean(dtype=np.float64))
