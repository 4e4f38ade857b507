"""Write a text with a hand: place the characters on a line, `write_line`."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from digits_edge.train.data.outlines import Field
from digits_edge.train.numbers.glyphs import Glyph, Hand, separator_glyph
from digits_edge.train.numbers.settings import LineSettings
from digits_edge.train.numbers.texts import Text

#: Distance to the ink where there is none, in pixels.
NO_INK_PX = -30.0
#: Rows above the top of digits and below the baseline of a line, in heights of a digit.
_ABOVE, _BELOW = 0.7, 0.7
#: Cells of the grid that bends a character, along each side.
_CELLS = 2
#: Steepest slants, in heights to the right per height upwards.
_SLANTS = (-0.5, 0.95)
#: A stroke keeps this share of its width, and a hole this share of its own.
_KEPT_STROKE, _KEPT_GAP = 0.45, 0.5
#: Bounds of the distance between characters, in heights, and the distance in wide lines.
_GAPS, _WIDE_GAPS = (-0.12, 0.5), (0.5, 2.2)
#: Largest overlap of characters that are not slanted, as a share of the narrower one.
_MAX_OVERLAP = 0.25
#: Digits that end below the baseline in many hands, and how far.
_DESCENDING, _MAX_DESCENT = "4579", 0.35


@dataclass(frozen=True)
class LineStyle:
    """How a hand writes one line: lengths in heights of a digit.

    Attributes:
        height_px: height of a digit in pixels.
        slant: heights to the right per height upwards.
        aspect: factor of the width of characters.
        pen: half the width of the pen.
        gap: distance between characters, and its standard deviation.
        drift: slope of the baseline, heights upwards per height to the right.
        sizes: height of each digit that differs from 1.
        descents: how far digits end below the baseline.
        joins: share of neighbours that are joined by a stroke.
        pitch: distance between the middles of digits in the boxes of a form; None outside boxes.
    """

    height_px: float
    slant: float
    aspect: float
    pen: float
    gap: tuple[float, float]
    drift: float
    sizes: dict[str, float]
    descents: dict[str, float]
    joins: float
    pitch: float | None


@dataclass(frozen=True, eq=False)
class WrittenLine:
    """A line as distances to the edge of the ink.

    Attributes:
        field: float32 (H, W), in pixels, positive in the ink.
        baseline: row of the baseline at the left.
        boxes: left and right of each character in pixels, (N, 2).
        height_px: height of a digit.
    """

    field: Field
    baseline: float
    boxes: NDArray[np.float64]
    height_px: float


@dataclass(frozen=True, eq=False)
class _Tile:
    """A drawn character: distances, (H, W), whose rows are those of the line; and the first column's place."""

    field: Field
    left: float
    right: float


def random_style(rng: np.random.Generator, settings: LineSettings) -> LineStyle:
    """Draw a style.

    Example:
        >>> style = random_style(np.random.default_rng(0), LineSettings())
        >>> 22 <= style.height_px <= 44
        True
    """
    wide = rng.random() < settings.wide
    gap = rng.uniform(*_WIDE_GAPS) if wide else float(np.clip(rng.normal(settings.gap, 0.12), *_GAPS))
    sizes = {}
    if rng.random() < 0.5:
        sizes["0"] = rng.uniform(0.45, 1.0)
    for digit in "1234567890"[: int(rng.integers(4))]:
        sizes.setdefault(digit, float(np.exp(rng.normal(0, 0.15))))
    descents = {digit: rng.uniform(0.05, _MAX_DESCENT) for digit in _DESCENDING if rng.random() < 0.2}
    thin, thick = settings.pen
    low, high = np.log((thin / 4, thin) if rng.random() < settings.hairline else (thin, thick))
    return LineStyle(
        height_px=rng.uniform(*settings.height_px),
        slant=float(np.clip(rng.normal(settings.mean_slant, settings.slant), *_SLANTS)),
        aspect=float(np.exp(rng.normal(0.05, settings.aspect))),
        pen=float(np.exp(rng.uniform(low, high))),
        gap=(gap, abs(rng.normal(0, 0.25 * max(abs(gap), 0.25)))),
        drift=rng.normal(0, 0.02),
        sizes=sizes,
        descents=descents,
        joins=rng.uniform(0.2, 1.0) if rng.random() < settings.joined else 0.0,
        pitch=rng.uniform(0.9, 1.6) if rng.random() < settings.comb else None,
    )


