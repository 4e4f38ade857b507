"""Detection of the ink of a digit in a picture: `find_ink`.

The steps are functions of small arrays, applied in this order: `reduced`, `flattened`, `grey`, `light_ink`,
`without_background`, `cleaned`.

The numeric constants are exported to JavaScript by `digits_edge.export.targets.preprocessing_constants`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from digits_edge.runtime.preprocessing.morphology import (
    GRID,
    LOWER_QUARTILE,
    MEDIAN,
    MID_GREY,
    UPPER_QUARTILE,
    Array,
    Mask,
    T,
    blurred,
    boxes,
    on_grid,
    opened,
    otsu,
    percentile,
    pieces,
    running,
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

# --- flattening and conversion to grey -------------------------------------------------------------------------------

#: Pixels with a higher alpha, in 0…1, are opaque.
OPAQUE_ALPHA = 0.5
#: Lower bound of the divisor of the mean brightness of transparent pictures; prevents division by zero.
MIN_TOTAL_ALPHA = 1e-6
#: Every n-th pixel and row is used to find the colours of ink and paper.
COLOUR_STRIDE = 2
#: The radius of the local mean is the longer side divided by this.
LOCAL_RADIUS_DIVISOR = 8
#: Local differences are rounded to multiples of 1 divided by this; sums of their products are then exact in float64.
DIFFERENCE_STEPS = 4
#: Added to the covariance of the colours, so that the mix of a picture of one colour is its luminance.
COVARIANCE_OFFSET = 2.0**-6
#: The background is light if more than this share of the border is.
LIGHT_BORDER_SHARE = 0.5
#: Maximum difference between the quartiles of an even border, as a share of the contrast of the picture.
MAX_BORDER_SPREAD = 0.25

# --- sheets of paper -------------------------------------------------------------------------------------------------

#: Minimum shorter side of a sheet, as a share of the picture's longer side.
MIN_SHEET_SHARE = 0.4
#: Minimum share of a sheet's bounding box that it fills. A bold "8" fills 70 %, a sheet rotated by ten degrees 75 %;
#: the paper inside a "0" belongs to the sheet.
MIN_SHEET_FILL = 0.75
#: The sheet is cropped on each side by its longer side divided by this.
SHEET_INSET_DIVISOR = 30

# --- background and noise --------------------------------------------------------------------------------------------

#: The side of the opening that estimates the paper is the longer side divided by this: wider than strokes, narrower
#: than shadows.
PAPER_SIDE_DIVISOR = 3
#: Radius of the box filter before that opening, in pixels.
PAPER_BLUR_RADIUS = 1
#: Standard deviation of noise divided by the median difference of neighbouring pixels.
NOISE_PER_DIFFERENCE = 1.05
#: The radius of the box filter before the threshold is the longer side divided by this.
SMOOTHING_DIVISOR = 100

# --- ruled lines -----------------------------------------------------------------------------------------------------

#: Threshold of ruled lines, as a share of Otsu's. Lower than INK_THRESHOLD, because a slanted thin line alternates
#: between two rows of pixels.
RULE_THRESHOLD = 0.3
#: Height of the dilation that joins the parts of a slanted line, in pixels.
RULE_DILATION = 5
#: Lines thicker than the longer side divided by this are not ruled lines.
RULE_THICKNESS_DIVISOR = 25
#: Minimum length of a part of a ruled line, as a share of the width.
MIN_RULE_LENGTH = 0.45
#: Minimum share of the columns that ruled lines cover.
MIN_RULE_COVERAGE = 0.9
#: Maximum width of everything else, as a share of the width. The bar of a "7" that was cropped tightly reaches from
#: edge to edge too, but the rest of the "7" is as wide.
MAX_WIDTH_BESIDE_RULES = 0.8

# --- connected components of the digit -------------------------------------------------------------------------------

#: Threshold of ink, as a share of Otsu's.
INK_THRESHOLD = 0.7
#: The weight of ink decreases to 0 over this share of the width and height at each edge.
EDGE_SHARE = 0.1
#: Minimum share of its longer side that a component has on the picture's border to count as part of the border.
BORDER_COMPONENT_SHARE = 0.6
#: Factor of the weight of such components.
BORDER_COMPONENT_WEIGHT = 0.05
#: Minimum weight of a component of the digit, as a share of the heaviest one's.
MIN_COMPONENT_WEIGHT = 0.02
#: Maximum distance of a component from the digit, as a share of the digit's longer side.
MAX_COMPONENT_GAP = 0.2
#: Side of the square by which the digit's mask is dilated, in pixels.
DIGIT_DILATION = 3
#: Minimum contrast of ink, of 255 and as a multiple of the paper's noise. The faintest of 274 real pictures has 31;
#: blank pages with noise up to 25 stay below 1.6 times their noise or 8 of 255.
MIN_CONTRAST = 12
MIN_CONTRAST_TO_NOISE = 2.5
#: Minimum size of a digit, as a share of the picture's longer side and in pixels; smaller ink on an empty page is dust.
MIN_SHARE = 0.04
MIN_PIXELS = 3
#: Threshold of the pixels that determine the bounding box, as a share of the highest level.
BOX_THRESHOLD = 0.15


@dataclass(frozen=True)
class Ink:
    """The ink of a digit and the intermediate results: float32 (H, W) in 0…255, reduced to `WORK_SIDE`.

    Attributes:
        levels: Grey levels of the picture, the ink lighter than the background.
        raised: Difference of each pixel from the paper around it.
        digit: `raised` of the digit's pixels; 0 elsewhere.
        cut: The digit cropped to its bounding box; empty if no ink was found.
        box: Left, upper, right, lower of the digit in pixels of the picture; None if no ink was found.
    """

    levels: Array
    raised: Array
    digit: Array
    cut: Array
    box: Box | None


def find_ink(picture: Image.Image, region: Box) -> Ink:
    """Find the ink of the one digit in a region of a picture.

    Args:
        picture: Image as `open_picture` returns it.
        region: Left, upper, right, lower in pixels; right and lower are exclusive.

    Returns:
        The ink and its bounding box.

    Example:
        >>> page = Image.new("L", (100, 100), "white")
        >>> page.paste(0, (45, 20, 55, 80))
        >>> find_ink(page, (0, 0, 100, 100)).box
        (45, 20, 55, 80)
    """
    levels = light_ink(grey(flattened(reduced(picture, region))))
    sheet = _sheet(levels)
    if sheet is not None:
        region = _in_picture(sheet, region, levels.shape)
        levels = light_ink(grey(flattened(reduced(picture, region))))
    raised = without_background(levels)
    digit = cleaned(raised, _noise(levels))
    solid = digit > BOX_THRESHOLD * digit.max()
    if not solid.any():
        return Ink(levels, raised, digit, digit[:0, :0], box=None)
    left, upper, right, lower = box = _bounds(solid)
    return Ink(levels, raised, digit, digit[upper:lower, left:right], _in_picture(box, region, digit.shape))


def without_idle_alpha(picture: Image.Image) -> Image.Image:
    """Remove the alpha channel if no pixel is transparent: resizing with alpha takes five times as long.

    Args:
        picture: Mode L, LA, RGB or RGBA.

    Returns:
        The picture itself, or a picture without alpha.

    Example:
        >>> without_idle_alpha(Image.new("RGBA", (2, 2), "white")).mode
        'RGB'
    """
    # numpy's minimum is faster than getextrema
    if picture.mode not in ("LA", "RGBA") or np.asarray(picture.getchannel("A")).min() < 255:
        return picture
    return picture.convert("L" if picture.mode == "LA" else "RGB")


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


def flattened(pixels: NDArray[np.uint8]) -> Array:
    """Composite the picture on an opaque background.

    If most of the picture is transparent, the opaque part is the ink and the background black or white, whichever
    contrasts more. Otherwise the paper is part of the picture, and its colour fills the transparent parts.

    Args:
        pixels: uint8, (H, W, 3) or (H, W, 4).

    Returns:
        float32, (H, W, 3) in 0…255.

    Example:
        >>> black_dot = np.zeros((3, 3, 4), np.uint8)
        >>> black_dot[1, 1, 3] = 255
        >>> flattened(black_dot)[:, :, 0]
        array([[255., 255., 255.],
               [255.,   0., 255.],
               [255., 255., 255.]], dtype=float32)
    """
    colours = pixels[:, :, :3].astype(np.float32)
    if pixels.shape[2] == 3:
        return colours
    alpha = pixels[:, :, 3:].astype(np.float32) / 255
    opaque = colours[alpha[:, :, 0] > OPAQUE_ALPHA]
    if 2 * len(opaque) > alpha.size:
        ground = percentile(opaque, MEDIAN)
    else:
        inked = on_grid(colours * alpha).sum(dtype=np.float64)
        brightness = inked / max(3 * int(pixels[:, :, 3].sum(dtype=np.int64)) / 255, MIN_TOTAL_ALPHA)
        ground = np.full(3, 0.0 if brightness > MID_GREY else 255.0)
    return on_grid(colours * alpha + ground * (1 - alpha))


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
    coarse = colours[::COLOUR_STRIDE, ::COLOUR_STRIDE]
    local = _rounded_differences(coarse).reshape(-1, 3)
    weights = _weights(np.linalg.eigh(local.T @ local + COVARIANCE_OFFSET)[1][:, -1])
    return on_grid(colours.astype(np.float64) @ weights - 255 * np.minimum(weights, 0).sum())


def _rounded_differences(levels: Array) -> NDArray[np.float64]:
    """Differences from the local mean, rounded to multiples of 1/DIFFERENCE_STEPS."""
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


def light_ink(levels: Array) -> Array:
    """Invert the picture if the background is light, so that the ink is lighter than the background.

    An even border is background, and Otsu's threshold determines whether it is light. In uneven light the threshold
    separates lit from shaded paper instead; then ink is what differs strongly from its surroundings in few pixels.

    Args:
        levels: float32, (H, W) in 0…255.

    Returns:
        float32, (H, W) in 0…255.

    Example:
        >>> levels = np.full((9, 9), 250, np.float32)
        >>> levels[3:6, 4] = 10
        >>> light_ink(levels)[4].tolist()
        [5.0, 5.0, 5.0, 5.0, 245.0, 5.0, 5.0, 5.0, 5.0]
    """
    if _border_is_even(levels):
        ground_is_light = float(np.mean(_border(levels) > otsu(levels))) > LIGHT_BORDER_SHARE
    else:
        local = _rounded_differences(levels)
        ground_is_light = float((local * local * local).sum()) < 0  # negative skewness
    return 255 - levels if ground_is_light else levels


def without_background(levels: Array) -> Array:
    """Subtract the paper, and with it uneven light and shadows.

    The paper is estimated by an opening: strokes are narrower than a third of the picture, shadows are not.

    Args:
        levels: float32, (H, W), the ink lighter than the paper.

    Returns:
        float32, (H, W): how much lighter each pixel is than the paper around it.

    Example:
        >>> levels = np.tile(np.linspace(0, 60, 30, dtype=np.float32), (30, 1))
        >>> levels[10:20, 15] += 100
        >>> raised = without_background(levels)
        >>> bool(raised[15, 15] > 90), bool(raised[15, 5] < 5)
        (True, True)
    """
    side = max(levels.shape) // PAPER_SIDE_DIVISOR | 1
    return np.asarray(np.maximum(levels - opened(blurred(levels, PAPER_BLUR_RADIUS), side, side), 0))


def cleaned(ink: Array, noise: float) -> Array:
    """Keep only the digit: remove specks, ruled lines and the edge of the table.

    The digit is the heaviest connected component of ink and the components close to it.

    Args:
        ink: float32, (H, W), as `without_background` returns it.
        noise: Standard deviation of the paper's noise, in levels.

    Returns:
        float32, (H, W): 0 outside the digit; all 0 if there is no digit.

    Example:
        >>> ink = np.zeros((100, 100), np.float32)
        >>> ink[20:80, 45:55] = 200
        >>> ink[5, 5] = 200
        >>> digit = cleaned(ink, noise=1)
        >>> float(digit[50, 50]), float(digit[5, 5])
        (200.0, 0.0)
    """
    smooth = blurred(ink, max(ink.shape) // SMOOTHING_DIVISOR)
    threshold = otsu(smooth)
    mask = (smooth > INK_THRESHOLD * threshold) & ~_rules(smooth > RULE_THRESHOLD * threshold)
    numbered, count = pieces(mask)
    if count == 0:
        return np.zeros_like(ink)
    weights = np.bincount(numbered.ravel(), (smooth * _centredness(ink)).ravel())[1:]
    border_pixels = np.bincount(_border(numbered), minlength=count + 1)[1:]
    is_digit = _digit_pieces(boxes(numbered, count), weights, border_pixels)
    digit = np.append(False, is_digit)[numbered]
    if not _stands_out(smooth, digit, mask, noise):
        return np.zeros_like(ink)
    return np.where(running(np.maximum, digit, DIGIT_DILATION, DIGIT_DILATION), ink, 0)


def _sheet(levels: Array) -> Box | None:
    """The box of a sheet of paper on a darker table, or of a card: a solid, wide component instead of ink."""
    if not _border_is_even(levels):
        return None
    light = levels > otsu(levels)
    numbered, count = pieces(light)
    if count == 0:
        return None
    largest = int(np.bincount(numbered.ravel())[1:].argmax())
    left, upper, right, lower = (int(side) for side in boxes(numbered, count)[largest])
    width, height = right - left, lower - upper
    if min(width, height) < MIN_SHEET_SHARE * max(levels.shape):
        return None
    if light[upper:lower, left:right].mean() < MIN_SHEET_FILL:
        return None
    inset = max(width, height) // SHEET_INSET_DIVISOR
    return left + inset, upper + inset, right - inset, lower - inset


def _border(array: NDArray[T]) -> NDArray[T]:
    return np.concatenate([array[0], array[-1], array[:, 0], array[:, -1]])


def _border_is_even(levels: Array) -> bool:
    """Whether the border varies little compared to the picture's contrast: no gradient, no partial shadow."""
    light = levels > otsu(levels)
    if not light.any() or light.all():
        return True
    contrast = _mean(levels[light]) - _mean(levels[~light])
    lower, upper = (float(percentile(_border(levels), percent)) for percent in (LOWER_QUARTILE, UPPER_QUARTILE))
    return upper - lower < MAX_BORDER_SPREAD * contrast


