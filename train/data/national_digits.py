"""Digits as people in different countries learn to write them, drawn with strokes: `draw_national_digit`.

MNIST has American digits. Elsewhere a 1 has a long flag and sometimes a foot, a 7 is crossed or begins with a hook, a 9
ends in a straight or S-shaped tail, a 4 is open, and a 2 or 3 has loops. Each variant is a function that draws random
lengths and angles and returns a shape in the notation of `digits_edge.runtime.datasets.synthetic_digits.SHAPES`.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.datasets.synthetic_digits import SHAPES, any_of, draw_shape

Points = list[tuple[float, float]]
Variant = Callable[[np.random.Generator], str]

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


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    return float(rng.uniform(low, high))


def _shape(*strokes: Points) -> str:
    """Strokes in the notation of `SHAPES`."""
    return " | ".join(" ".join(f"{x:.1f},{y:.1f}" for x, y in stroke) for stroke in strokes)


def _usual(digit: int) -> Variant:
    """The shapes of the project's synthetic digits."""
    return lambda rng: any_of(SHAPES[digit], rng)


# --- 0 ---------------------------------------------------------------------------------------------------------------


def _oval(rng: np.random.Generator) -> tuple[Points, float]:
    """A closed oval from the top, counter-clockwise, and its width."""
    width, overlap = _between(rng, 30, 75), _between(rng, -4, 10)
    middle = width / 2
    points = [
        (middle + _between(rng, 0, 8), 1.0),
        (width * 0.14, 18.0),
        (0.0, 50.0),
        (width * 0.14, 84.0),
        (middle, 99.0),
        (width * 0.86, 82.0),
        (width, 50.0),
        (width * 0.86, 17.0),
        (middle - overlap, 2.0 + max(0.0, overlap) * 0.4),
    ]
    return points, width


def _plain_oval(rng: np.random.Generator) -> str:
    return _shape(_oval(rng)[0])


def _oval_with_loop(rng: np.random.Generator) -> str:
    points, width = _oval(rng)
    return _shape([*points, (width * 0.4, 14.0), (width * 0.75, 6.0), (width + _between(rng, 0, 15), -6.0)])


def _oval_with_curl(rng: np.random.Generator) -> str:
    """The end curls inside, or the stroke comes from the digit before and goes to the next one."""
    points, width = _oval(rng)
    if rng.integers(2):
        return _shape([*points, (width * 0.3, 10.0), (width * 0.4, 24.0), (width * 0.7, 20.0)])
    return _shape(
        [(-_between(rng, 4, 30), _between(rng, -2, 16)), (width * 0.2, 4.0), *points],
        [points[-1], (width * 0.8, 8.0), (width + _between(rng, 8, 36), _between(rng, -2, 14))],
    )


def _slashed_oval(rng: np.random.Generator) -> str:
    points, width = _oval(rng)
    if rng.integers(2):
        y = _between(rng, 30, 65)
        return _shape(points, [(-_between(rng, -8, 14), y), (width / 2, y), (width + _between(rng, -8, 14), y)])
    over = _between(rng, -6, 12)
    return _shape(points, [(width + over * 0.6, 6.0 - over), (width / 2, 50.0), (-over * 0.6, 94.0 + over)])


# --- 1 ---------------------------------------------------------------------------------------------------------------


def _stem(rng: np.random.Generator, x: float = 50.0) -> Points:
    lean = _between(rng, -6, 6)
    return [(x, 0.0), (x + lean, 50.0), (x + _between(rng, -8, 8), 100.0)]


def _flag(rng: np.random.Generator, low: float, high: float) -> Points:
    """A flag to the top of the stem at x = 50: straight, or bent either way; a long one is steep, unlike a 7's bar."""
    length = _between(rng, low, high)
    steepness = _between(rng, 0.5 + length / 200, 1.8)
    across, down = length / np.hypot(1, steepness), length * steepness / np.hypot(1, steepness)
    bend = _between(rng, -5, 5)
    return [(50 - across, down), (50 - across / 2 + bend, down / 2 + bend * 0.7), (50.0, 0.0)]


