"""Variants of 0, 1, 2 and 3: `ZERO_TO_THREE`."""

import numpy as np

from digits_edge.train.data.variants.notation import Points, Variants, between, shape, usual

# --- 0 ---------------------------------------------------------------------------------------------------------------


def _oval(rng: np.random.Generator) -> tuple[Points, float]:
    """A closed oval from the top, counter-clockwise, and its width."""
    width, overlap = between(rng, 30, 75), between(rng, -4, 10)
    middle = width / 2
    points = [
        (middle + between(rng, 0, 8), 1.0),
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
    return shape(_oval(rng)[0])


def _oval_with_loop(rng: np.random.Generator) -> str:
    points, width = _oval(rng)
    return shape([*points, (width * 0.4, 14.0), (width * 0.75, 6.0), (width + between(rng, 0, 15), -6.0)])


def _oval_with_curl(rng: np.random.Generator) -> str:
    """The end curls inside, or the stroke comes from the digit before and goes to the next one."""
    points, width = _oval(rng)
    if rng.integers(2):
        return shape([*points, (width * 0.3, 10.0), (width * 0.4, 24.0), (width * 0.7, 20.0)])
    return shape(
        [(-between(rng, 4, 30), between(rng, -2, 16)), (width * 0.2, 4.0), *points],
        [points[-1], (width * 0.8, 8.0), (width + between(rng, 8, 36), between(rng, -2, 14))],
    )


def _slashed_oval(rng: np.random.Generator) -> str:
    points, width = _oval(rng)
    if rng.integers(2):
        y = between(rng, 30, 65)
        return shape(points, [(-between(rng, -8, 14), y), (width / 2, y), (width + between(rng, -8, 14), y)])
    over = between(rng, -6, 12)
    return shape(points, [(width + over * 0.6, 6.0 - over), (width / 2, 50.0), (-over * 0.6, 94.0 + over)])


# --- 1 ---------------------------------------------------------------------------------------------------------------


def _stem(rng: np.random.Generator, x: float = 50.0) -> Points:
    lean = between(rng, -6, 6)
    return [(x, 0.0), (x + lean, 50.0), (x + between(rng, -8, 8), 100.0)]


def _flag(rng: np.random.Generator, low: float, high: float) -> Points:
    """A flag to the top of the stem at x = 50: straight, or bent either way; a long one is steep, unlike a 7's bar."""
    length = between(rng, low, high)
    steepness = between(rng, 0.6 + length / 160, 1.9)
    across, down = length / np.hypot(1, steepness), length * steepness / np.hypot(1, steepness)
    bend = between(rng, -5, 5)
    return [(50 - across, down), (50 - across / 2 + bend, down / 2 + bend * 0.7), (50.0, 0.0)]


def _foot(rng: np.random.Generator, stem: Points) -> Points:
    x, y = stem[-1]
    tilt = between(rng, -3, 3)
    return [(x - between(rng, 12, 36), y + tilt), (x, y), (x + between(rng, 10, 36), y - tilt)]


def _bare_one(rng: np.random.Generator) -> str:
    return shape(_stem(rng))


def _short_flag(rng: np.random.Generator) -> str:
    return shape(_flag(rng, 14, 34), _stem(rng))


def _long_flag(rng: np.random.Generator) -> str:
    return shape(_flag(rng, 34, 78), _stem(rng))


def _roof_one(rng: np.random.Generator) -> str:
    """A flag that is nearly as long as the stem: a narrow roof."""
    down = between(rng, 55, 100)
    across = down * between(rng, 0.28, 0.7)
    bend = between(rng, -6, 6)
    flag: Points = [(50 - across, down), (50 - across / 2 + bend, down / 2 + bend * 0.6), (50.0, 0.0)]
    return shape(flag, [(50.0, 0.0), (50 + between(rng, -2, 12), 50.0), (50 + between(rng, -4, 22), 100.0)])


def _arched_one(rng: np.random.Generator) -> str:
    """Flag and stem in one stroke that turns in a curve instead of a corner."""
    down, across = between(rng, 16, 85), between(rng, 10, 34)
    turn = between(rng, 3, 10)
    head: Points = [(50 - across, down), (50 - across * 0.4, down * 0.45), (50 - turn * 0.4, 3.0), (50 + turn, 4.0)]
    return shape([*head, (50 + turn, 24.0), (50 + between(rng, -4, 5), 60.0), (48 + between(rng, -8, 6), 100.0)])


def _flag_and_foot(rng: np.random.Generator) -> str:
    stem = _stem(rng)
    return shape(_flag(rng, 15, 60), stem, _foot(rng, stem))


def _only_foot(rng: np.random.Generator) -> str:
    stem = _stem(rng)
    return shape(stem, _foot(rng, stem))


def _one_with_tail(rng: np.random.Generator) -> str:
    """A flag in one sweep with the stem, and a small hook at the foot."""
    flag, hook = _flag(rng, 20, 55), between(rng, 5, 18)
    return shape(flag, [(50.0, 0.0), (50 + between(rng, -6, 4), 50.0), (50.0, 92.0), (50 + hook, 99.0)])


# --- 2 ---------------------------------------------------------------------------------------------------------------


def _two_head(rng: np.random.Generator) -> Points:
    start_y, width = between(rng, 10, 32), between(rng, 46, 68)
    return [(4.0, start_y), (width * 0.3, 4.0), (width * 0.62, 0.0), (width * 0.97, 16.0), (width * 0.9, 38.0)]


def _looped_two(rng: np.random.Generator) -> str:
    loop, rise = between(rng, 10, 26), between(rng, 70, 84)
    rest: Points = [(30.0, 72.0), (8.0, 94.0), (-loop * 0.2, 88.0), (6.0, rise), (loop, rise + 4), (40.0, 94.0)]
    end = (between(rng, 62, 88), between(rng, 82, 100))
    return shape([*_two_head(rng), *rest, end])


def _angular_two(rng: np.random.Generator) -> str:
    corner: Points = [(4.0, 98.0)]
    base: Points = [*corner, (34.0, 97 + between(rng, -4, 3)), (between(rng, 58, 90), 97 + between(rng, -6, 3))]
    return shape([*_two_head(rng), (34.0, 66.0), *corner], base)


def _wavy_two(rng: np.random.Generator) -> str:
    wave = between(rng, 3, 9)
    base: Points = [(2.0, 97.0), (18.0, 97 - wave), (40.0, 97 + wave * 0.4), (between(rng, 62, 85), 97 - wave)]
    return shape([*_two_head(rng), (34.0, 66.0), (2.0, 97.0)], base)


def _curled_two(rng: np.random.Generator) -> str:
    """The head begins with a curl, and is nearly a closed loop."""
    width, low = between(rng, 40, 62), between(rng, 32, 54)
    curl: Points = [(between(rng, 10, width), low), (2.0, low * 0.6), (width * 0.35, 0.0), (width * 0.9, 8.0)]
    neck: Points = [(width, 26.0), (width * 0.72, low + 14), (12.0, 90.0)]
    if rng.integers(2):
        rise = between(rng, 72, 82)
        foot: Points = [(0.0, 90.0), (4.0, rise), (22.0, rise + 4), (44.0, 96.0), (between(rng, 62, 84), 90.0)]
        return shape([*curl, *neck, *foot])
    return shape([*curl, *neck, (2.0, 98.0)], [(2.0, 98.0), (34.0, 97.0), (between(rng, 54, 84), 95.0)])


# --- 3 ---------------------------------------------------------------------------------------------------------------


def _three_bowl(rng: np.random.Generator, x: float, y: float) -> Points:
    """The lower bowl from the middle."""
    width = between(rng, 56, 72)
    return [
        (x, y),
        (x + (width - x) * 0.7, y + 8),
        (width, 76.0),
        (width * 0.7, 97.0),
        (width * 0.3, 99.0),
        (between(rng, -4, 8), between(rng, 80, 94)),
    ]


def _round_three(rng: np.random.Generator) -> str:
    y, x = between(rng, 40, 50), between(rng, 16, 34)
    head: Points = [(4.0, between(rng, 8, 22)), (26.0, 0.0), (52.0, 8.0), (54.0, 28.0), (x, y)]
    return shape(head, _three_bowl(rng, x, y))


def _flat_three(rng: np.random.Generator) -> str:
    y, x, width = between(rng, 36, 46), between(rng, 20, 32), between(rng, 48, 64)
    return shape([(4.0, 4.0), (30.0, 2.0), (width, 2.0)], [(width, 2.0), (44.0, 20.0), (x, y)], _three_bowl(rng, x, y))


def _looped_three(rng: np.random.Generator) -> str:
    y = between(rng, 42, 50)
    head: Points = [(4.0, 14.0), (26.0, 0.0), (52.0, 8.0), (52.0, 28.0), (30.0, y), (18.0, y + 3), (22.0, y - 5)]
    return shape([*head, *_three_bowl(rng, 30.0, y)])


#: Variants of each digit.
ZERO_TO_THREE: dict[int, Variants] = {
    0: {
        "usual": (usual(0), 1),
        "oval": (_plain_oval, 3),
        "loop": (_oval_with_loop, 1),
        "curl": (_oval_with_curl, 1),
        "slash": (_slashed_oval, 0.4),
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
        "usual": (usual(2), 1),
        "loop": (_looped_two, 2),
        "angular": (_angular_two, 1.5),
        "wave": (_wavy_two, 1),
        "curl": (_curled_two, 2),
    },
    3: {"usual": (usual(3), 1), "round": (_round_three, 2), "flat": (_flat_three, 1), "loop": (_looped_three, 1)},
}
