"""Variants of 4, 5 and 6: `FOUR_TO_SIX`."""

import numpy as np

from digits_edge.train.data.variants.notation import Points, Variants, between, shape, usual

# --- 4 ---------------------------------------------------------------------------------------------------------------


def _open_four(rng: np.random.Generator) -> str:
    """The left stroke turns into the bar, and the stem crosses it; the top is open."""
    bar_y, left = between(rng, 48, 70), between(rng, 0, 10)
    stem_x, stem_top, end = between(rng, 44, 58), between(rng, -6, 34), between(rng, 62, 82)
    corner = (left, bar_y)
    return shape(
        [(left + between(rng, 2, 26), 0.0), (left + between(rng, 0, 8), bar_y / 2), corner],
        [corner, (32.0, bar_y + between(rng, -2, 4)), (end, bar_y + between(rng, -5, 4))],
        [(stem_x, stem_top), (stem_x - 2, 55.0), (stem_x + between(rng, -10, 4), 100.0)],
    )


def _round_open_four(rng: np.random.Generator) -> str:
    """A cup and a stem, like the letter y."""
    bottom, right = between(rng, 42, 60), between(rng, 48, 62)
    cup: Points = [(2.0, between(rng, 0, 8)), (4.0, bottom * 0.7), (20.0, bottom), (right * 0.8, bottom - 8)]
    return shape(
        [*cup, (right, bottom * 0.45)], [(right + 2, 0.0), (right, 48.0), (right + between(rng, -10, 3), 100.0)]
    )


def _closed_four(rng: np.random.Generator) -> str:
    bar_y, stem_x = between(rng, 56, 76), between(rng, 42, 56)
    bar_end = stem_x + between(rng, 4, 28)
    top = (stem_x + between(rng, -2, 4), 0.0)
    return shape(
        [top, (stem_x * 0.55, bar_y * 0.5), (2.0, bar_y)],
        [(2.0, bar_y), (30.0, bar_y), (bar_end, bar_y + between(rng, -4, 3))],
        [top, (stem_x, 50.0), (stem_x + between(rng, -6, 2), 100.0)],
    )


def _low_stem_four(rng: np.random.Generator) -> str:
    """A slanted stroke, a bar, and a short stem through the bar."""
    bar_y, stem_x = between(rng, 58, 72), between(rng, 40, 54)
    return shape(
        [(between(rng, 34, 52), 0.0), (20.0, bar_y * 0.55), (2.0, bar_y)],
        [(2.0, bar_y), (34.0, bar_y), (between(rng, 62, 84), bar_y + between(rng, -4, 4))],
        [(stem_x, between(rng, 34, 50)), (stem_x - 1, 70.0), (stem_x + between(rng, -6, 3), 100.0)],
    )


def _four_like_h(rng: np.random.Generator) -> str:
    """A long slanted stroke, a short rising bar, and a short stem at its right that reaches the line or below."""
    bar_y, foot = between(rng, 58, 84), between(rng, 0, 8)
    stem_x = between(rng, 34, 58)
    bar_end = stem_x + between(rng, 4, 22)
    end = (stem_x - between(rng, -4, 10), between(rng, 98, 124))
    if rng.integers(3):
        top = (stem_x + between(rng, 0, 8), bar_y - between(rng, 12, 30))
        bar: Points = [
            (foot, bar_y),
            (stem_x * 0.6, bar_y + between(rng, -3, 4)),
            (bar_end, bar_y + between(rng, -8, 2)),
        ]
    else:  # the stem hangs at the end of the bar
        top = (stem_x + 4, bar_y - between(rng, 6, 24))
        bar = [(foot, bar_y), (stem_x * 0.6, (bar_y + top[1]) / 2 - 3), top]
    stem: Points = [top, (stem_x, (top[1] + end[1]) / 2), end]
    return shape([(between(rng, 24, 58), 0.0), (between(rng, 10, 20), bar_y * 0.6), (foot, bar_y)], bar, stem)


