"""The slant of a line image: `slant_of`, and `without_slant`, which shears it upright and may widen it."""

import numpy as np
from numpy.typing import NDArray

#: A sheared image gets wider; slants beyond this are not believed, in pixels to the right for each pixel upwards.
MAX_SLANT = 1.2


def slant_of(pixels: NDArray[np.uint8]) -> float:
    """The slant of the strokes: pixels to the right for each pixel upwards, from the gradients of the levels.

    Args:
        pixels: uint8 (H, W).

    Example:
        >>> upright, italic = np.zeros((32, 60), np.uint8), np.zeros((32, 60), np.uint8)
        >>> upright[:, 20:24] = 255
        >>> for row in range(32):
        ...     italic[row, 40 - row // 2 : 44 - row // 2] = 255
        >>> round(slant_of(upright), 1), round(slant_of(italic), 1)
        (0.0, 0.5)
    """
    levels = pixels.astype(np.float64)
    across = levels[1:-1, 2:] - levels[1:-1, :-2]
    down = levels[2:, 1:-1] - levels[:-2, 1:-1]
    steep = float((across * across).sum())
    slant = float((across * down).sum()) / steep if steep else 0.0
    return max(-MAX_SLANT, min(slant, MAX_SLANT))


def without_slant(pixels: NDArray[np.uint8], slant: float, widening: float = 1.0) -> NDArray[np.uint8]:
    """Shear a line image so that strokes of a slant are upright, and widen it; between pixels, levels are interpolated.

    Args:
        pixels: uint8 (H, W).
        slant: pixels to the right for each pixel upwards.
        widening: columns of the result for each column of the sheared image.

    Returns:
        uint8 (H, about (W + margins) · widening).

    Example:
        >>> italic = np.zeros((3, 4), np.uint8)
        >>> italic[0, 2] = italic[1, 1] = italic[2, 0] = 200
        >>> without_slant(italic, 1.0).argmax(axis=1).tolist()
        [4, 4, 4]
        >>> without_slant(italic, 1.0, 2.0).shape
        (3, 20)
    """
    height, width = pixels.shape
    margin = int(np.ceil(abs(slant) * height / 2)) + 1
    columns = int(np.floor((width + 2 * margin) * widening + 0.5))
    shifts = slant * (np.arange(height) - (height - 1) / 2) + margin
    places = ((np.arange(columns) + 0.5) / widening - 0.5) - shifts[:, None]
    left = np.floor(places)
    rest = places - left
    padded = np.pad(pixels, ((0, 0), (2, 2)))  # beyond the pixels there is paper
    at = np.clip(left + 2, 0, width + 2).astype(np.intp)
    levels = np.take_along_axis(padded, at, axis=1) * (1 - rest) + np.take_along_axis(padded, at + 1, axis=1) * rest
    return np.asarray(np.rint(levels), np.uint8)
