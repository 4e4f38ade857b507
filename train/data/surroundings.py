"""What is around a digit on forms: parts of other digits, lines of boxes and patterns of paper: `surrounded`."""

import numpy as np

from digits_edge.train.data.hand import Hand
from digits_edge.train.data.outlines import CANVAS_PX, DIGIT_PX, Field

#: Distance to the ink outside the crop, in pixels.
_NO_INK_PX = -float(CANVAS_PX)
#: Largest margin of the crop around the digit, as a share of the digit's side.
_MAX_MARGIN = 0.3
#: Half the width of lines, distances of a line to the digit, and spacing of the lines of a pattern, in pixels.
_LINE_PX, _LINE_PLACE_PX, _SPACING_PX = (0.5, 1.6), (-4.0, 8.0), (5.0, 10.0)
_MAX_TILT = 0.06


def surrounded(field: Field, other: Field, rng: np.random.Generator, hand: Hand) -> Field:
    """Add a part of another digit, a line or a pattern, for a share of the digits.

    Everything is cut off at the border of a crop around the digit.

    Args:
        field: float32 (S, S), distances of the digit.
        other: float32 (S, S), distances of another digit.
        rng: source of all randomness.
        hand: shares of the digits.

    Returns:
        float32 (S, S); `field` if nothing was added.

    Example:
        >>> field = np.full((CANVAS_PX, CANVAS_PX), -9, np.float32)
        >>> surrounded(field, field, np.random.default_rng(0), Hand()) is field
        True
    """
    has_neighbour, has_line, has_pattern = rng.random(3) < (hand.neighbour, hand.line, hand.pattern)
    y, x = np.nonzero(field > 0)
    if not len(y) or not (has_neighbour or has_line or has_pattern):
        return field
    top, bottom, left, right = int(y.min()), int(y.max()), int(x.min()), int(x.max())
    added = np.full_like(field, _NO_INK_PX)
    if has_neighbour:
        added = np.maximum(added, _beside(other, left, right, rng))
    if has_line:
        added = np.maximum(added, _line((top, bottom, left, right), rng))
    if has_pattern:
        added = np.maximum(added, _pattern(rng))
    low_y, high_y, low_x, high_x = rng.uniform(0, _MAX_MARGIN, 4) * DIGIT_PX
    crop = np.zeros(field.shape, bool)
    rows = slice(max(0, round(top - low_y)), round(bottom + high_y) + 1)
    crop[rows, max(0, round(left - low_x)) : round(right + high_x) + 1] = True
    return np.maximum(field, np.where(crop, added, np.float32(_NO_INK_PX)))


def _beside(other: Field, left: int, right: int, rng: np.random.Generator) -> Field:
    """The other digit moved to the left or right of the digit."""
    columns = np.flatnonzero((other > 0).any(axis=0))
    moved = np.full_like(other, _NO_INK_PX)
    if not len(columns):
        return moved
    gap = round(rng.uniform(0, 0.15) * DIGIT_PX)
    shift = right + gap - int(columns[0]) if rng.integers(2) else left - gap - int(columns[-1])
    if shift >= 0:
        moved[:, shift:] = other[:, : CANVAS_PX - shift]
    else:
        moved[:, :shift] = other[:, -shift:]
    return moved


def _line(box: tuple[int, int, int, int], rng: np.random.Generator) -> Field:
    """A line below, above, left or right of the digit; most are below."""
    top, bottom, left, right = box
    side = int(rng.choice(4, p=(0.55, 0.15, 0.15, 0.15)))
    place = rng.uniform(*_LINE_PLACE_PX)
    along, across = np.mgrid[:CANVAS_PX, :CANVAS_PX][:: 1 if side < 2 else -1]
    middle = (bottom + place, top - place, left - place, right + place)[side]
    away = np.abs(along - middle + rng.uniform(-_MAX_TILT, _MAX_TILT) * (across - CANVAS_PX / 2))
    return np.asarray(rng.uniform(*_LINE_PX) - away, np.float32)


def _pattern(rng: np.random.Generator) -> Field:
    """Parallel lines, broken here and there."""
    angle, spacing = rng.uniform(0, np.pi), rng.uniform(*_SPACING_PX)
    y, x = np.mgrid[:CANVAS_PX, :CANVAS_PX]
    across = y * np.cos(angle) + x * np.sin(angle)
    along = x * np.cos(angle) - y * np.sin(angle)
    away = np.abs(across % spacing - spacing / 2)
    pen = rng.uniform(-0.4, 0.5) + 0.8 * np.sin(along / rng.uniform(3, 12) + across // spacing)
    return np.asarray(pen - away, np.float32)
