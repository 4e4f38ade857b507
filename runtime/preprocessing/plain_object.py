"""Conversion of a picture of an object on a plain background to the Fashion-MNIST format: `to_object_format`.

The method is that of the Fashion-MNIST paper (Xiao, Rasul and Vollgraf 2017, section 2): trim the background, scale
the longer side to 28 pixels, centre, invert, convert to grey. Here the background may also be dark, tinted or
transparent.

The numeric constants are exported to JavaScript by `digits_edge.export.targets.preprocessing_constants`.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from digits_edge.runtime.preprocessing.levels import luminance, reduced, resized
from digits_edge.runtime.preprocessing.mnist_format import IMAGE_SIDE
from digits_edge.runtime.preprocessing.morphology import MEDIAN, MID_GREY, Array, Mask, percentile, pieces
from digits_edge.runtime.preprocessing.prepared import PreparedPicture, Stage
from digits_edge.runtime.preprocessing.transparency import flattened, without_idle_alpha

#: Maximum difference from the background's colour, of 255 in any channel, for a background pixel: 5 % in the paper.
GROUND_TOLERANCE = 0.05 * 255
#: Minimum size of a connected component of the object, as a share of the largest one.
MIN_COMPONENT_SHARE = 0.02


def to_object_format(picture: Image.Image, *, side: int = IMAGE_SIDE, size: int = IMAGE_SIDE) -> PreparedPicture:
    """Convert a picture of one object on a plain background to the Fashion-MNIST format: grey on black, centred.

    Args:
        picture: Image as `open_picture` returns it: one object on a background of one colour, light or dark.
        side: Longer side of the object in the image, in pixels.
        size: Height and width of the image, at least `side`.

    Returns:
        The image, (28, 28) by default; a blank one if no pixel differs from the background.

    Example:
        >>> shirt = Image.new("RGB", (100, 100), "white")
        >>> shirt.paste((90, 20, 20), (25, 20, 75, 90))
        >>> prepared = to_object_format(shirt)
        >>> prepared.image.shape, prepared.blank, prepared.box
        ((28, 28), False, (25, 20, 75, 90))
    """
    picture = without_idle_alpha(picture)
    colours = flattened(reduced(picture, (0, 0, *picture.size)))
    ground = percentile(np.concatenate([colours[0], colours[-1], colours[:, 0], colours[:, -1]]), MEDIAN)
    mask = _without_specks(np.abs(colours - ground).max(axis=2) > GROUND_TOLERANCE)
    if not mask.any():
        return PreparedPicture(np.zeros((size, size), np.uint8), blank=True, box=None)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    x_scale, y_scale = picture.width / mask.shape[1], picture.height / mask.shape[0]
    left, upper = int(columns[0] * x_scale), int(rows[0] * y_scale)
    right, lower = round((columns[-1] + 1) * x_scale), round((rows[-1] + 1) * y_scale)
    scale = side / max(right - left, lower - upper)
    new_size = (max(1, round((right - left) * scale)), max(1, round((lower - upper) * scale)))
    levels = _contrast(flattened(resized(picture, (left, upper, right, lower), new_size)), ground)
    stage = Stage("difference from the background", levels)
    box = (left, upper, right, lower)
    return PreparedPicture(_centred(levels, size), blank=False, box=box, boxes=(box,), stages=(stage,))


def _without_specks(mask: Mask) -> Mask:
    """The mask without connected components that are small compared to the largest one."""
    numbered, count = pieces(mask)
    if not count:
        return mask
    sizes = np.bincount(numbered.ravel())[1:]
    return np.append(False, sizes >= MIN_COMPONENT_SHARE * sizes.max())[numbered]


def _contrast(colours: Array, ground: Array) -> Array:
    """Difference of luminance from the background, scaled so that the largest possible difference is 255."""
    levels, zero = luminance(colours), float(luminance(ground))
    contrast = (zero - levels) * (255 / zero) if zero > MID_GREY else (levels - zero) * (255 / (255 - zero))
    return np.asarray(np.clip(contrast, 0, 255), np.float32)


def _centred(levels: Array, size: int) -> NDArray[np.uint8]:
    """A black image with the levels in its centre."""
    height, width = levels.shape
    upper, left = (size - height) // 2, (size - width) // 2
    image = np.zeros((size, size), np.uint8)
    image[upper : upper + height, left : left + width] = np.rint(levels)
    return image
