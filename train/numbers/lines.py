"""Lines of numbers for training: `NumberLines`."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.reader.line_image import find_band, line_image
from digits_edge.train.data.fonts import fetch_fonts
from digits_edge.train.data.outlines import Field
from digits_edge.train.numbers.distractors import draw_distractor
from digits_edge.train.numbers.glyphs import Hand, HandSource
from digits_edge.train.numbers.papers import draw_rules
from digits_edge.train.numbers.pictures import inked, photographed
from digits_edge.train.numbers.settings import LineSettings
from digits_edge.train.numbers.texts import Text, random_text
from digits_edge.train.numbers.writing import NO_INK_PX, LineStyle, WrittenLine, random_style, write_line

#: Lines that are made with one generator state; that of block B is seeded with (seed, B).
BLOCK = 300
#: Share of lines with much paper at a side, and of those with at most two characters.
_WIDE_PAPER, _WIDE_PAPER_SHORT = 0.12, 0.4


@dataclass(frozen=True, eq=False)
class NumberLine:
    """A made line.

    Attributes:
        image: uint8 (32, W), as `digits_edge.runtime.reader.line_image.line_image` makes it.
        text: characters of the line; empty if there is no number.
    """

    image: NDArray[np.uint8]
    text: str


class NumberLines:
    """Lines of numbers, made block by block.

    Args:
        seed: seed of all randomness.
        settings: how the lines vary.
        images: uint8 (N, 28, 28), training images in MNIST format; None for none.
        labels: their digits, (N,).
        fonts: font files; None for the fonts of the project, which are fetched if they are missing, or for none if
            their weight is 0. Words of lines without a number are then in Pillow's font.

    Example:
        >>> lines = NumberLines(0, LineSettings(fonts=0, images=0, empty=0))
        >>> line = lines.block(0, count=1)[0]
        >>> line.image.shape[0], 1 <= len(line.text)
        (32, True)
    """

    def __init__(
        self,
        seed: int,
        settings: LineSettings | None = None,
        *,
        images: NDArray[np.uint8] | None = None,
        labels: NDArray[np.uint8] | None = None,
        fonts: tuple[Path, ...] | None = None,
    ) -> None:
        self._seed = seed
        self._settings = settings or LineSettings()
        needed = self._settings.fonts > 0
        self._fonts = (tuple(fetch_fonts()) if needed else ()) if fonts is None else fonts
        weights = (self._settings.images, self._settings.fonts, self._settings.strokes)
        self._source = HandSource(images, labels, weights, self._fonts)

    def block(self, number: int, count: int = BLOCK) -> list[NumberLine]:
        """Make the lines of a block; the same seed and number make the same lines, up to rounding of processors.

        Args:
            number: number of the block, from 0.
            count: number of lines.
        """
        rng = np.random.default_rng((self._seed, number))
        lines = self._lines(rng)
        return [next(lines) for _ in range(count)]

    def _lines(self, rng: np.random.Generator) -> Iterator[NumberLine]:
        while True:
            hand = self._source.hand(rng)
            for _ in range(self._settings.lines_per_hand):
                yield self._line(hand, rng)

    def _line(self, hand: Hand, rng: np.random.Generator) -> NumberLine:
        settings = self._settings
        style = random_style(rng, settings)
        if rng.random() < settings.empty:
            ink = draw_distractor(self._fonts, style.height_px, rng)
            field, text = _framed_ink(ink, style.height_px, rng, settings), ""
        else:
            words = random_text(rng)
            written = write_line(words, hand, style, rng, settings)
            field, text = self._framed(written, hand, style, rng), words.characters
        levels = photographed(field, style.height_px, rng, settings)
        band = None
        if rng.random() < 0.4:
            upper, lower = find_band(levels)
            errors = rng.normal(0, settings.band * (lower - upper), 2)
            band = max(0, round(upper + errors[0])), min(levels.shape[0], round(lower + errors[1]))
        return NumberLine(line_image(levels, band), text)

    def _framed(self, line: WrittenLine, hand: Hand, style: LineStyle, rng: np.random.Generator) -> Field:
        """The ink of a crop around a line, with rules and parts of other lines."""
        height = style.height_px
        inked_rows = np.flatnonzero((line.field > 0).any(axis=1))
        top, bottom = (int(inked_rows[0]), int(inked_rows[-1]) + 1) if len(inked_rows) else (0, line.field.shape[0])
        margins = _margins(height, rng, _WIDE_PAPER_SHORT if len(line.boxes) <= 2 else _WIDE_PAPER)
        shape = (bottom - top + margins[1] + margins[3], line.field.shape[1] + margins[0] + margins[2])
        field = np.full(shape, NO_INK_PX, np.float32)
        place = (slice(margins[1], margins[1] + bottom - top), slice(margins[0], margins[0] + line.field.shape[1]))
        field[place] = line.field[top:bottom]
        if rng.random() < self._settings.neighbours:
            self._add_neighbours(field, (margins[0], margins[1], place[1].stop, place[0].stop), hand, style, rng)
        ink = inked(field, rng)
        if rng.random() < self._settings.rules:
            box = (margins[0], margins[1], place[1].stop, place[0].stop)
            ink = _with_rules(ink, box, height, rng)
        return ink

    def _add_neighbours(
        self, field: Field, box: tuple[int, int, int, int], hand: Hand, style: LineStyle, rng: np.random.Generator
    ) -> None:
        """Add parts of a line above or below, or of a character at a side, in place."""
        left, upper, right, lower = box
        height = style.height_px
        other = write_line(Text(random_text(rng).characters[:6]), hand, style, rng, self._settings).field
        rows = np.flatnonzero((other > 0).any(axis=1))
        if not len(rows):
            return
        other = other[rows[0] : rows[-1] + 1]
        side = rng.random()
        if side < 0.4:
            start = upper - round(rng.uniform(0.12, 0.5) * height) - other.shape[0]
            _paste(field, other, (start, round(rng.uniform(-0.5, 0.5) * field.shape[1])))
        elif side < 0.75:
            _paste(
                field,
                other,
                (lower + round(rng.uniform(0.1, 0.5) * height), round(rng.uniform(-0.5, 0.5) * field.shape[1])),
            )
        else:
            visible = rng.uniform(0.03, 0.16) * height
            column = right + rng.uniform(0.12, 0.5) * height if rng.random() < 0.5 else None
            if column is not None and column + visible < field.shape[1]:
                _paste(field[:, : round(column + visible)], other, (upper, round(column)))
                field[:, round(column + visible) :] = NO_INK_PX
            elif left - 0.12 * height > visible:
                _paste(field[:, : round(visible)], other, (upper, round(visible) - other.shape[1]))


def _margins(height: float, rng: np.random.Generator, wide: float = _WIDE_PAPER) -> tuple[int, int, int, int]:
    """Left, upper, right, lower margin of a crop, in pixels; `wide` is the share of those with much paper beside."""
    tight = rng.random()
    vertical = rng.uniform(0, 0.08, 2) if tight < 0.25 else rng.uniform(0, 0.6, 2)
    horizontal = rng.uniform(0, 0.15, 2) if rng.random() < 0.5 else rng.uniform(0, 0.8, 2)
    if rng.random() < wide:
        horizontal = horizontal + rng.uniform(0, 4, 2)
    left, right = (round(float(share) * height) for share in horizontal)
    upper, lower = (round(float(share) * height) for share in vertical)
    return left, upper, right, lower


def _framed_ink(ink: Field, height: float, rng: np.random.Generator, settings: LineSettings) -> Field:
    left, upper, right, lower = _margins(height, rng)
    framed = np.pad(ink, ((upper, lower), (left, right)))
    if rng.random() < 2 * settings.rules:
        box = (left, upper, framed.shape[1] - right, framed.shape[0] - lower)
        framed = _with_rules(framed, box, height, rng)
    return framed


def _with_rules(ink: Field, box: tuple[float, float, float, float], height: float, rng: np.random.Generator) -> Field:
    rules = np.clip(draw_rules(ink.shape, box, height, rng) + np.float32(0.5), 0, 1)
    if rng.random() < 0.2:  # dashed
        period = rng.uniform(3, 12)
        rules *= (np.arange(ink.shape[1]) % period < rng.uniform(0.3, 0.8) * period).astype(np.float32)
    return np.asarray(np.maximum(ink, rules * np.float32(rng.uniform(0.3, 1.0))), np.float32)


def _paste(field: Field, other: Field, place: tuple[int, int]) -> None:
    """The maximum of distances where another field overlaps, in place; `place` is its first row and column."""
    top, left = place
    rows = slice(max(0, top), min(field.shape[0], top + other.shape[0]))
    columns = slice(max(0, left), min(field.shape[1], left + other.shape[1]))
    if rows.stop <= rows.start or columns.stop <= columns.start:
        return
    part = field[rows, columns]
    np.maximum(part, other[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left], out=part)