def _mean(levels: Array) -> float:
    """The mean of levels rounded by `on_grid`: their sum is exact in float64."""
    return float(levels.mean(dtype=np.float64))


def _noise(levels: Array) -> float:
    """The standard deviation of the paper's noise, from the median difference of neighbours, which ignores strokes."""
    if levels.shape[1] < 2:
        return 0.0
    return NOISE_PER_DIFFERENCE * float(percentile(np.abs(np.diff(levels, axis=1)).ravel(), MEDIAN))


def _rules(mask: Mask) -> Mask:
    """The pixels of horizontal and vertical ruled lines in a mask."""
    return _horizontal_rules(mask) | _horizontal_rules(mask.T).T


def _horizontal_rules(mask: Mask) -> Mask:
    """The pixels of thin, nearly horizontal lines, if they reach from edge to edge and beyond everything else."""
    width = mask.shape[1]
    thickness = max(mask.shape) // RULE_THICKNESS_DIVISOR | 1
    lines = opened(running(np.maximum, mask, RULE_DILATION, 1), 1, int(MIN_RULE_LENGTH * width) | 1)
    rules = mask & lines & ~opened(mask, thickness, 1)
    rest = (mask & ~rules).any(0)
    is_ruled = (
        rules.any(0).mean() > MIN_RULE_COVERAGE
        and rest.any()
        and np.ptp(np.flatnonzero(rest)) < MAX_WIDTH_BESIDE_RULES * width
    )
    return rules if is_ruled else np.zeros_like(mask)