# --- 5 ---------------------------------------------------------------------------------------------------------------


def _five_bowl(rng: np.random.Generator, start: tuple[float, float]) -> Points:
    width = between(rng, 52, 68)
    return [
        start,
        (30.0, start[1] - between(rng, 4, 10)),
        (width * 0.9, start[1] + 8),
        (width, 74.0),
        (width * 0.66, 97.0),
        (20.0, 98.0),
        (between(rng, -4, 6), between(rng, 82, 94)),
    ]


def _five(rng: np.random.Generator, gap: float) -> str:
    corner, turn = (between(rng, 10, 20), 4.0), (between(rng, 4, 14), between(rng, 38, 50))
    bar_start = (corner[0] + gap, corner[1] + between(rng, -3, 2))
    bar: Points = [bar_start, (40.0, 2.0), (between(rng, 52, 82), between(rng, -5, 5))]
    return shape(bar, [corner, (corner[0] - 2, 24.0), turn], _five_bowl(rng, turn))


def _five_with_bar(rng: np.random.Generator) -> str:
    return _five(rng, 0.0)


def _five_with_loose_bar(rng: np.random.Generator) -> str:
    return _five(rng, between(rng, 3, 10))


def _five_like_s(rng: np.random.Generator) -> str:
    head: Points = [(between(rng, 52, 90), between(rng, -4, 10)), (30.0, 2.0), (12.0, 12.0), (10.0, 32.0)]
    stretch = between(rng, 0.9, 1.5)
    return shape([(x * stretch, y) for x, y in (*head, *_five_bowl(rng, (18.0, 45.0))[1:])])


def _flat_five(rng: np.random.Generator) -> str:
    """A low, wide 5 whose bar runs on into the next digit."""
    bar: Points = [(16.0, 14.0), (50.0, 8.0), (between(rng, 80, 120), between(rng, -8, 14))]
    turn = (between(rng, 8, 16), 46.0)
    return shape(bar, [(16.0, 14.0), (12.0, 30.0), turn], _five_bowl(rng, turn))


# --- 6 ---------------------------------------------------------------------------------------------------------------


def _six(rng: np.random.Generator, head: Points) -> str:
    width, top = between(rng, 48, 64), between(rng, 44, 64)
    closing = between(rng, 4, 22)
    bowl: Points = [(4.0, 66.0), (10.0, 90.0), (width * 0.5, 99.0), (width * 0.92, 88.0), (width, 72.0)]
    return shape([*head, *bowl, (width * 0.6, top), (closing, top + 14), (closing - 2, top + 26)])


def _curved_six(rng: np.random.Generator) -> str:
    return _six(rng, [(between(rng, 36, 60), 0.0), (24.0, 16.0), (8.0, 42.0)])


def _straight_six(rng: np.random.Generator) -> str:
    return _six(rng, [(between(rng, 8, 34), 0.0), (between(rng, 8, 18), 24.0), (5.0, 46.0)])


def _hooked_six(rng: np.random.Generator) -> str:
    return _six(rng, [(between(rng, 54, 68), between(rng, 8, 18)), (42.0, 0.0), (20.0, 12.0), (6.0, 40.0)])


#: Variants of each digit.
FOUR_TO_SIX: dict[int, Variants] = {
    4: {
        "open": (_open_four, 2),
        "cup": (_round_open_four, 1),
        "closed": (_closed_four, 1.5),
        "low stem": (_low_stem_four, 1.5),
        "like h": (_four_like_h, 1.8),
    },
    5: {
        "usual": (usual(5), 1),
        "bar": (_five_with_bar, 2),
        "loose bar": (_five_with_loose_bar, 1),
        "like S": (_five_like_s, 1),
        "long bar": (_flat_five, 1.2),
    },
    6: {
        "usual": (usual(6), 1),
        "curved": (_curved_six, 2),
        "straight": (_straight_six, 1.5),
        "hook": (_hooked_six, 1),
    },
}
