"""Variants of 7, 8 and 9: `SEVEN_TO_NINE`."""

import numpy as np

from digits_edge.train.data.variants.notation import Points, Variants, between, shape, usual

# --- 7 ---------------------------------------------------------------------------------------------------------------


def _seven(rng: np.random.Generator, *, hook: bool, wave: bool, bar: bool) -> str:
    width, top = between(rng, 50, 76), between(rng, -3, 5)
    corner = (width, top)
    start = (between(rng, 0, 8), between(rng, 0, 18))
    height = between(rng, 4, 10) if wave else between(rng, -2, 2)
    head: Points = [start, (width * 0.3, top - height + 3), (width * 0.65, top + height), corner]
    foot = (between(rng, 8, 44), 100.0)
    bend = between(rng, -8, 8)
    middle = ((width + foot[0]) / 2 + bend, 46.0)
    strokes = [head, [corner, middle, foot]]
    if hook:
        low = between(rng, 10, 26)
        strokes.insert(0, [(start[0] + between(rng, -5, 3), start[1] + low), (start[0], start[1] + low / 2), start])
    if bar:
        y, half, tilt = between(rng, 40, 62), between(rng, 14, 32), between(rng, -8, 6)
        x = width + (foot[0] - width) * y / 100 + bend * 0.8
        strokes.append([(x - half, y - tilt / 2), (x, y), (x + half * between(rng, 0.7, 1.1), y + tilt / 2)])
    return shape(*strokes)


def _round_crossed_seven(rng: np.random.Generator) -> str:
    """A hook, a curve instead of a corner, a bar, and a stem that may bend at its end."""
    width, foot = between(rng, 46, 90), between(rng, -4, 34)
    hook: Points = [(between(rng, -2, 6), between(rng, 14, 30)), (between(rng, 6, 14), 4.0)]
    bend = between(rng, 0.5, 0.95)  # the larger, the more the stem is bent like a bracket
    stem: Points = [(width * 0.7, 2.0), (width, 10.0), (width * 0.9, 34.0), (foot + (width - foot) * bend, 60.0)]
    end: Points = [(foot + (width - foot) * bend * 0.5, 88.0), (foot, 100.0)]
    y, half, tilt = between(rng, 42, 62), between(rng, 14, 44), between(rng, -8, 6)
    x = width * 0.9 + (foot + (width - foot) * bend - width * 0.9) * (y - 34) / 26
    bar: Points = [(x - half, y - tilt / 2), (x, y), (x + half * between(rng, 0.8, 1.5), y + tilt / 2)]
    return shape([*hook, *stem, *end], bar)


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
    top, bottom, waist = between(rng, 40, 58), between(rng, 50, 68), between(rng, 40, 52)
    end = between(rng, -4, 10)
    return shape(
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
    top, bottom, waist = between(rng, 36, 52), between(rng, 46, 64), between(rng, 40, 50)
    middle, shift = waist / 2, between(rng, -4, 4)

    def circle(x: float, y: float, half: float, height: float) -> Points:
        turns = np.linspace(0, 2 * np.pi, 9)
        return [(x - half * float(np.sin(turn)), y + height * float(np.cos(turn))) for turn in turns]

    lower = circle(32, (waist + 100) / 2, bottom / 2, -(100 - waist) / 2)
    return shape(circle(32 + shift, middle, top / 2, middle), lower)


# --- 9 ---------------------------------------------------------------------------------------------------------------


def _nine_head(rng: np.random.Generator) -> Points:
    """A loop that ends at its right side, (58, 14)."""
    width, low = between(rng, 44, 58), between(rng, 40, 56)
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
    foot = between(rng, 40, 62)
    return shape(_nine_head(rng), [(58.0, between(rng, 0, 14)), (57.0, 50.0), (foot, 100.0)])


def _slanted_nine(rng: np.random.Generator) -> str:
    return shape(_nine_head(rng), [(58.0, 12.0), (48.0, 50.0), (between(rng, 14, 36), 100.0)])


def _hooked_nine(rng: np.random.Generator) -> str:
    hook: Points = [
        (58.0, 14.0),
        (59.0, 56.0),
        (50.0, 86.0),
        (30.0, 99.0),
        (between(rng, 0, 14), between(rng, 82, 98)),
    ]
    return shape(_nine_head(rng), hook)


def _s_tailed_nine(rng: np.random.Generator) -> str:
    """The tail swings left and ends to the right, or swings far to the left like the lower half of an S."""
    if rng.integers(2):
        tail: Points = [(58.0, 14.0), (54.0, 50.0), (38.0, 78.0), (34.0, 96.0), (between(rng, 48, 66), 98.0)]
    else:
        tail = [(58.0, 14.0), (62.0, 46.0), (64.0, 72.0), (44.0, 98.0), (18.0, 98.0), (between(rng, 2, 12), 80.0)]
    return shape(_nine_head(rng), tail)


def _looped_nine(rng: np.random.Generator) -> str:
    """A small loop, and a tail that turns left and curls at its end."""
    width, low = between(rng, 26, 42), between(rng, 28, 44)
    left = 54 - width
    loop: Points = [
        (54.0, 10.0),
        (54 - width * 0.5, 0.0),
        (left, low * 0.45),
        (54 - width * 0.55, low),
        (54.0, low * 0.6),
    ]
    tail: Points = [(56.0, 10.0), (58.0, 40.0), (46.0, 74.0), (26.0, 94.0), (6.0, 92.0), (between(rng, -4, 8), 76.0)]
    return shape([*loop, (55.0, 12.0)], tail[: 5 + int(rng.integers(2))])


def _crossing_nine(rng: np.random.Generator) -> str:
    """The upper loop of an 8 and the right side of its lower one, which stays open."""
    width, low = between(rng, 36, 56), between(rng, 36, 54)
    middle = width / 2
    loop: Points = [
        (middle - between(rng, 4, 18), low + between(rng, 2, 10)),
        (width * 0.86, low * 0.66),
        (width * 0.94, low * 0.28),
        (middle, 0.0),
        (width * 0.08, low * 0.26),
        (width * 0.12, low * 0.7),
        (middle + 2, low + 2),
    ]
    reach = middle + between(rng, -10, 24)
    tail: Points = [
        (reach, low + (100 - low) * 0.45),
        (reach - between(rng, 4, 16), 92.0),
        (between(rng, 2, 30), 100.0),
    ]
    return shape([*loop, *tail])


#: Variants of each digit.
SEVEN_TO_NINE: dict[int, Variants] = {
    7: {
        "plain": (_plain_seven, 1),
        "hook": (_hooked_seven, 1),
        "curl": (_curly_seven, 1),
        "crossed": (_crossed_seven, 2),
        "hook and crossed": (_hooked_crossed_seven, 1),
        "round and crossed": (_round_crossed_seven, 2.5),
    },
    8: {"usual": (usual(8), 1), "crossing": (_crossing_eight, 2), "circles": (_two_circles, 1)},
    9: {
        "usual": (usual(9), 0.5),
        "straight": (_straight_nine, 1.5),
        "slanted": (_slanted_nine, 1),
        "hook": (_hooked_nine, 1.5),
        "S": (_s_tailed_nine, 1),
        "small loop": (_looped_nine, 1),
        "crossing": (_crossing_nine, 2),
    },
}