def _centredness(ink: Array) -> Array:
    """Weights of pixels: 1, decreasing to 0 near the edges, where tables, shadows and spiral bindings are."""
    rows, columns = (np.minimum(np.arange(n) + 0.5, n - np.arange(n) - 0.5) / (EDGE_SHARE * n) for n in ink.shape)
    return np.asarray(np.minimum(1, np.minimum.outer(rows, columns)), np.float32)


def _digit_pieces(piece_boxes: NDArray[np.intp], weights: NDArray[Any], border_pixels: NDArray[np.intp]) -> Mask:
    """Select the components of the digit: the heaviest, then repeatedly those close to the selected ones.

    Args:
        piece_boxes: int, (P, 4), left, upper, right, lower.
        weights: float64, (P,), sum of ink weighted by centredness.
        border_pixels: int, (P,), number of a component's pixels on the picture's border.

    Returns:
        bool, (P,).
    """
    left, upper, right, lower = piece_boxes.T
    along_border = border_pixels > BORDER_COMPONENT_SHARE * np.maximum(right - left, lower - upper)
    central_weights = np.where(along_border, BORDER_COMPONENT_WEIGHT * weights, weights)
    selected: Mask = np.arange(len(weights)) == np.argmax(central_weights)
    touches = border_pixels > 0
    # A component that touches the border belongs to the digit only if the digit does: the picture was cropped tightly.
    possible = (weights > MIN_COMPONENT_WEIGHT * weights[selected]) & ~along_border & (touches <= touches[selected])
    while True:
        x0, y0 = piece_boxes[selected, :2].min(0)
        x1, y1 = piece_boxes[selected, 2:].max(0)
        gap = np.maximum.reduce([left - x1, x0 - right, upper - y1, y0 - lower])
        encloses = (left < x0) & (upper < y0) & (right > x1) & (lower > y1)  # a frame drawn around the digit
        more = selected | (possible & ~encloses & (gap <= MAX_COMPONENT_GAP * max(x1 - x0, y1 - y0)))
        if np.array_equal(more, selected):
            return selected
        selected, possible = more, possible & ~encloses


def _stands_out(ink: Array, digit: Mask, mask: Mask, noise: float) -> bool:
    """Whether the digit is larger than a speck and has more contrast than the paper's noise."""
    left, upper, right, lower = _bounds(digit)
    paper = ink[~mask]
    contrast = _mean(ink[digit]) - (_mean(paper) if paper.size else 0.0)
    is_large = max(right - left, lower - upper) > max(MIN_PIXELS, MIN_SHARE * max(ink.shape))
    return is_large and contrast > max(MIN_CONTRAST, MIN_CONTRAST_TO_NOISE * noise)


def _bounds(mask: Mask) -> Box:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _in_picture(box: Box, region: Box, shape: tuple[int, ...]) -> Box:
    """A box of the reduced region, in pixels of the picture."""
    x_scale, y_scale = (region[2] - region[0]) / shape[1], (region[3] - region[1]) / shape[0]
    left, upper = region[0] + int(box[0] * x_scale), region[1] + int(box[1] * y_scale)
    right, lower = region[0] + int(np.ceil(box[2] * x_scale)), region[1] + int(np.ceil(box[3] * y_scale))
    return left, upper, min(right, region[2]), min(lower, region[3])
