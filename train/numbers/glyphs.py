"""Characters of one hand as distances to the edge of the ink: `Hand`, `hands_of`.

A hand writes each digit in one way: digits of the training images, of a font, or of one national variant. Separators
are strokes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from digits_edge.runtime.datasets.synthetic_digits import smooth_strokes
from digits_edge.train.data.made_hands import draw_font_digit
from digits_edge.train.data.outlines import Field, Outlines, outlines_of
from digits_edge.train.numbers.line_digits import draw_line_digit
from digits_edge.train.numbers.separators import draw_separator

#: Pixels of a separator's canvas per height of a digit, and its margin in pixels.
_SEPARATOR_PX, _MARGIN_PX = 40.0, 12
#: Every n-th point of a separator's smooth strokes is used.
_STEP = 4
#: Slant of upright digits by `outlines_of`: the median of MNIST's training images, whose writers lean 0.22 on average.
UPRIGHT_SLANTS = (0.0, 0.05, -0.11, -0.1, -0.17, 0.0, -0.17, -0.16, 0.0, -0.17)
#: A school font is used half as often as another font, see `digits_edge.train.data.made_hands`.
_SCHOOL, _SCHOOL_WEIGHT = "playwrite-", 0.5


@dataclass(frozen=True, eq=False)
class Glyph:
    """One character on a canvas of its own size.

    Attributes:
        field: distances to the edge of the ink as an image of mode F, in pixels of the canvas, positive in the ink.
        box: left, upper, right, lower of the ink on the canvas.
        unit_px: pixels of the canvas per height of a digit.
        base_px: row of the canvas that is on the baseline.
        half_width: half the width of the strokes, in pixels of the canvas.
        gap: half the width of the narrowest hole, likewise.
        slant: slant to remove, in pixels to the right per pixel upwards.
    """

    field: Image.Image
    box: tuple[float, float, float, float]
    unit_px: float
    base_px: float
    half_width: float
    gap: float
    slant: float = 0.0


@dataclass(frozen=True, eq=False)
class Hand:
    """The characters of one hand.

    Attributes:
        source: "images", "fonts" or "strokes".
        glyphs: the characters; several forms of a character are drawn in turn.
    """

    source: str
    glyphs: dict[str, list[Glyph]]


def digit_glyphs(outlines: Outlines, labels: NDArray[np.uint8], *, removes_slant: bool) -> list[Glyph]:
    """Glyphs of outlines, whose ink is one height high.

    Args:
        outlines: N outlines.
        labels: digit of each, (N,).
        removes_slant: whether the digits are made upright when they are drawn.
    """
    glyphs = []
    for row, label in enumerate(labels):
        field = outlines.distances[row]
        y, x = np.nonzero(field > 0)
        if not len(y):  # an image without ink
            y, x = np.array([24, 71]), np.array([40, 55])
        box = (float(x.min()), float(y.min()), float(x.max()) + 1, float(y.max()) + 1)
        slant = float(outlines.slants[row]) - UPRIGHT_SLANTS[int(label)] if removes_slant else 0.0
        half_width, gap = float(outlines.half_widths[row]), float(outlines.gaps[row])
        glyphs.append(Glyph(Image.fromarray(field), box, box[3] - box[1], box[3], half_width, gap, slant))
    return glyphs


def separator_glyph(character: str, rng: np.random.Generator) -> Glyph:
    """Draw a separator of a hand.

    Example:
        >>> glyph = separator_glyph("-", np.random.default_rng(0))
        >>> glyph.box[2] - glyph.box[0] > 2 * (glyph.box[3] - glyph.box[1])
        True
    """
    strokes = [stroke[::_STEP] for stroke in smooth_strokes(draw_separator(character, rng))]
    points = np.concatenate(strokes) * _SEPARATOR_PX
    low = points.min(axis=0) - _MARGIN_PX
    width, height = (int(side) for side in np.ceil(points.max(axis=0) - low + _MARGIN_PX))
    half_width = 2.0
    field = half_width - _away([stroke * _SEPARATOR_PX - low for stroke in strokes], (height, width))
    box = (float(_MARGIN_PX - 2), float(_MARGIN_PX - 2), width - _MARGIN_PX + 2.0, height - _MARGIN_PX + 2.0)
    return Glyph(Image.fromarray(field), box, _SEPARATOR_PX, float(_SEPARATOR_PX - low[1]), half_width, 99.0)


def _away(strokes: list[NDArray[np.float64]], shape: tuple[int, int]) -> Field:
    """Distance of each pixel from the nearest stroke, float32 (H, W)."""
    starts = np.concatenate([stroke[:-1] for stroke in strokes])
    ends = np.concatenate([stroke[1:] for stroke in strokes])
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)[:, :, :, np.newaxis]
    along = (ends - starts).astype(np.float32)
    first = starts.astype(np.float32)
    length = np.maximum((along**2).sum(axis=1), np.float32(1e-6))
    across_x, across_y = x - first[:, 0], y - first[:, 1]
    place = np.clip((across_x * along[:, 0] + across_y * along[:, 1]) / length, 0, 1)
    away = (across_x - place * along[:, 0]) ** 2 + (across_y - place * along[:, 1]) ** 2
    return np.asarray(np.sqrt(away.min(axis=2)), np.float32)


class HandSource:
    """Hands of all sources.

    Args:
        images: uint8 (N, 28, 28), training images in MNIST format, or None to use none.
        labels: their digits, (N,).
        weights: weights of images, fonts and strokes.
        fonts: font files, or none.
    """

    def __init__(
        self,
        images: NDArray[np.uint8] | None,
        labels: NDArray[np.uint8] | None,
        weights: tuple[float, float, float],
        fonts: tuple[Path, ...],
    ) -> None:
        self._images = images
        self._rows_of = [] if labels is None else [np.flatnonzero(labels == digit) for digit in range(10)]
        self._fonts = fonts
        has = np.array([images is not None, bool(fonts), True], np.float64)
        self._weights = np.array(weights) * has / (np.array(weights) * has).sum()

    def hand(self, rng: np.random.Generator) -> Hand:
        """Draw a hand."""
        source = int(rng.choice(3, p=self._weights))
        makers: tuple[Callable[[np.random.Generator], list[Glyph]], ...]
        makers = (self._from_images, self._from_fonts, _from_strokes)
        digits = makers[source](rng)
        glyphs = {str(digit): digits[digit::10] for digit in range(10)}
        return Hand(("images", "fonts", "strokes")[source], glyphs)

    def _from_images(self, rng: np.random.Generator) -> list[Glyph]:
        assert self._images is not None
        rows = np.array([rows[int(rng.integers(len(rows)))] for rows in self._rows_of])
        labels = np.arange(10, dtype=np.uint8)
        return digit_glyphs(outlines_of(self._images[rows]), labels, removes_slant=True)

    def _from_fonts(self, rng: np.random.Generator) -> list[Glyph]:
        files = self._fonts
        weights = np.array([_SCHOOL_WEIGHT if file.name.startswith(_SCHOOL) else 1.0 for file in files])
        return list(_font_glyphs(files[int(rng.choice(len(files), p=weights / weights.sum()))]))


def _from_strokes(rng: np.random.Generator) -> list[Glyph]:
    drawings = [draw_line_digit(digit, rng) for digit in range(10)]
    return digit_glyphs(outlines_of(drawings), np.arange(10, dtype=np.uint8), removes_slant=False)


@cache
def _font_glyphs(file: Path) -> tuple[Glyph, ...]:
    outlines = outlines_of(draw_font_digit(file, digit) for digit in range(10))
    return tuple(digit_glyphs(outlines, np.arange(10, dtype=np.uint8), removes_slant=False))