def _foot(rng: np.random.Generator, stem: Points) -> Points:
    x, y = stem[-1]
    tilt = _between(rng, -3, 3)
    return [(x - _between(rng, 12, 36), y + tilt), (x, y), (x + _between(rng, 10, 36), y - tilt)]


def _bare_one(rng: np.random.Generator) -> str:
    return _shape(_stem(rng))


def _short_flag(rng: np.random.Generator) -> str:
    return _shape(_flag(rng, 14, 34), _stem(rng))


def _long_flag(rng: np.random.Generator) -> str:
    return _shape(_flag(rng, 34, 78), _stem(rng))


def _roof_one(rng: np.random.Generator) -> str:
    """A flag that is nearly as long as the stem: a narrow roof."""
    down = _between(rng, 55, 100)
    across = down * _between(rng, 0.28, 0.7)
    bend = _between(rng, -6, 6)
    flag: Points = [(50 - across, down), (50 - across / 2 + bend, down / 2 + bend * 0.6), (50.0, 0.0)]
    return _shape(flag, [(50.0, 0.0), (50 + _between(rng, -2, 12), 50.0), (50 + _between(rng, -4, 22), 100.0)])


def _arched_one(rng: np.random.Generator) -> str:
    """Flag and stem in one stroke that turns in a curve instead of a corner."""
    down, across = _between(rng, 16, 60), _between(rng, 10, 34)
    turn = _between(rng, 3, 10)
    head: Points = [(50 - across, down), (50 - across * 0.4, down * 0.45), (50 - turn * 0.4, 3.0), (50 + turn, 4.0)]
    return _shape([*head, (50 + turn, 24.0), (50 + _between(rng, -4, 5), 60.0), (48 + _between(rng, -8, 6), 100.0)])


def _flag_and_foot(rng: np.random.Generator) -> str:
    stem = _stem(rng)
    return _shape(_flag(rng, 15, 60), stem, _foot(rng, stem))


def _only_foot(rng: np.random.Generator) -> str:
    stem = _stem(rng)
    return _shape(stem, _foot(rng, stem))


def _one_with_tail(rng: np.random.Generator) -> str:
    """A flag in one sweep with the stem, and a small hook at the foot."""
    flag, hook = _flag(rng, 20, 55), _between(rng, 5, 18)
    return _shape(flag, [(50.0, 0.0), (50 + _between(rng, -6, 4), 50.0), (50.0, 92.0), (50 + hook, 99.0)])


# --- 2 ---------------------------------------------------------------------------------------------------------------


def _two_head(rng: np.random.Generator) -> Points:
    start_y, width = _between(rng, 10, 32), _between(rng, 46, 68)
    return [(4.0, start_y), (width * 0.3, 4.0), (width * 0.62, 0.0), (width * 0.97, 16.0), (width * 0.9, 38.0)]


def _looped_two(rng: np.random.Generator) -> str:
    loop, rise = _between(rng, 10, 26), _between(rng, 70, 84)
    rest: Points = [(30.0, 72.0), (8.0, 94.0), (-loop * 0.2, 88.0), (6.0, rise), (loop, rise + 4), (40.0, 94.0)]
    end = (_between(rng, 62, 88), _between(rng, 82, 100))
    return _shape([*_two_head(rng), *rest, end])


def _angular_two(rng: np.random.Generator) -> str:
    corner: Points = [(4.0, 98.0)]
    base: Points = [*corner, (34.0, 97 + _between(rng, -4, 3)), (_between(rng, 58, 90), 97 + _between(rng, -6, 3))]
    return _shape([*_two_head(rng), (34.0, 66.0), *corner], base)


def _wavy_two(rng: np.random.Generator) -> str:
    wave = _between(rng, 3, 9)
    base: Points = [(2.0, 97.0), (18.0, 97 - wave), (40.0, 97 + wave * 0.4), (_between(rng, 62, 85), 97 - wave)]
    return _shape([*_two_head(rng), (34.0, 66.0), (2.0, 97.0)], base)