def write_line(
    text: Text, hand: Hand, style: LineStyle, rng: np.random.Generator, settings: LineSettings
) -> WrittenLine:
    """Write a text.

    Args:
        text: the text.
        hand: its characters; separators that it lacks are drawn and added to it.
        style: size, slant, pen and spacing.
        rng: source of all other randomness.
        settings: strength of the variation between characters.

    Returns:
        The line, with a margin of no more than the pen around the ink at the left and right.
    """
    height = style.height_px
    rows = int(np.ceil((1 + _ABOVE + _BELOW) * height))
    baseline = (1 + _ABOVE) * height
    tiles: list[_Tile] = []
    start = 0.0
    for index, character in enumerate(text.characters):
        tile = _drawn(_glyph(hand, character, rng), character, text, index, style, rng, settings, (rows, baseline))
        start = _place_of(tile, tiles[-1] if tiles else None, text, index, style, rng)
        tiles.append(_Tile(tile.field, tile.left + start, tile.right + start))
    return _joined(tiles, rows, baseline, style, text, rng)


def _glyph(hand: Hand, character: str, rng: np.random.Generator) -> Glyph:
    forms = hand.glyphs.setdefault(character, [])
    if not forms:
        forms.append(separator_glyph(character, rng))
    return forms[int(rng.integers(len(forms)))]


def _drawn(
    glyph: Glyph,
    character: str,
    text: Text,
    index: int,
    style: LineStyle,
    rng: np.random.Generator,
    settings: LineSettings,
    frame: tuple[int, float],
) -> _Tile:
    """Draw one character with its left edge at 0."""
    rows, baseline = frame
    raised = text.raised is not None and index >= text.raised
    is_digit = character.isdigit()
    size = style.sizes.get(character, 1.0) * float(np.exp(rng.normal(0, settings.size if is_digit else 0.1)))
    size *= 0.55 if raised else 1.0
    scale_y = style.height_px * size / glyph.unit_px
    scale_x = scale_y * (style.aspect * float(np.exp(rng.normal(0, 0.08))) if is_digit else 1.0)
    down = style.height_px * (rng.normal(0, settings.drift) + style.descents.get(character, 0.0))
    if character == "0" and size < 0.8 and rng.random() < 0.25:
        down -= style.height_px * (1 - size) * rng.uniform(0, 0.7)
    if raised:
        down -= 0.45 * style.height_px
    slant = style.slant * (0.5 if character in "$€" else 1.0) - glyph.slant + rng.normal(0, 0.05)
    left, upper, right, lower = glyph.box
    middle = (left + right) / 2
    # extent of the slanted ink around the middle, in pixels of the line
    highest, lowest = (glyph.base_px - upper) * scale_y, (glyph.base_px - lower) * scale_y
    shifts = (slant * highest, slant * lowest)
    half = (right - left) / 2 * scale_x
    margin = style.pen * style.height_px + 3
    first, last = np.floor(min(shifts) - half - margin), np.ceil(max(shifts) + half + margin)
    columns = int(last - first)
    field = _transformed(
        glyph, (columns, rows), (-first, baseline + down), (middle, scale_x, scale_y, slant), rng, settings
    )
    scale = (scale_x * scale_y) ** 0.5
    pen = style.pen * style.height_px * (0.8 if raised else 1.0)
    if character in ".":
        pen = max(1.15 * pen, 0.045 * style.height_px)
    thinnest, widest = glyph.half_width * scale * _KEPT_STROKE, (glyph.half_width + (1 - _KEPT_GAP) * glyph.gap) * scale
    grown = float(np.clip(pen, thinnest, max(widest, thinnest))) - glyph.half_width * scale
    ink = field * np.float32(scale) + np.float32(grown)
    inked = np.flatnonzero((ink > 0).any(axis=0))
    low, high = (int(inked[0]), int(inked[-1]) + 1) if len(inked) else (0, columns)
    return _Tile(ink[:, low:high], 0.0, float(high - low))


