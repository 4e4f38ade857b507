"""Digits as people in different countries learn to write them, drawn with strokes: `draw_national_digit`.

MNIST has American digits. Elsewhere a 1 has a long flag and sometimes a foot, a 7 is crossed or begins with a hook, a 9
ends in a straight or S-shaped tail, a 4 is open, and a 2 or 3 has loops. Each variant is a function that draws random
lengths and angles and returns a shape in the notation of `digits_edge.runtime.datasets.synthetic_digits.SHAPES`.
"""

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.datasets.synthetic_digits import draw_shape
from digits_edge.train.data.variants.four_to_six import FOUR_TO_SIX
from digits_edge.train.data.variants.notation import Variants
from digits_edge.train.data.variants.seven_to_nine import SEVEN_TO_NINE
from digits_edge.train.data.variants.zero_to_three import ZERO_TO_THREE

#: Variants of each digit: drawing function and relative frequency, by name.
VARIANTS: dict[int, Variants] = ZERO_TO_THREE | FOUR_TO_SIX | SEVEN_TO_NINE

#: Side of a drawing in pixels, thickness of its pen as a share of its size, and distortion. `handwriting.written`
#: changes pen and slant.
_SIDE_PX, _PEN, _WOBBLE = 64, 0.05, 0.8


def draw_national_digit(digit: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], str]:
    """Draw a digit in a random variant.

    Args:
        digit: 0 to 9.
        rng: random generator; the same state draws the same digit.

    Returns:
        Drawing, uint8 (64, 64), white ink on black, and the name of the variant.

    Example:
        >>> drawing, variant = draw_national_digit(7, np.random.default_rng(0))
        >>> drawing.shape, variant in VARIANTS[7]
        ((64, 64), True)
    """
    variants = VARIANTS[digit]
    names = list(variants)
    weights = np.array([weight for _, weight in variants.values()], np.float64)
    name = names[int(np.searchsorted(np.cumsum(weights) / weights.sum(), rng.random()))]
    picture = draw_shape(variants[name][0](rng), rng, size=_SIDE_PX, thickness=_PEN, wobble=_WOBBLE)
    return np.asarray(picture, np.uint8), name