def _curled_two(rng: np.random.Generator) -> str:
    """The head begins with a curl, and is nearly a closed loop."""
    width, low = _between(rng, 44, 62), _between(rng, 32, 48)
    curl: Points = [(_between(rng, 10, 32), low), (2.0, low * 0.6), (width * 0.35, 0.0), (width * 0.9, 8.0)]
    neck: Points = [(width, 26.0), (width * 0.72, low + 14), (12.0, 90.0)]
    if rng.integers(2):
        rise = _between(rng, 72, 82)
        foot: Points = [(0.0, 90.0), (4.0, rise), (22.0, rise + 4), (44.0, 96.0), (_between(rng, 62, 84), 90.0)]
        return _shape([*curl, *neck, *foot])
    return _shape([*curl, *neck, (2.0, 98.0)], [(2.0, 98.0), (34.0, 97.0), (_between(rng, 54, 84), 95.0)])


# --- 3 ---------------------------------------------------------------------------------------------------------------


def _three_bowl(rng: np.random.Generator, x: float, y: float) -> Points:
    """The lower bowl from the middle."""
    width = _between(rng, 56, 72)
    return [
        (x, y),
        (x + (width - x) * 0.7, y + 8),
        (width, 76.0),
        (width * 0.7, 97.0),
        (width * 0.3, 99.0),
        (_between(rng, -4, 8), _between(rng, 80, 94)),
    ]


def _round_three(rng: np.random.Generator) -> str:
    y, x = _between(rng, 40, 50), _between(rng, 16, 34)
    head: Points = [(4.0, _between(rng, 8, 22)), (26.0, 0.0), (52.0, 8.0), (54.0, 28.0), (x, y)]
    return _shape(head, _three_bowl(rng, x, y))


def _flat_three(rng: np.random.Generator) -> str:
    y, x, width = _between(rng, 36, 46), _between(rng, 20, 32), _between(rng, 48, 64)
    return _shape([(4.0, 4.0), (30.0, 2.0), (width, 2.0)], [(width, 2.0), (44.0, 20.0), (x, y)], _three_bowl(rng, x, y))


def _looped_three(rng: np.random.Generator) -> str:
    y = _between(rng, 42, 50)
    head: Points = [(4.0, 14.0), (26.0, 0.0), (52.0, 8.0), (52.0, 28.0), (30.0, y), (18.0, y + 3), (22.0, y - 5)]
    return _shape([*head, *_three_bowl(rng, 30.0, y)])


# --- 4 ---------------------------------------------------------------------------------------------------------------


def _open_four(rng: np.random.Generator) -> str:
    """The left stroke turns into the bar, and the stem crosses it; the top is open."""
    bar_y, left = _between(rng, 48, 70), _between(rng, 0, 10)
    stem_x, stem_top, end = _between(rng, 44, 58), _between(rng, -6, 34), _between(rng, 62, 82)
    corner = (left, bar_y)
    return _shape(
        [(left + _between(rng, 2, 26), 0.0), (left + _between(rng, 0, 8), bar_y / 2), corner],
        [corner, (32.0, bar_y + _between(rng, -2, 4)), (end, bar_y + _between(rng, -5, 4))],
        [(stem_x, stem_top), (stem_x - 2, 55.0), (stem_x + _between(rng, -10, 4), 100.0)],
    )


def _round_open_four(rng: np.random.Generator) -> str:
    """A cup and a stem, like the letter y."""
    bottom, right = _between(rng, 42, 60), _between(rng, 48, 62)
    cup: Points = [(2.0, _between(rng, 0, 8)), (4.0, bottom * 0.7), (20.0, bottom), (right * 0.8, bottom - 8)]
    return _shape(
        [*cup, (right, bottom * 0.45)], [(right + 2, 0.0), (right, 48.0), (right + _between(rng, -10, 3), 100.0)]
    )


