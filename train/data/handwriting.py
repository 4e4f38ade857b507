"""Draw digits from outlines like a hand, bent, slanted, shaken, joined or broken, with any pen: `written`."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from digits_edge.runtime.preprocessing.mnist_format import IMAGE_SIDE, framed, thickened
from digits_edge.train.data.bending import cubic_spline, sampled
from digits_edge.train.data.hand import DEFAULT_HAND, Hand
from digits_edge.train.data.outlines import CANVAS_PX, DIGIT_PX, Field, Outlines
from digits_edge.train.data.surroundings import surrounded

#: Outlines that are bent at a time; more would not fit in the cache of a core.
_BATCH = 64
#: Distances between the knots of the smooth fields that bend, shake, and press.
_BEND_PX, _SHAKE_PX, _PRESS_PX = 24, 7, 20
#: Half the pen's width for half of the digits, and bounds: 2.5 pixels of MNIST's 20, which is its median, and 1.5 to 4.
_PEN_PX, _MIN_PEN_PX, _MAX_PEN_PX = 3.0, 1.8, 4.8
#: Bound for digits with few curves, which stay readable with a felt pen.
_MAX_PEN_OF = {1: 9.0, 7: 5.5}
#: Mean logarithm of the factor of width to height: zeros are round in handwriting, and narrow in fonts.
_WIDENED_OF = {0: 0.25}
#: A stroke keeps this share of its thinnest part, and a hole this share of its width.
_KEPT_STROKE, _KEPT_GAP = 0.5, 0.6
#: Amounts above this multiple of their standard deviation would make digits unreadable.
_MAX_DEVIATIONS = 2.5

#: Row and column of each pixel of the canvas, float32 (2, S, S).
_GRID = np.mgrid[:CANVAS_PX, :CANVAS_PX].astype(np.float32)
#: Levels of ink, of 1, that belong to the digit.
_VISIBLE = 0.1
#: Bounds of the longer side of a low-resolution scan. Bounds of the level, as a share of the highest, from which ink is
#: black in two levels.
_COARSE_PX, _TWO_LEVEL = (8, 16), (0.25, 0.5)


@dataclass(frozen=True, eq=False)
class Shapes:
    """Changes of the shape, before bends and pen: each float (N,).

    Attributes:
        slants: slant that is added to that of the outline.
        aspects: logarithm of the factor of width to height.
        pens_px: half the pen's width in pixels of the canvas.
    """

    slants: NDArray[np.float64]
    aspects: NDArray[np.float64]
    pens_px: NDArray[np.float64]


def random_shapes(labels: NDArray[np.unsignedinteger], rng: np.random.Generator, hand: Hand = DEFAULT_HAND) -> Shapes:
    """Draw slants, aspects and pens for digits.

    Example:
        >>> random_shapes(np.array([1, 7], np.uint8), np.random.default_rng(0)).pens_px.shape
        (2,)
    """
    count = len(labels)
    pens = _PEN_PX * np.exp(rng.normal(0, hand.pen, count))
    felt = (labels == 1) & (rng.random(count) < 0.2)
    pens[felt] = rng.uniform(_MAX_PEN_PX, _MAX_PEN_OF[1], int(felt.sum()))
    widened = np.array([_WIDENED_OF.get(digit, 0.0) for digit in range(10)])[labels]
    return Shapes(rng.normal(0, hand.slant, count), widened + rng.normal(0, hand.aspect, count), pens)


def written(
    outlines: Outlines,
    labels: NDArray[np.unsignedinteger],
    shapes: Shapes,
    rng: np.random.Generator,
    hand: Hand = DEFAULT_HAND,
) -> NDArray[np.uint8]:
    """Write each outline once.

    Args:
        outlines: N outlines.
        labels: digit of each, (N,); decides the thickest pen.
        shapes: slant, aspect and pen of each.
        rng: source of all other randomness; the same state writes the same images.
        hand: strength of the variation.

    Returns:
        uint8 (N, 28, 28) in MNIST format.

    Example:
        >>> from digits_edge.train.data.outlines import outlines_of
        >>> bars, ones = outlines_of([np.full((40, 6), 255, np.uint8)] * 3), np.ones(3, np.uint8)
        >>> rng = np.random.default_rng(0)
        >>> written(bars, ones, random_shapes(ones, rng), rng).shape
        (3, 28, 28)
    """
    images = np.empty((len(outlines), IMAGE_SIDE, IMAGE_SIDE), np.uint8)
    pens = _possible_pens(outlines, labels, shapes.pens_px)
    for start in range(0, len(outlines), _BATCH):
        rows = np.arange(start, min(start + _BATCH, len(outlines)))
        part = outlines.taken(rows)
        fields = _bent(part.distances, Shapes(shapes.slants[rows], shapes.aspects[rows], pens[rows]), rng, hand)
        growth = pens[rows] - part.half_widths
        pressed = _amounts(hand.pressure, len(rows), rng) * pens[rows]
        fields += _each(growth) + _smooth_fields(rng, len(rows), _PRESS_PX) * _each(pressed)
        softness = 1 + _amounts(1.2, len(rows), rng)
        for field, other, pen, soft, place in zip(fields, fields[::-1], pens[rows], softness, rows, strict=True):
            ink = _joined_or_broken(field, pen, rng, hand)
            images[place] = _inked(surrounded(ink, other, rng, hand), soft, rng, hand)
    return images


def _possible_pens(
    outlines: Outlines, labels: NDArray[np.unsignedinteger], pens_px: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Limit half the pen widths, so that neither thin strokes nor holes vanish."""
    largest = np.array([_MAX_PEN_OF.get(digit, _MAX_PEN_PX) for digit in range(10)])[labels]
    thinned = outlines.half_widths - (1 - _KEPT_STROKE) * np.maximum(outlines.thinnest, 0)
    thickened = outlines.half_widths + (1 - _KEPT_GAP) * outlines.gaps
    pens = np.clip(pens_px, _MIN_PEN_PX, largest)
    return np.asarray(np.maximum(np.minimum(pens, thickened), thinned), np.float64)


