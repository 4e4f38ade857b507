"""Digits as they are written quickly in amounts: `draw_line_digit`.

The national variants of `digits_edge.train.data.variants` are drawn with care; in amounts, bowls and loops stay open.
"""

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.datasets.synthetic_digits import draw_shape
from digits_edge.train.data.national_digits import draw_national_digit
from digits_edge.train.data.variants.notation import Points, Variant, between, shape

#: Share of the digits with a quick variant that are drawn in it.
_QUICK = 0.45
#: Side of a drawing in pixels, thickness of its pen as a share of its size, and distortion.
_SIDE_PX, _PEN, _WOBBLE = 64, 0.05, 0.7


def draw_line_digit(digit: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw a digit, quickly or in a national variant.

    Args:
        digit: 0 to 9.
        rng: source of all randomness.

    Returns:
        Drawing, uint8 (64, 64), white ink on black.

    Example:
        >>> draw_line_digit(5, np.random.default_rng(0)).shape
        (64, 64)
    """
    variants = _QUICK_VARIANTS.get(digit, ())
    if not variants or rng.random() >= _QUICK:
        return draw_national_digit(digit, rng)[0]
    drawing = variants[int(rng.integers(len(variants)))](rng)
    return np.asarray(draw_shape(drawing, rng, size=_SIDE_PX, thickness=_PEN, wobble=_WOBBLE), np.uint8)


def _looped_zero(rng: np.random.Generator) -> str:
    """A zero like an e or l, between strokes from and to its neighbours."""
    width, low = between(rng, 40, 80), between(rng, 30, 70)
    start: Points = [(-between(rng, 10, 50), low), (width * 0.4, low - 10), (width, 40.0)]
    end: Points = [(width * 0.5, 100.0), (width, 88.0), (width + between(rng, 10, 50), low)]
    return shape([*start, (width * 0.8, 6.0), (width * 0.4, 0.0), (4.0, 30.0), (4.0, 74.0), *end])


def _open_zero(rng: np.random.Generator) -> str:
    """A zero that is open at the top, or whose end crosses its start."""
    width, gap = between(rng, 40, 80), between(rng, -24, 24)
    start: Points = [(width * 0.5 - gap / 2, between(rng, 0, 14)), (width * 0.1, 24.0), (0.0, 60.0)]
    return shape([*start, (width * 0.4, 100.0), (width, 66.0), (width * 0.9, 20.0), (width * 0.5 + gap / 2, 0.0)])


def _wide_zero(rng: np.random.Generator) -> str:
    """A zero that is wider than high, often with a stroke across its top."""
    width, start = between(rng, 90, 150), between(rng, 20, 60)
    ring: Points = [(width * 0.1, 16.0), (0.0, 60.0), (width * 0.5, 100.0), (width, 60.0), (width * 0.9, 16.0)]
    return shape([(start, between(rng, -6, 14)), *ring, (width * between(rng, 0.1, 0.6), between(rng, -4, 14))])


def _swung_one(rng: np.random.Generator) -> str:
    """A one with a long upstroke, which may start as low as the stem ends: like a Λ."""
    across, down = between(rng, 30, 90), between(rng, 30, 104)
    return shape([(50 - across, down), (50 - across * 0.5, down * 0.6), (50.0, 0.0)], [(50.0, 0.0), (46.0, 100.0)])


def _looped_one(rng: np.random.Generator) -> str:
    """A one like an l: the upstroke turns back into the stem in a narrow loop."""
    across, low, loop = between(rng, 10, 50), between(rng, 50, 96), between(rng, 8, 24)
    start: Points = [(-across, low), (loop * 0.3, low * 0.7), (loop, 24.0), (loop * 0.7, 0.0), (0.0, 22.0)]
    end: Points = [(0.0, 100.0)] if rng.random() < 0.6 else [(2.0, 90.0), (between(rng, 8, 24), 100.0)]
    return shape([*start, (-2.0, 60.0), *end])


def _footed_one(rng: np.random.Generator) -> str:
    """A one with a flag and a foot, like a thin 2."""
    flag, foot = between(rng, 14, 40), between(rng, 10, 36)
    stem: Points = [(-flag, between(rng, 16, 40)), (0.0, 0.0)]
    return shape(stem, [(0.0, 0.0), (-2.0, 98.0)], [(-foot, 98.0), (foot * between(rng, 0.6, 1.2), 98.0)])


def _looped_two(rng: np.random.Generator) -> str:
    """A two whose head is a loop, and whose foot often is another one: like a Q."""
    width, loop, foot = between(rng, 44, 74), between(rng, 24, 50), between(rng, 60, 104)
    head: Points = [(between(rng, 10, width * 0.8), loop), (0.0, loop * 0.6), (width * 0.3, 0.0), (width, 24.0)]
    turn: Points = [(width * 0.7, 70.0), (8.0, 98.0), (-8.0, 84.0), (10.0, between(rng, 66, 84))]
    if rng.random() < 0.3:
        return shape([*head, (width * 0.7, 60.0), (0.0, 98.0)], [(0.0, 98.0), (foot, between(rng, 90, 102))])
    return shape([*head, *turn, (foot * 0.6, 98.0), (foot, between(rng, 80, 104))])


def _flat_two(rng: np.random.Generator) -> str:
    """A two with a wide, wavy foot, like a Z."""
    width, foot = between(rng, 46, 70), between(rng, 60, 120)
    head: Points = [(0.0, between(rng, 4, 20)), (width * 0.5, 0.0), (width, 18.0), (width * 0.5, 60.0), (0.0, 96.0)]
    return shape(head, [(0.0, 96.0), (foot * 0.4, between(rng, 82, 96)), (foot, between(rng, 88, 104))])


def _flat_three(rng: np.random.Generator) -> str:
    """A three with a straight top, whose middle is a small loop or a corner."""
    width, waist = between(rng, 44, 70), between(rng, 34, 48)
    loop: Points = [(width * 0.5, waist - 6), (width * 0.3, waist), (width * 0.5, waist + 5)]
    end: Points = [(width, 72.0), (width * 0.5, 98.0), (-between(rng, 0, 16), between(rng, 82, 100))]
    return shape([(0.0, between(rng, 0, 10)), (width * 0.9, 2.0), *loop, *end])


def _cup_four(rng: np.random.Generator) -> str:
    """A four like a u or y: the left stroke turns into the bar, and the stem hangs below."""
    width, bar, top = between(rng, 36, 60), between(rng, 40, 62), between(rng, 0, 30)
    cup: Points = [(0.0, between(rng, 0, 16)), (2.0, bar * 0.7), (width * 0.4, bar), (width, bar * 0.8)]
    return shape(cup, [(width, top), (width - between(rng, 0, 8), 60.0), (width - between(rng, 0, 20), 100.0)])


def _h_four(rng: np.random.Generator) -> str:
    """A four like an h: the left stroke is the long one, or the bar a bow whose end is the stem."""
    width, waist = between(rng, 34, 60), between(rng, 36, 60)
    left: Points = [(between(rng, 4, 26), 0.0), (4.0, waist), (0.0, between(rng, waist + 6, 92))]
    bow: Points = [(2.0, waist + 6), (width * 0.6, between(rng, waist - 14, waist)), (width, waist + 12)]
    return shape(left, [*bow, (width - between(rng, 0, 12), between(rng, 92, 106))])


def _check_five(rng: np.random.Generator) -> str:
    """A five like a root sign: without a bowl, and the bar long."""
    bottom, top = between(rng, 14, 30), between(rng, 34, 56)
    bar = top + between(rng, 24, 80)
    start: Points = [(0.0, between(rng, 30, 60)), (bottom * 0.7, 74.0), (bottom, 100.0)]
    up: Points = [(bottom, 100.0), ((bottom + top) / 2, 50.0), (top, 4.0)]
    return shape(start, up, [(top, 4.0), (bar, between(rng, -6, 6))])


def _bent_five(rng: np.random.Generator) -> str:
    """A five whose bowl is hardly bent, with a long bar: like an r or a Γ."""
    bar, bowl, end = between(rng, 40, 100), between(rng, 4, 26), between(rng, -24, 6)
    stem: Points = [(22.0, 6.0), (16.0, 40.0), (18 + bowl, 62.0), (14 + bowl, 88.0), (end, between(rng, 94, 102))]
    return shape(stem, [(22.0, 6.0), (22 + bar / 2, between(rng, -4, 6)), (22 + bar, between(rng, -12, 8))])


def _s_five(rng: np.random.Generator) -> str:
    """A five like an S: without a corner, the top more or less bent."""
    width, top, bowl = between(rng, 36, 60), between(rng, -4, 16), between(rng, 36, 60)
    head: Points = [(width, top), (width * 0.5, 0.0), (8.0, between(rng, 16, 30)), (width * 0.4, 46.0)]
    return shape([*head, (bowl, 68.0), (bowl * 0.6, 98.0), (-between(rng, 0, 16), between(rng, 82, 100))])


def _open_six(rng: np.random.Generator) -> str:
    """A six whose bowl is open or small, like a b or a G."""
    width, end = between(rng, 36, 64), between(rng, 6, 34)
    head: Points = [(between(rng, 14, 60), 0.0), (10.0, 34.0), (2.0, 70.0), (width * 0.3, 98.0)]
    return shape([*head, (width, 82.0), (width * 0.8, 60.0), (end, between(rng, 58, 76))])


def _hooked_seven(rng: np.random.Generator) -> str:
    """A seven with a small hook and, often, a bar that is as long as its head."""
    width, lean, hook = between(rng, 44, 84), between(rng, 20, 60), between(rng, 4, 26)
    head: Points = [(0.0, hook), (4.0, between(rng, 0, 4)), (width * 0.5, 6.0), (width, between(rng, -4, 6))]
    stem: Points = [(width, 0.0), (width - lean * 0.6, 50.0), (width - lean, 100.0)]
    if rng.random() < 0.4:
        return shape(head, stem)
    y, half = between(rng, 40, 58), between(rng, 16, 40)
    x = width - lean * 0.6
    return shape(head, stem, [(x - half, y + between(rng, -4, 8)), (x + half, y + between(rng, -10, 2))])


def _two_like_seven(rng: np.random.Generator) -> str:
    """A seven with a bent head and a stem that swings to the right at its end, with or without a bar."""
    width, low = between(rng, 40, 66), between(rng, 0, 24)
    head: Points = [(0.0, between(rng, 8, 30)), (width * 0.4, 0.0), (width, between(rng, 6, 22))]
    stem: Points = [(width * 0.7, 50.0), (low, 84.0), (low + between(rng, 0, 14), 100.0)]
    if rng.random() < 0.5:
        return shape([*head, *stem])
    y, half = between(rng, 40, 60), between(rng, 18, 50)
    return shape([*head, *stem], [(width * 0.5 - half, y + between(rng, -4, 10)), (width * 0.5 + half, y)])


def _barred_seven(rng: np.random.Generator) -> str:
    """A seven with a narrow head that starts with a stroke downwards, and a bar that may be longer: like a +."""
    width, hook, lean = between(rng, 26, 60), between(rng, 8, 34), between(rng, -6, 30)
    head: Points = [(between(rng, -6, 6), hook), (0.0, between(rng, 0, 6)), (width, between(rng, -6, 4))]
    y, left, right = between(rng, 40, 62), between(rng, 14, 50), between(rng, 10, 50)
    x = width - lean * y / 100
    bar: Points = [(x - left, y + between(rng, -2, 8)), (x + right, y + between(rng, -10, 4))]
    return shape(head, [(width, 0.0), (x, y), (width - lean, between(rng, 90, 104))], bar)


def _looped_seven(rng: np.random.Generator) -> str:
    """A seven whose head starts with a curl or a loop, with or without a bar: like a 9, an f or a P."""
    width, lean, low = between(rng, 30, 64), between(rng, -4, 36), between(rng, 20, 44)
    curl: Points = [(between(rng, 6, 24), low), (0.0, low * 0.6), (6.0, 4.0), (width * 0.5, between(rng, 8, 22))]
    stem: Points = [(width, between(rng, -4, 6)), (width - lean * 0.5, 50.0), (width - lean, 102.0)]
    if rng.random() < 0.4:
        return shape([*curl, *stem])
    y, half = between(rng, 44, 62), between(rng, 16, 40)
    return shape([*curl, *stem], [(width - half, y + between(rng, -2, 8)), (width + half * 0.6, y)])


def _forked_seven(rng: np.random.Generator) -> str:
    """A seven like a Y with a bar: its head hangs down into the stem."""
    width, low, lean = between(rng, 24, 50), between(rng, 20, 44), between(rng, 0, 26)
    head: Points = [(0.0, between(rng, 0, 10)), (width * 0.4, low), (width - lean * 0.3, low - between(rng, 0, 10))]
    stem: Points = [(width, between(rng, -4, 8)), (width - lean * 0.5, 50.0), (width - lean, 102.0)]
    return shape(head, stem, [(width - between(rng, 16, 40), 58.0), (width + between(rng, 8, 30), 54.0)])


def _open_eight(rng: np.random.Generator) -> str:
    """An eight that is an S with a straight way back, open or crossed at the top."""
    top, bottom, over = between(rng, 40, 66), between(rng, 44, 70), between(rng, -20, 20)
    curve: Points = [(top, between(rng, 6, 18)), (top * 0.5, 0.0), (6.0, 18.0), (top * 0.5, 46.0), (bottom, 74.0)]
    return shape([*curve, (bottom * 0.5, 100.0), (2.0, 80.0), (top * 0.45, 48.0), (top + over, between(rng, -10, 8))])


def _b_eight(rng: np.random.Generator) -> str:
    """An eight like a B: a straight stroke, and two bowls at its right."""
    width = between(rng, 36, 58)
    stem: Points = [(between(rng, 0, 10), 0.0), (2.0, 50.0), (0.0, 98.0)]
    upper: Points = [(2.0, 4.0), (width * 0.8, 4.0), (width * 0.8, 36.0), (6.0, 48.0)]
    return shape(stem, [*upper, (width, 56.0), (width, 90.0), (0.0, 98.0)])


def _open_nine(rng: np.random.Generator) -> str:
    """A nine like a g or q: the loop is open, and the tail straight or swung to the left."""
    width, low, gap = between(rng, 36, 60), between(rng, 34, 56), between(rng, -6, 18)
    loop: Points = [(width, between(rng, 2, 18)), (width * 0.5, 0.0), (2.0, low * 0.5), (width * 0.4, low)]
    tail: Points = [(width, between(rng, -4, 12)), (width - 2, 50.0), (width - between(rng, 0, 24), 92.0)]
    if rng.random() < 0.5:
        tail = [*tail, (width * 0.3, 102.0), (-between(rng, 0, 20), between(rng, 84, 100))]
    return shape([*loop, (width - gap, low * 0.5)], tail)


def _p_nine(rng: np.random.Generator) -> str:
    """A nine like a P: the loop is at the right of its stem, or hangs over at both sides."""
    width, low, left = between(rng, 30, 56), between(rng, 36, 58), between(rng, 0, 26)
    stem: Points = [(left, between(rng, 0, 14)), (left - 2, 50.0), (left - between(rng, 0, 16), 104.0)]
    start = between(rng, -16, left)
    loop: Points = [(start, between(rng, 8, 30)), (width * 0.4, 0.0), (width, low * 0.5), (width * 0.5, low)]
    return shape(stem, [*loop, (left * between(rng, 0.2, 1), low - between(rng, 0, 8))])


_QUICK_VARIANTS: dict[int, tuple[Variant, ...]] = {
    0: (_looped_zero, _open_zero, _open_zero, _open_zero, _wide_zero),
    1: (_swung_one, _swung_one, _looped_one, _footed_one),
    2: (_flat_two, _looped_two, _looped_two),
    3: (_flat_three,),
    4: (_cup_four, _h_four),
    5: (_check_five, _bent_five, _s_five),
    6: (_open_six,),
    7: (_hooked_seven, _two_like_seven, _two_like_seven, _barred_seven, _looped_seven, _forked_seven),
    8: (_open_eight, _open_eight, _b_eight),
    9: (_open_nine, _p_nine),
}