def _closed_four(rng: np.random.Generator) -> str:
    bar_y, stem_x = _between(rng, 56, 76), _between(rng, 42, 56)
    bar_end = stem_x + _between(rng, 4, 28)
    top = (stem_x + _between(rng, -2, 4), 0.0)
    return _shape(
        [top, (stem_x * 0.55, bar_y * 0.5), (2.0, bar_y)],
        [(2.0, bar_y), (30.0, bar_y), (bar_end, bar_y + _between(rng, -4, 3))],
        [top, (stem_x, 50.0), (stem_x + _between(rng, -6, 2), 100.0)],
    )


def _low_stem_four(rng: np.random.Generator) -> str:
    """A slanted stroke, a bar, and a short stem through the bar."""
    bar_y, stem_x = _between(rng, 58, 72), _between(rng, 40, 54)
    return _shape(
        [(_between(rng, 34, 52), 0.0), (20.0, bar_y * 0.55), (2.0, bar_y)],
        [(2.0, bar_y), (34.0, bar_y), (_between(rng, 62, 84), bar_y + _between(rng, -4, 4))],
        [(stem_x, _between(rng, 34, 50)), (stem_x - 1, 70.0), (stem_x + _between(rng, -6, 3), 100.0)],
    )


def _four_like_h(rng: np.random.Generator) -> str:
    """A long slanted stroke, a short rising bar, and a short stem at its right that reaches the line or below."""
    bar_y, foot = _between(rng, 58, 84), _between(rng, 0, 8)
    stem_x = _between(rng, 34, 58)
    bar_end = stem_x + _between(rng, 4, 22)
    end = (stem_x - _between(rng, -4, 10), _between(rng, 98, 124))
    if rng.integers(3):
        top = (stem_x + _between(rng, 0, 8), bar_y - _between(rng, 12, 30))
        bar: Points = [
            (foot, bar_y),
            (stem_x * 0.6, bar_y + _between(rng, -3, 4)),
            (bar_end, bar_y + _between(rng, -8, 2)),
        ]
    else:  # the stem hangs at the end of the bar
        top = (stem_x + 4, bar_y - _between(rng, 6, 24))
        bar = [(foot, bar_y), (stem_x * 0.6, (bar_y + top[1]) / 2 - 3), top]
    stem: Points = [top, (stem_x, (top[1] + end[1]) / 2), end]
    return _shape([(_between(rng, 24, 58), 0.0), (_between(rng, 10, 20), bar_y * 0.6), (foot, bar_y)], bar, stem)


# --- 5 ---------------------------------------------------------------------------------------------------------------


def _five_bowl(rng: np.random.Generator, start: tuple[float, float]) -> Points:
    width = _between(rng, 52, 68)
    return [
        start,
        (30.0, start[1] - _between(rng, 4, 10)),
        (width * 0.9, start[1] + 8),
        (width, 74.0),
        (width * 0.66, 97.0),
        (20.0, 98.0),
        (_between(rng, -4, 6), _between(rng, 82, 94)),
    ]


def _five(rng: np.random.Generator, gap: float) -> str:
    corner, turn = (_between(rng, 10, 20), 4.0), (_between(rng, 4, 14), _between(rng, 38, 50))
    bar_start = (corner[0] + gap, corner[1] + _between(rng, -3, 2))
    bar: Points = [bar_start, (40.0, 2.0), (_between(rng, 52, 82), _between(rng, -5, 5))]
    return _shape(bar, [corner, (corner[0] - 2, 24.0), turn], _five_bowl(rng, turn))


def _five_with_bar(rng: np.random.Generator) -> str:
    return _five(rng, 0.0)


def _five_with_loose_bar(rng: np.random.Generator) -> str:
    return _five(rng, _between(rng, 3, 10))


def _five_like_s(rng: np.random.Generator) -> str:
    head: Points = [(_between(rng, 52, 70), _between(rng, 0, 8)), (30.0, 2.0), (12.0, 12.0), (10.0, 32.0)]
    return _shape([*head, *_five_bowl(rng, (18.0, 45.0))[1:]])


