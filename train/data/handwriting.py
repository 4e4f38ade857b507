"""Draw digits from outlines like a hand, bent, slanted, shaken, joined or broken, with any pen: `written`."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from digits_edge.runtime.preprocessing.mnist_format import IMAGE_SIDE, framed
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
    y, x = np.mgrid[:CANVAS_PX, :CANVAS_PX].astype(np.float32) - np.float32(middle)
    bend, shake = (_amounts(amount, count, rng) for amount in (hand.bend_px, hand.shake_px))
    right, down = (
        _smooth_fields(rng, count, _BEND_PX) * _each(bend) + _smooth_fields(rng, count, _SHAKE_PX) * _each(shake)
        for _ in (0, 1)
    )
    columns = _each(xx) * x + _each(xy) * y + right + np.float32(middle)
    rows = _each(yx) * x + _each(yy) * y + down + np.float32(middle)
    return sampled(distances, rows, columns)


def sampled(fields: Field, rows: Field, columns: Field) -> Field:
    """Interpolate fields bilinearly; beyond the border is the border.

    Args:
        fields: float32 (N, H, W), H and W at least 2.
        rows: float32 (N, H, W), vertical place of each sample, in pixels.
        columns: float32 (N, H, W), horizontal place.

    Returns:
        float32 (N, H, W).

    Example:
        >>> ramp = np.arange(4, dtype=np.float32).reshape(1, 2, 2)
        >>> half = np.full((1, 2, 2), 0.5, np.float32)
        >>> float(sampled(ramp, half, half)[0, 0, 0])
        1.5
    """
    count, height, width = fields.shape
    y, x = np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)
    top, left = np.minimum(y.astype(np.int32), height - 2), np.minimum(x.astype(np.int32), width - 2)
    below, beside = y - top, x - left
    places = (top * width + left).reshape(count, -1)
    pixels = fields.reshape(count, -1)

    def at(offset: int) -> Field:
        return np.take_along_axis(pixels, places + offset, axis=1).reshape(fields.shape)

    upper = at(0) * (1 - beside) + at(1) * beside
    lower = at(width) * (1 - beside) + at(width + 1) * beside
    return np.asarray(upper * (1 - below) + lower * below, np.float32)


def _amounts(usual: float, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Strengths of N digits: most are small, few are large."""
    return np.minimum(rng.exponential(usual, count), _MAX_DEVIATIONS * usual)


def _smooth_fields(rng: np.random.Generator, count: int, spacing_px: int) -> Field:
    """Random smooth fields of about unit standard deviation, float32 (N, S, S), with knots `spacing_px` apart."""
    places = np.arange(CANVAS_PX) / spacing_px
    distances = np.abs(places[:, np.newaxis] - np.arange(-1, np.ceil(places[-1]) + 2))
    near, far = 2 / 3 - distances**2 + distances**3 / 2, (2 - distances) ** 3 / 6
    weights = np.where(distances < 1, near, np.where(distances < 2, far, 0)).astype(np.float32)
    # the spline averages over knots, which leaves 0.48 of their standard deviation
    knots = rng.normal(0, 2.1, (count, weights.shape[1], weights.shape[1])).astype(np.float32)
    return np.asarray(weights @ knots @ weights.T, np.float32)


def _each(amounts: NDArray[np.floating]) -> Field:
    """Amounts that broadcast over fields, (N,) → (N, 1, 1)."""
    return amounts.astype(np.float32)[:, np.newaxis, np.newaxis]


def _joined_or_broken(field: Field, pen: float, rng: np.random.Generator, hand: Hand) -> Field:
    """Add a stroke to a neighbour, or a gap, to the distances of one digit, for a share of the digits."""
    joins, breaks = rng.random(2) < (hand.joined, hand.broken)
    y, x = np.nonzero(field > 0)
    if not len(y) or not (joins or breaks):
        return field
    grid_y, grid_x = np.mgrid[:CANVAS_PX, :CANVAS_PX].astype(np.float32)
    if joins:
        side = int(rng.integers(2))
        end = int(np.argmax(x) if side else np.argmin(x))
        length = rng.uniform(0.1, 0.3) * DIGIT_PX
        angle = rng.uniform(-0.7, 0.7)
        step = np.array([np.sin(angle), np.cos(angle) * (1 if side else -1)]) * length
        along = ((grid_y - y[end]) * step[0] + (grid_x - x[end]) * step[1]) / length**2
        along = np.clip(along, 0, 1)
        away = np.hypot(grid_y - y[end] - along * step[0], grid_x - x[end] - along * step[1])
        field = np.maximum(field, np.asarray(min(pen, _PEN_PX) * (1 - 0.6 * along) - away, np.float32))
    if breaks:
        place, angle = int(rng.integers(len(y))), rng.uniform(0, np.pi)
        away = np.abs((grid_y - y[place]) * np.sin(angle) + (grid_x - x[place]) * np.cos(angle))
        near = np.hypot(grid_y - y[place], grid_x - x[place]) < 2 * pen + 2
        gap = np.asarray(away - rng.uniform(0.4, 1.2), np.float32)
        field = np.where(near, np.minimum(field, gap), field)
    return field


def _inked(field: Field, softness_px: float, rng: np.random.Generator, hand: Hand) -> NDArray[np.uint8]:
    """The image of one digit in MNIST format, from its distances."""
    ink = np.clip(0.5 + field / np.float32(softness_px), 0, 1)
    if rng.random() < hand.pale:
        grain = ndimage.zoom(rng.uniform(0, 1, (12, 12)), CANVAS_PX / 12, order=1)
        ink = ink * np.asarray(1 - rng.uniform(0.2, 0.7) * grain, np.float32)
    rows, columns = (np.flatnonzero((ink > 0.1).any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return np.zeros((IMAGE_SIDE, IMAGE_SIDE), np.uint8)
    return framed(ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
