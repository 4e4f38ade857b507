"""From a picture of a garment to the form Fashion-MNIST's images have: `to_fashion_mnist_format`.

The published recipe (Xiao, Rasul and Vollgraf 2017, section 2): trim what has the ground's colour, bring the longer
side to 28 pixels, centre, negate, grey. Here the ground may also be dark, tinted or transparent.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from digits_edge.runtime.preprocessing.ink import flattened, reduced, resized, without_idle_alpha
from digits_edge.runtime.preprocessing.mnist_format import IMAGE_SIDE, PreparedPicture, Step
from digits_edge.runtime.preprocessing.morphology import GRID, Array, Mask, percentile, pieces

#: What differs less from the ground, of 255 in any channel, is ground: the publication's 5 %.
GROUND_TOLERANCE = 0.05 * 255
#: A piece smaller than this share of the largest is no part of the garment.
_SMALLEST_PIECE = 0.02
#: Of red, green and blue (ITU-R BT.601), in steps whose sums are exact.
_LUMINANCE = np.array([1225, 2404, 467]) / GRID


def to_fashion_mnist_format(picture: Image.Image) -> PreparedPicture:
    """Bring a picture of one garment on a plain ground to the Fashion-MNIST form.

    Args:
        picture: as `open_picture` returns it: the garment alone, on a ground of one colour, light or dark.

    Returns:
        The image; a blank one if nothing in the picture differs from its ground.
    """
    picture = without_idle_alpha(picture)
    colours = flattened(reduced(picture, (0, 0, *picture.size)))
    ground = percentile(np.concatenate([colours[0], colours[-1], colours[:, 0], colours[:, -1]]), 50)
    mask = _solid(np.abs(colours - ground).max(axis=2) > GROUND_TOLERANCE)
    if not mask.any():
        return PreparedPicture(np.zeros((IMAGE_SIDE, IMAGE_SIDE), np.uint8), blank=True, box=None)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    x_scale, y_scale = picture.width / mask.shape[1], picture.height / mask.shape[0]
    left, upper = int(columns[0] * x_scale), int(rows[0] * y_scale)
    right, lower = round((columns[-1] + 1) * x_scale), round((rows[-1] + 1) * y_scale)
    scale = IMAGE_SIDE / max(right - left, lower - upper)
    size = (max(1, round((right - left) * scale)), max(1, round((lower - upper) * scale)))
    cloth = flattened(resized(picture, (left, upper, right, lower), size))
    away = _from_ground(cloth, ground)
    return PreparedPicture(
        _framed(away), blank=False, box=(left, upper, right, lower), steps=(Step("what differs from the ground", away),)
    )


def _solid(mask: Mask) -> Mask:
    """The mask without specks."""
    numbered, count = pieces(mask)
    if not count:
        return mask
    sizes = np.bincount(numbered.ravel())[1:]
    return np.append(False, sizes >= _SMALLEST_PIECE * sizes.max())[numbered]


def _from_ground(colours: Array, ground: Array) -> Array:
    """How far each pixel's luminance is from the ground's, 0…255 where that is as far as it can be."""
    levels, zero = colours.astype(np.float64) @ _LUMINANCE, float(ground.astype(np.float64) @ _LUMINANCE)
    away = (zero - levels) * (255 / zero) if zero > 127 else (levels - zero) * (255 / (255 - zero))
    return np.asarray(np.clip(away, 0, 255), np.float32)


def _framed(levels: Array) -> NDArray[np.uint8]:
    """The garment in the middle of a black image."""
    height, width = levels.shape
    upper, left = (IMAGE_SIDE - height) // 2, (IMAGE_SIDE - width) // 2
    image = np.zeros((IMAGE_SIDE, IMAGE_SIDE), np.uint8)
    image[upper : upper + height, left : left + width] = np.rint(levels)
    return image