def _flat_five(rng: np.random.Generator) -> str:
    """A low, wide 5 whose bar runs on into the next digit."""
    bar: Points = [(16.0, 14.0), (50.0, 8.0), (_between(rng, 80, 120), _between(rng, -4, 14))]
    turn = (_between(rng, 8, 16), 46.0)
    return _shape(bar, [(16.0, 14.0), (12.0, 30.0), turn], _five_bowl(rng, turn))


# --- 6 ---------------------------------------------------------------------------------------------------------------


def _six(rng: np.random.Generator, head: Points) -> str:
    width, top = _between(rng, 48, 64), _between(rng, 44, 64)
    closing = _between(rng, 4, 22)
    bowl: Points = [(4.0, 66.0), (10.0, 90.0), (width * 0.5, 99.0), (width * 0.92, 88.0), (width, 72.0)]
    return _shape([*head, *bowl, (width * 0.6, top), (closing, top + 14), (closing - 2, top + 26)])


def _curved_six(rng: np.random.Generator) -> str:
    return _six(rng, [(_between(rng, 36, 60), 0.0), (24.0, 16.0), (8.0, 42.0)])


def _straight_six(rng: np.random.Generator) -> str:
    return _six(rng, [(_between(rng, 8, 34), 0.0), (_between(rng, 8, 18), 24.0), (5.0, 46.0)])


def _hooked_six(rng: np.random.Generator) -> str:
    return _six(rng, [(_between(rng, 54, 68), _between(rng, 8, 18)), (42.0, 0.0), (20.0, 12.0), (6.0, 40.0)])


# --- 7 ---------------------------------------------------------------------------------------------------------------


def _seven(rng: np.random.Generator, *, hook: bool, wave: bool, bar: bool) -> str:
    width, top = _between(rng, 50, 76), _between(rng, -3, 5)
    corner = (width, top)
    start = (_between(rng, 0, 8), 5.0)
    height = _between(rng, 4, 10) if wave else _between(rng, -2, 2)
    head: Points = [start, (width * 0.3, top - height + 3), (width * 0.65, top + height), corner]
    foot = (_between(rng, 8, 44), 100.0)
    bend = _between(rng, -8, 8)
    middle = ((width + foot[0]) / 2 + bend, 46.0)
    strokes = [head, [corner, middle, foot]]
    if hook:
        strokes.insert(
            0, [(start[0] + _between(rng, -5, 3), start[1] + _between(rng, 10, 26)), (start[0], 12.0), start]
        )
    if bar:
        y, half, tilt = _between(rng, 40, 62), _between(rng, 14, 32), _between(rng, -8, 6)
        x = width + (foot[0] - width) * y / 100 + bend * 0.8
        strokes.append([(x - half, y - tilt / 2), (x, y), (x + half * _between(rng, 0.7, 1.1), y + tilt / 2)])
    return _shape(*strokes)


def _round_crossed_seven(rng: np.random.Generator) -> str:
    """A hook, a curve instead of a corner, a bar, and a stem that may bend at its end."""
    width, foot = _between(rng, 46, 72), _between(rng, 6, 34)
    hook: Points = [(_between(rng, -2, 6), _between(rng, 14, 30)), (_between(rng, 6, 14), 4.0)]
    stem: Points = [
        (width * 0.7, 2.0),
        (width, 10.0),
        (width * 0.86, 32.0),
        ((width + foot) * 0.5, 58.0),
        (foot, 100.0),
    ]
    y, half, tilt = _between(rng, 42, 62), _between(rng, 14, 28), _between(rng, -8, 6)
    x = width * 0.86 + (foot - width * 0.86) * (y - 32) / 68
    return _shape([*hook, *stem], [(x - half, y - tilt / 2), (x, y), (x + half, y + tilt / 2)])


def _plain_seven(rng: np.random.Generator) -> str:
    return _seven(rng, hook=False, wave=False, bar=False)


def _hooked_seven(rng: np.random.Generator) -> str:
    return _seven(rng, hook=True, wave=bool(rng.integers(2)), bar=False)


def _curly_seven(rng: np.random.Generator) -> str:
    return _seven(rng, hook=False, wave=True, bar=False)


