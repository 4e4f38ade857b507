"""Separators and currency signs as they are written by hand: `draw_separator`."""

from collections.abc import Callable

import numpy as np

from digits_edge.runtime.datasets.synthetic_digits import any_of
from digits_edge.train.data.variants.notation import Points, between, shape

#: Draws strokes in hundredths of a digit's height; y is 100 on the baseline.
_Drawing = Callable[[np.random.Generator], str]


def draw_separator(character: str, rng: np.random.Generator) -> str:
    """Draw a separator or a currency sign.

    Args:
        character: one of `. , - / = $ €`.
        rng: source of all randomness.

    Returns:
        Strokes in the notation of `digits_edge.runtime.datasets.synthetic_digits.SHAPES`. The baseline is y = 100 and
        the top of digits y = 0.

    Example:
        >>> draw_separator("-", np.random.default_rng(0)).count("|")
        0
    """
    return _DRAWINGS[character](rng)


def _dot(rng: np.random.Generator) -> str:
    x, y = 0.0, between(rng, 88, 100) if rng.random() < 0.8 else between(rng, 45, 80)
    if rng.random() < 0.6:
        return shape([(x, y), (x + between(rng, 0, 3), y + between(rng, 0, 3))])
    return shape([(x, y), (x + between(rng, -7, 10), y + between(rng, -5, 9))])


def _comma(rng: np.random.Generator) -> str:
    y, length = between(rng, 82, 98), between(rng, 14, 36)
    lean = between(rng, 0.1, 0.7)
    bulge = between(rng, 0, 6)
    return shape([(0.0, y), (bulge - lean * length * 0.3, y + length * 0.5), (-lean * length, y + length)])


def _bar(rng: np.random.Generator, y: float, length: float) -> Points:
    tilt, sag = between(rng, -0.16, 0.1) * length, between(rng, -6, 6)
    return [(0.0, y), (length / 2, y + tilt / 2 + sag), (length, y + tilt)]


def _dash_length(rng: np.random.Generator) -> float:
    return between(rng, 22, 70) if rng.random() < 0.85 else between(rng, 70, 200)


def _dash(rng: np.random.Generator) -> str:
    return shape(_bar(rng, between(rng, 42, 76) if rng.random() < 0.85 else between(rng, 76, 96), _dash_length(rng)))


def _equals(rng: np.random.Generator) -> str:
    length, y, apart = between(rng, 26, 80), between(rng, 36, 62), between(rng, 13, 30)
    upper, lower = _bar(rng, y, length), _bar(rng, y + apart, length * between(rng, 0.7, 1.3))
    shift = between(rng, -10, 12)
    lower = [(x + shift, y) for x, y in lower]
    if rng.random() < 0.2:  # in one stroke
        return shape([*upper, *lower])
    return shape(upper, lower)


def _slash(rng: np.random.Generator) -> str:
    lean, top, bottom = between(rng, 12, 60), between(rng, -16, 6), between(rng, 98, 122)
    bend = between(rng, -4, 4)
    return shape([(lean, top), (lean / 2 + bend, (top + bottom) / 2), (0.0, bottom)])


def _dollar(rng: np.random.Generator) -> str:
    width = between(rng, 44, 66)
    s_curve: Points = [
        (width, between(rng, 10, 22)),
        (width * 0.5, 4.0),
        (width * 0.08, 22.0),
        (width * 0.45, 48.0),
        (width * 0.92, 70.0),
        (width * 0.5, 96.0),
        (0.0, between(rng, 78, 92)),
    ]
    low, high, lean = between(rng, 100, 116), between(rng, -16, 0), between(rng, -3, 10)
    places = [0.5] if rng.random() < 0.6 else [0.38, 0.62]
    bars = [[(width * place + lean, high), (width * place, low)] for place in places]
    return shape(s_curve, *bars)


def _euro(rng: np.random.Generator) -> str:
    width = between(rng, 50, 70)
    curve: Points = [
        (width, between(rng, 8, 22)),
        (width * 0.55, 0.0),
        (width * 0.12, 26.0),
        (width * 0.06, 60.0),
        (width * 0.3, 96.0),
        (width * 0.7, 99.0),
        (width, between(rng, 80, 94)),
    ]
    y, apart = between(rng, 34, 50), between(rng, 12, 22)
    bars = [
        [(-between(rng, 6, 18), at), (width * between(rng, 0.55, 0.8), at + between(rng, -5, 2))]
        for at in (y, y + apart)
    ]
    return shape(curve, *bars)


def _old_style_comma(rng: np.random.Generator) -> str:
    return any_of(("0,90 4,100 0,112 -8,122", "2,88 6,96 4,108 -6,124"), rng)


def _any_comma(rng: np.random.Generator) -> str:
    return _comma(rng) if rng.random() < 0.8 else _old_style_comma(rng)


_DRAWINGS: dict[str, _Drawing] = {
    ".": _dot,
    ",": _any_comma,
    "-": _dash,
    "=": _equals,
    "/": _slash,
    "$": _dollar,
    "€": _euro,
}