def _transformed(
    glyph: Glyph,
    size: tuple[int, int],
    origin: tuple[float, float],
    shape: tuple[float, float, float, float],
    rng: np.random.Generator,
    settings: LineSettings,
) -> Field:
    """Scale, slant, turn and bend the distances of a character; `origin` is its middle on the baseline."""
    columns, rows = size
    middle, scale_x, scale_y, slant = shape
    turn = rng.normal(0, 0.04)
    x = np.rint(np.linspace(0, columns, _CELLS + 1))
    y = np.rint(np.linspace(0, rows, 2 * _CELLS + 1))
    across, up = np.meshgrid(x - origin[0], origin[1] - y)
    across, up = across + turn * up, up - turn * across
    place_x = middle + (across - slant * up) / scale_x + rng.normal(0, settings.bend * glyph.unit_px, across.shape)
    place_y = glyph.base_px - up / scale_y + rng.normal(0, settings.bend * glyph.unit_px, across.shape)
    corners = np.stack([place_x, place_y], axis=-1)
    mesh = []
    for row in range(len(y) - 1):
        for column in range(len(x) - 1):
            box = (int(x[column]), int(y[row]), int(x[column + 1]), int(y[row + 1]))
            if box[2] > box[0] and box[3] > box[1]:
                quad = corners[(row, row + 1, row + 1, row), (column, column, column + 1, column + 1)]
                mesh.append((box, tuple(quad.ravel().tolist())))
    drawn = glyph.field.transform(size, Image.Transform.MESH, mesh, Image.Resampling.BILINEAR, fillcolor=NO_INK_PX)
    return np.asarray(drawn)


def _place_of(
    tile: _Tile, before: _Tile | None, text: Text, index: int, style: LineStyle, rng: np.random.Generator
) -> float:
    """Column of a character's left edge."""
    if before is None:
        return 0.0
    height = style.height_px
    if style.pitch is not None:
        middle = (before.left + before.right) / 2 + style.pitch * height * rng.normal(1, 0.05)
        return float(max(middle - tile.right / 2, before.right + 1))
    gap = rng.normal(*style.gap) * height
    if not (text.characters[index].isdigit() and text.characters[index - 1].isdigit()):
        gap = max(gap, rng.uniform(-0.02, 0.15) * height)
    if index in text.spaces:
        gap += rng.uniform(0.25, 0.8) * height
    # the distance along rows, for half of the gap, and that of the boxes, for the other half
    edge = before.right - before.left - _last_inked(before.field)
    ahead = edge + _first_inked(tile.field)
    free = float(np.convolve(ahead, np.ones(3) / 3, "same").min()) if len(ahead) else 0.0
    start = before.right + gap - 0.75 * min(free, 0.6 * height)
    overlap = _MAX_OVERLAP * min(before.right - before.left, tile.right) + 0.5 * abs(style.slant) * height
    return float(max(start, before.right - overlap))


def _first_inked(field: Field) -> NDArray[np.float64]:
    """First column of ink in each row, the width where there is none, (H,)."""
    ink = field > 0
    return np.asarray(np.where(ink.any(axis=1), ink.argmax(axis=1), field.shape[1]), np.float64)


def _last_inked(field: Field) -> NDArray[np.float64]:
    """Last column of ink in each row, exclusive; 0 where there is none, (H,)."""
    ink = field[:, ::-1] > 0
    return np.asarray(np.where(ink.any(axis=1), field.shape[1] - ink.argmax(axis=1), 0), np.float64)