def _crossed_seven(rng: np.random.Generator) -> str:
    return _seven(rng, hook=False, wave=bool(rng.integers(2)), bar=True)


def _hooked_crossed_seven(rng: np.random.Generator) -> str:
    return _seven(rng, hook=True, wave=bool(rng.integers(2)), bar=True)


# --- 8 ---------------------------------------------------------------------------------------------------------------


def _crossing_eight(rng: np.random.Generator) -> str:
    top, bottom, waist = _between(rng, 40, 58), _between(rng, 50, 68), _between(rng, 40, 52)
    end = _between(rng, -4, 10)
    return _shape(
        [
            (32 + top * 0.38, 12.0),
            (32.0, 0.0),
            (32 - top * 0.45, 14.0),
            (32 - top * 0.3, waist - 14),
            (34.0, waist),
            (32 + bottom * 0.42, waist + 18),
            (32 + bottom * 0.4, 88.0),
            (32.0, 100.0),
            (32 - bottom * 0.42, 88.0),
            (32 - bottom * 0.4, waist + 20),
            (32.0, waist),
            (32 + top * 0.4, waist - 16),
            (32 + top * 0.38 - end * 0.4, 12.0 - end),
        ]
    )


def _two_circles(rng: np.random.Generator) -> str:
    top, bottom, waist = _between(rng, 36, 52), _between(rng, 46, 64), _between(rng, 40, 50)
    middle, shift = waist / 2, _between(rng, -4, 4)

    def circle(x: float, y: float, half: float, height: float) -> Points:
        turns = np.linspace(0, 2 * np.pi, 9)
        return [(x - half * float(np.sin(turn)), y + height * float(np.cos(turn))) for turn in turns]

    lower = circle(32, (waist + 100) / 2, bottom / 2, -(100 - waist) / 2)
    return _shape(circle(32 + shift, middle, top / 2, middle), lower)


# --- 9 ---------------------------------------------------------------------------------------------------------------


def _nine_head(rng: np.random.Generator) -> Points:
    """A loop that ends at its right side, (58, 14)."""
    width, low = _between(rng, 44, 58), _between(rng, 40, 56)
    left = 58 - width
    return [
        (56.0, 14.0),
        (58 - width * 0.45, 0.0),
        (left + 3, 12.0),
        (left, low * 0.65),
        (left + width * 0.3, low),
        (left + width * 0.78, low * 0.75),
        (58.0, 14.0),
    ]


def _straight_nine(rng: np.random.Generator) -> str:
    foot = _between(rng, 40, 62)
    return _shape(_nine_head(rng), [(58.0, _between(rng, 0, 14)), (57.0, 50.0), (foot, 100.0)])


def _slanted_nine(rng: np.random.Generator) -> str:
    return _shape(_nine_head(rng), [(58.0, 12.0), (48.0, 50.0), (_between(rng, 14, 36), 100.0)])


def _hooked_nine(rng: np.random.Generator) -> str:
    hook: Points = [
        (58.0, 14.0),
        (59.0, 56.0),
        (50.0, 86.0),
        (30.0, 99.0),
        (_between(rng, 0, 14), _between(rng, 82, 98)),
    ]
    return _shape(_nine_head(rng), hook)


def _s_tailed_nine(rng: np.random.Generator) -> str:
    """The tail swings left and ends to the right, or swings far to the left like the lower half of an S."""
    if rng.integers(2):
        tail: Points = [(58.0, 14.0), (54.0, 50.0), (38.0, 78.0), (34.0, 96.0), (_between(rng, 48, 66), 98.0)]
    else:
        tail = [(58.0, 14.0), (62.0, 46.0), (64.0, 72.0), (44.0, 98.0), (18.0, 98.0), (_between(rng, 2, 12), 80.0)]
    return _shape(_nine_head(rng), tail)