def _bent(distances: Field, shapes: Shapes, rng: np.random.Generator, hand: Hand) -> Field:
    """Distances of slanted, stretched, turned, bent and shaken digits, (N, S, S)."""
    count, middle = len(distances), (CANVAS_PX - 1) / 2
    turn = rng.normal(0, hand.turn, count)
    stretch = np.exp(shapes.aspects / 2)
    cos, sin = np.cos(turn), np.sin(turn)
    # place in the input = turn · slant · stretch · place in the output
    xx, xy = cos / stretch, (cos * shapes.slants - sin) * stretch
    yx, yy = sin / stretch, (sin * shapes.slants + cos) * stretch
    y, x = _GRID - np.float32(middle)
    bend, shake = (_amounts(amount, count, rng) for amount in (hand.bend_px, hand.shake_px))
    right, down = (
        _smooth_fields(rng, count, _BEND_PX) * _each(bend) + _smooth_fields(rng, count, _SHAKE_PX) * _each(shake)
        for _ in (0, 1)
    )
    columns = _each(xx) * x + _each(xy) * y + right + np.float32(middle)
    rows = _each(yx) * x + _each(yy) * y + down + np.float32(middle)
    return sampled(distances, rows, columns)


def _amounts(usual: float, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Strengths of N digits: most are small, few are large."""
    return np.minimum(rng.exponential(usual, count), _MAX_DEVIATIONS * usual)


def _smooth_fields(rng: np.random.Generator, count: int, spacing_px: int) -> Field:
    """Random smooth fields of about unit standard deviation, float32 (N, S, S), with knots `spacing_px` apart."""
    weights = cubic_spline(CANVAS_PX, spacing_px)
    # the spline averages over knots, which leaves 0.48 of their standard deviation
    knots = rng.normal(0, 1 / 0.48, (count, weights.shape[1], weights.shape[1])).astype(np.float32)
    return np.asarray(weights @ knots @ weights.T, np.float32)


def _each(amounts: NDArray[np.floating]) -> Field:
    """Amounts that broadcast over fields, (N,) → (N, 1, 1)."""
    return amounts.astype(np.float32)[:, np.newaxis, np.newaxis]


def _joined_or_broken(field: Field, pen_px: float, rng: np.random.Generator, hand: Hand) -> Field:
    """Add a stroke to a neighbour, or a gap, to the distances of one digit, for a share of the digits."""
    joins, breaks = rng.random(2) < (hand.joined, hand.broken)
    y, x = np.nonzero(field > 0)
    if joins and len(y):
        side = int(rng.integers(2))
        end = int(np.argmax(x) if side else np.argmin(x))
        field = np.maximum(field, _stroke_from((int(y[end]), int(x[end])), 1 if side else -1, pen_px, rng))
    if breaks and len(y):
        place = int(rng.integers(len(y)))
        down, right = _GRID[0] - y[place], _GRID[1] - x[place]
        angle = rng.uniform(0, np.pi)
        gap = np.abs(down * np.sin(angle) + right * np.cos(angle)) - rng.uniform(0.4, 1.2)
        field = np.where(np.hypot(down, right) < 2 * pen_px + 2, np.minimum(field, gap), field).astype(np.float32)
    return field


def _stroke_from(start: tuple[int, int], direction: int, pen_px: float, rng: np.random.Generator) -> Field:
    """Distances of a short stroke that becomes thin, from a place (y, x) to the right (1) or left (-1)."""
    length, angle = rng.uniform(0.1, 0.3) * DIGIT_PX, rng.uniform(-0.7, 0.7)
    step = length * np.array([np.sin(angle), np.cos(angle) * direction])
    down, right = _GRID[0] - start[0], _GRID[1] - start[1]
    along = np.clip((down * step[0] + right * step[1]) / length**2, 0, 1)
    away = np.hypot(down - along * step[0], right - along * step[1])
    return np.asarray(min(pen_px, _PEN_PX) * (1 - 0.6 * along) - away, np.float32)


def _inked(field: Field, softness_px: float, rng: np.random.Generator, hand: Hand) -> NDArray[np.uint8]:
    """The image of one digit in MNIST format, from its distances."""
    ink = np.clip(0.5 + field / np.float32(softness_px), 0, 1)
    if rng.random() < hand.pale:
        grain = ndimage.zoom(rng.uniform(0, 1, (12, 12)), CANVAS_PX / 12, order=1)
        ink = ink * np.asarray(1 - rng.uniform(0.2, 0.7) * grain, np.float32)
    ink = _cropped(ink)
    if rng.random() < hand.coarse and ink.size:
        ink = _cropped(_coarse(ink, rng))
    return framed(ink) if ink.size else np.zeros((IMAGE_SIDE, IMAGE_SIDE), np.uint8)


def _cropped(ink: Field) -> Field:
    """The ink within its bounding box; (0, 0) if none is visible."""
    rows, columns = (np.flatnonzero((ink > _VISIBLE).any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return np.zeros((0, 0), np.float32)
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _coarse(ink: Field, rng: np.random.Generator) -> Field:
    """The ink of a low-resolution scan, prepared like a picture."""
    side = int(rng.integers(_COARSE_PX[0], _COARSE_PX[1] + 1))
    height, width = (max(2, round(length * side / max(ink.shape))) for length in ink.shape)
    small = np.asarray(Image.fromarray(ink).resize((width, height), Image.Resampling.BOX), np.float32)
    if rng.random() < 0.5:
        small = (small > rng.uniform(*_TWO_LEVEL) * small.max()).astype(np.float32)
    return thickened(small) if small.any() else small
