"""Reference lines whose columns in Keras become the golden values; the same lines in every export."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.datasets.synthetic_digits import draw_digit
from digits_edge.runtime.reader.line_image import LINE_HEIGHT, line_image

#: Number of lines and their width in pixels.
COUNT, WIDTH = 6, 128
_SEED = 24
_DIGIT_PX = 40
#: With 8 grey levels the images pack into half the bytes of 256, and edges are still anti-aliased.
_GREY_LEVELS = 8


@cache
def reference_lines() -> NDArray[np.uint8]:
    """Draw lines of four to six digits.

    Returns:
        Shape (6, 32, 128), uint8; read-only.

    Example:
        >>> reference_lines().shape
        (6, 32, 128)
    """
    rng = np.random.default_rng(_SEED)
    lines = np.zeros((COUNT, LINE_HEIGHT, WIDTH), np.uint8)
    for row in range(COUNT):
        digits = [(3 * row + 7 * place) % 10 for place in range(4 + row % 3)]
        image = line_image(_line(digits, rng))
        lines[row, :, : min(WIDTH, image.shape[1])] = image[:, :WIDTH]
    step = 255 / (_GREY_LEVELS - 1)
    lines = np.rint(np.rint(lines / step) * step).astype(np.uint8)
    lines.flags.writeable = False
    return lines


def _line(digits: list[int], rng: np.random.Generator) -> NDArray[np.float32]:
    """Digits side by side, with a margin."""
    drawn = [np.asarray(draw_digit(digit, rng, size=_DIGIT_PX, thickness=0.1, wobble=0.5)) for digit in digits]
    cut = [np.pad(each[:, each.any(axis=0)], ((4, 4), (2, 2))) for each in drawn]
    return np.concatenate(cut, axis=1).astype(np.float32)