def _looped_nine(rng: np.random.Generator) -> str:
    """A small loop, and a tail that turns left and curls at its end."""
    width, low = _between(rng, 26, 42), _between(rng, 28, 44)
    left = 54 - width
    loop: Points = [
        (54.0, 10.0),
        (54 - width * 0.5, 0.0),
        (left, low * 0.45),
        (54 - width * 0.55, low),
        (54.0, low * 0.6),
    ]
    tail: Points = [(56.0, 10.0), (58.0, 40.0), (46.0, 74.0), (26.0, 94.0), (6.0, 92.0), (_between(rng, -4, 8), 76.0)]
    return _shape([*loop, (55.0, 12.0)], tail[: 5 + int(rng.integers(2))])


def _crossing_nine(rng: np.random.Generator) -> str:
    """The upper loop of an 8 and the right side of its lower one, which stays open."""
    width, low = _between(rng, 36, 56), _between(rng, 36, 54)
    middle = width / 2
    loop: Points = [
        (middle - _between(rng, 4, 18), low + _between(rng, 2, 10)),
        (width * 0.86, low * 0.66),
        (width * 0.94, low * 0.28),
        (middle, 0.0),
        (width * 0.08, low * 0.26),
        (width * 0.12, low * 0.7),
        (middle + 2, low + 2),
    ]
    reach = middle + _between(rng, 4, 24)
    tail: Points = [
        (reach, low + (100 - low) * 0.45),
        (reach - _between(rng, 4, 16), 92.0),
        (_between(rng, 2, 30), 100.0),
    ]
    return _shape([*loop, *tail])


#: Variants of each digit with their relative frequency: drawing function and weight, by name.
VARIANTS: dict[int, dict[str, tuple[Variant, float]]] = {
    0: {
        "usual": (_usual(0), 1),
        "oval": (_plain_oval, 3),
        "loop": (_oval_with_loop, 1),
        "curl": (_oval_with_curl, 1),
        "slash": (_slashed_oval, 0.25),
    },
    1: {
        "bare": (_bare_one, 1),
        "short flag": (_short_flag, 1.5),
        "long flag": (_long_flag, 3),
        "roof": (_roof_one, 1.5),
        "arch": (_arched_one, 1.5),
        "flag and foot": (_flag_and_foot, 1.5),
        "foot": (_only_foot, 0.3),
        "tail": (_one_with_tail, 0.5),
    },
    2: {
        "usual": (_usual(2), 1),
        "loop": (_looped_two, 2),
        "angular": (_angular_two, 1.5),
        "wave": (_wavy_two, 1),
        "curl": (_curled_two, 1.2),
    },
    3: {"usual": (_usual(3), 1), "round": (_round_three, 2), "flat": (_flat_three, 1), "loop": (_looped_three, 1)},
    4: {
        "open": (_open_four, 2),
        "cup": (_round_open_four, 1),
        "closed": (_closed_four, 1.5),
        "low stem": (_low_stem_four, 1.5),
        "like h": (_four_like_h, 1.2),
    },
    5: {
        "usual": (_usual(5), 1),
        "bar": (_five_with_bar, 2),
        "loose bar": (_five_with_loose_bar, 1),
        "like S": (_five_like_s, 1),
        "long bar": (_flat_five, 0.8),
    },
    6: {
        "usual": (_usual(6), 1),
        "curved": (_curved_six, 2),
        "straight": (_straight_six, 1.5),
        "hook": (_hooked_six, 1),
    },
    7: {
        "plain": (_plain_seven, 1),
        "hook": (_hooked_seven, 1),
        "curl": (_curly_seven, 1),
        "crossed": (_crossed_seven, 2),
        "hook and crossed": (_hooked_crossed_seven, 1),
        "round and crossed": (_round_crossed_seven, 1),
    },
    8: {"usual": (_usual(8), 1), "crossing": (_crossing_eight, 2), "circles": (_two_circles, 1)},
    9: {
        "usual": (_usual(9), 0.5),
        "straight": (_straight_nine, 1.5),
        "slanted": (_slanted_nine, 1),
        "hook": (_hooked_nine, 1.5),
        "S": (_s_tailed_nine, 1),
        "small loop": (_looped_nine, 1),
        "crossing": (_crossing_nine, 1.2),
    },
}
