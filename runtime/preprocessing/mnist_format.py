"""Conversion of a picture of a digit to the MNIST format: `to_mnist_format`.

`find_ink` finds the digit in the complete picture, and again in a close-up if the digit is a small part of it;
`find_small_digits` finds one that is a few pixels of the reduced picture. Then
`thickened` widens thin strokes, and `framed` scales and centres the digit.

The numeric constants are exported to JavaScript by `digits_edge.export.targets.preprocessing_constants`.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from digits_edge.runtime.preprocessing.components import bounds
from digits_edge.runtime.preprocessing.ink import Ink, find_ink
from digits_edge.runtime.preprocessing.levels import Box
from digits_edge.runtime.preprocessing.morphology import Array, on_grid, percentile, running
from digits_edge.runtime.preprocessing.prepared import PreparedPicture, Stage
from digits_edge.runtime.preprocessing.small_digits import find_small_digits
from digits_edge.runtime.preprocessing.transparency import without_idle_alpha

#: Side of an image in pixels.
IMAGE_SIDE = 28
#: Longer side of an MNIST digit in its image, in pixels.
INK_SIDE = 20
#: Median stroke width of MNIST's test images by `_stroke_width`, in pixels; 5 % are below 1.8 and 5 % above 3.9.
#: Thinner strokes are widened to it: otherwise 4 of 274 real pictures are misclassified instead of 2.
STROKE = 2.5
#: Strokes that are wider than the first number of pixels are narrowed to the second: 41 of 1,823 stretched two-level
#: crops are misclassified otherwise, instead of 27. It changes the label of no real picture.
MAX_STROKE, NARROWED_STROKE = 4.5, 3.5
#: A digit is narrowed only as far as its highest level stays at least this.
MIN_NARROWED_LEVEL = 0.5
#: A digit whose longer side is below this share of the picture's longer side is processed again in a close-up.
CLOSE_UP_SHARE = 0.5
#: The close-up's margin around the digit is the digit's longer side divided by this.
CLOSE_UP_MARGIN_DIVISOR = 2
#: Percentile of the ink's levels that counts as full ink before thickening, and in the final image.
FULL_INK_PERCENTILE = 75
FRAMED_INK_PERCENTILE = 80
#: Lower bound of the level that counts as full ink in the final image, as a share of the highest level.
MIN_FULL_INK_SHARE = 0.5
#: Strokes are widened in an image this many times larger than the MNIST format.
THICKENING_SCALE = 4
#: Side of the cross and of the square by which strokes are dilated, in pixels.
THICKENING_SIDE = 3


def to_mnist_format(picture: Image.Image, *, side: int = INK_SIDE, size: int = IMAGE_SIDE) -> PreparedPicture:
    """Convert a picture of one digit to the MNIST format.

    Args:
        picture: Image as `open_picture` returns it: dark ink on light or light on dark, of any colour and size, evenly
            or unevenly lit, on plain, ruled or squared paper.
        side: Longer side of the digit in the image, in pixels.
        size: Height and width of the image, at least `side`.

    Returns:
        The image, (28, 28) by default; a blank one if no ink was found.

    Example:
        >>> from PIL import ImageDraw
        >>> page = Image.new("L", (200, 200), "white")
        >>> ImageDraw.Draw(page).line((100, 30, 100, 170), fill="black", width=15)
        >>> prepared = to_mnist_format(page)
        >>> prepared.image.shape, prepared.image.dtype, prepared.blank
        ((28, 28), dtype('uint8'), False)
    """
    picture = without_idle_alpha(picture)
    ink = find_ink(picture, (0, 0, *picture.size))
    if ink.box is None:
        ink = _small_digit(picture, ink)
    if ink.box is None:
        return PreparedPicture(np.zeros((size, size), np.uint8), blank=True, box=None, stages=_stages(ink))
    if max(ink.box[2] - ink.box[0], ink.box[3] - ink.box[1]) < CLOSE_UP_SHARE * max(picture.size):
        close_up = find_ink(picture, _with_margin(ink.box, picture.size))
        ink = ink if close_up.box is None else _with_boxes(close_up, ink)
    thick = thickened(ink.cut)
    stages = (*_stages(ink), Stage("strokes widened", thick, 1.0))
    image = framed(thick, side=side, size=size)
    return PreparedPicture(image, blank=False, box=ink.box, boxes=ink.boxes, stages=stages)


def thickened(ink: Array) -> Array:
    """Widen strokes that are thinner than MNIST's, and narrow those that are much wider.

    Thin strokes would fade when the picture is reduced; wide ones fill the holes and gaps of a digit.

    Args:
        ink: float32, (H, W), cropped to its bounding box, at least one value above 0.

    Returns:
        float32, (H, W) in 0…1, of the same or another size.

    Example:
        >>> thickened(np.full((200, 2), 255, np.float32)).shape  # 1:100 becomes about 1:10
        (88, 9)
    """
    ink = on_grid(np.clip(ink / percentile(ink[ink > 0], FULL_INK_PERCENTILE), 0, 1))
    width = _stroke_width(ink) * INK_SIDE / max(ink.shape)
    if width > MAX_STROKE:
        return _narrowed(ink, round((width - NARROWED_STROKE) * THICKENING_SCALE / 2))
    radius = round((STROKE - width) * THICKENING_SCALE / 2)
    if radius < 1:
        return ink
    ink = np.pad(_resized(ink, THICKENING_SCALE * INK_SIDE), radius)
    for step in range(radius):
        ink = _by_octagon(np.maximum, ink, step)
    return ink


def _narrowed(ink: Array, radius: int) -> Array:
    """Erode the ink by a radius in pixels of the larger image, and crop it to its bounding box."""
    ink = np.pad(_resized(ink, THICKENING_SCALE * INK_SIDE), 1)
    for step in range(radius):
        narrower = _by_octagon(np.minimum, ink, step)
        if narrower.max() < MIN_NARROWED_LEVEL:
            break
        ink = narrower
    left, upper, right, lower = bounds(ink > 0)
    return ink[upper:lower, left:right]


def _by_octagon(extreme: np.ufunc, ink: Array, step: int) -> Array:
    """A step of a dilation or erosion: alternately by a cross and a square, whose sequence is an octagon."""
    side = THICKENING_SIDE
    if step % 2:
        return running(extreme, ink, side, side)
    return np.asarray(extreme(running(extreme, ink, side, 1), running(extreme, ink, 1, side)))


def framed(ink: Array, *, side: int = INK_SIDE, size: int = IMAGE_SIDE) -> NDArray[np.uint8]:
    """Scale and centre a digit like MNIST: longer side 20 pixels, strokes near 255, centred by centre of mass.

    Args:
        ink: float32, (H, W), cropped to its bounding box, at least one value above 0.
        side: Longer side of the digit in the image, in pixels.
        size: Height and width of the image.

    Returns:
        uint8, (size, size).

    Example:
        >>> image = framed(np.ones((40, 10), np.float32))
        >>> image.shape, int(image.max()), int(image.any(axis=1).sum())
        ((28, 28), 255, 20)
    """
    small = _resized(ink, side)
    strong = float(percentile(small[small > 0], FRAMED_INK_PERCENTILE))
    full = max(strong, MIN_FULL_INK_SHARE * float(small.max()))
    levels = np.rint(np.minimum(small / full, 1) * 255).astype(np.int64)
    height, width = levels.shape
    # MNIST's centre of mass is in the pixel right of and below the middle, never before it: hence ceil. For a symmetric
    # digit, both positions are equally near, so the sums are of integers.
    doubled = 2 * int(levels.sum())
    x = int(levels.sum(0) @ (2 * np.arange(width) + 1)) / doubled
    y = int(levels.sum(1) @ (2 * np.arange(height) + 1)) / doubled
    left = min(max(int(np.ceil(size / 2 - x)), 0), size - width)
    upper = min(max(int(np.ceil(size / 2 - y)), 0), size - height)
    image = np.zeros((size, size), np.uint8)
    image[upper : upper + height, left : left + width] = levels
    return image


def _small_digit(picture: Image.Image, page: Ink) -> Ink:
    """The close-up of the largest small digit, with the boxes of all; the page if there are none."""
    found = find_small_digits(picture, page)
    return replace(found[0], boxes=tuple(sorted(box for ink in found for box in ink.boxes))) if found else page


def _with_boxes(close_up: Ink, ink: Ink) -> Ink:
    """The close-up with the boxes of the complete picture if there are several digits in it."""
    return replace(close_up, boxes=ink.boxes) if len(ink.boxes) > 1 else close_up


def _stages(ink: Ink) -> tuple[Stage, ...]:
    lightest = max(float(ink.raised.max()), 1.0)
    return (
        Stage("grey, ink lighter than paper", ink.levels),
        Stage("background removed", ink.raised, lightest),
        Stage("only the digit", ink.digit, lightest),
    )


def _with_margin(box: Box, size: tuple[int, int]) -> Box:
    margin = max(box[2] - box[0], box[3] - box[1]) // CLOSE_UP_MARGIN_DIVISOR
    left, upper = max(0, box[0] - margin), max(0, box[1] - margin)
    return left, upper, min(size[0], box[2] + margin), min(size[1], box[3] + margin)


def _stroke_width(ink: Array) -> float:
    """The mean width of the strokes in pixels: twice their area divided by their outline, averaged over directions.

    Args:
        ink: float32, (H, W) in 0…1, rounded by `on_grid`.
    """
    padded = np.pad(ink, 1)
    outline = sum(float(np.abs(np.diff(padded, axis=axis)).sum(dtype=np.float64)) for axis in (0, 1)) * np.pi / 4
    return 2 * float(ink.sum(dtype=np.float64)) / outline


def _resized(ink: Array, side: int) -> Array:
    """The ink with its longer side scaled to `side` pixels, antialiased."""
    scale = side / max(ink.shape)
    size = (max(1, round(ink.shape[1] * scale)), max(1, round(ink.shape[0] * scale)))
    return on_grid(np.asarray(Image.fromarray(ink).resize(size, Image.Resampling.BILINEAR)))