def _joined(
    tiles: list[_Tile], rows: int, baseline: float, style: LineStyle, text: Text, rng: np.random.Generator
) -> WrittenLine:
    """Put the characters on one canvas, along the baseline."""
    first = min(tile.left for tile in tiles)
    width = int(np.ceil(max(tile.right for tile in tiles) - first)) + 2
    rise = style.drift * width
    above, below = (int(np.ceil(max(0.0, amount))) for amount in (rise, -rise))
    field = np.full((rows + above + below, width), NO_INK_PX, np.float32)
    boxes = np.array([(tile.left - first, tile.right - first) for tile in tiles])
    for tile, (left, right) in zip(tiles, boxes, strict=True):
        top = above - round(style.drift * (left + right) / 2)
        column = round(left)
        part = field[top : top + rows, column : column + tile.field.shape[1]]
        np.maximum(part, tile.field[: part.shape[0], : part.shape[1]], out=part)
    for index in range(len(tiles) - 1):
        if rng.random() < style.joins and text.characters[index : index + 2].isdigit():
            _join(field, boxes[index : index + 2], tiles[index : index + 2], style, above, rng)
    return WrittenLine(field, baseline + above, boxes, style.height_px)


def _join(
    field: Field,
    boxes: NDArray[np.float64],
    tiles: list[_Tile],
    style: LineStyle,
    above: int,
    rng: np.random.Generator,
) -> None:
    """Draw a stroke from the right side of a character to the left side of the next one."""
    ends = []
    for tile, (left, right), is_first in zip(tiles, boxes, (True, False), strict=True):
        ink = tile.field > 0
        heights = np.flatnonzero(ink.any(axis=1))
        if not len(heights):
            return
        row = int(heights[int(rng.uniform(0, 0.25) * len(heights))])
        if rng.random() < 0.25:
            row = int(heights[int(rng.uniform(0.6, 0.99) * len(heights))])
        inked = np.flatnonzero(ink[row])
        if not len(inked):
            return
        column = left + (inked[-1] if is_first else inked[0])
        ends.append((column, row + above - style.drift * (left + right) / 2))
    (x0, y0), (x1, y1) = ends
    if x1 - x0 > 0.9 * style.height_px or x1 < x0 - 0.1 * style.height_px:
        return
    sag = rng.normal(0.05, 0.1) * style.height_px
    points = [(x0, y0), ((x0 + x1) / 2, (y0 + y1) / 2 + sag), (x1, y1)]
    pen = style.pen * style.height_px * rng.uniform(0.5, 1.0)
    draw_polyline(field, points, pen)


def draw_polyline(field: Field, points: list[tuple[float, float]], half_width_px: float) -> None:
    """Draw straight strokes into distances, in place.

    Args:
        field: float32 (H, W).
        points: x and y of the points, in pixels.
        half_width_px: half the width of the pen.

    Example:
        >>> field = np.full((9, 9), -30, np.float32)
        >>> draw_polyline(field, [(1, 4), (7, 4)], 1)
        >>> float(field[4, 4]), float(field[4, 8])
        (1.0, 0.0)
    """
    reach = half_width_px + 3
    for (x0, y0), (x1, y1) in pairwise(points):
        left, right = max(0, int(min(x0, x1) - reach)), int(max(x0, x1) + reach) + 1
        top, bottom = max(0, int(min(y0, y1) - reach)), int(max(y0, y1) + reach) + 1
        part = field[top:bottom, left:right]
        if not part.size:
            continue
        y, x = np.ogrid[top : top + part.shape[0], left : left + part.shape[1]]
        length = max((x1 - x0) ** 2 + (y1 - y0) ** 2, 1e-6)
        place = np.clip(((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / length, 0, 1)
        away = np.hypot(x - x0 - place * (x1 - x0), y - y0 - place * (y1 - y0))
        np.maximum(part, (half_width_px - away).astype(np.float32), out=part)
