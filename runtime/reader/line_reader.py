"""Reading of one line: `read_line` finds the most probable number and the boxes of its characters."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from digits_edge.runtime.preprocessing.ink import find_ink
from digits_edge.runtime.preprocessing.levels import Box
from digits_edge.runtime.reader.constraints import Check, Constraint
from digits_edge.runtime.reader.line_crop import LineCrop, line_crop
from digits_edge.runtime.reader.line_image import INK_HEIGHT, LINE_HEIGHT, banded_line_image, line_levels
from digits_edge.runtime.reader.line_model import LineModel
from digits_edge.runtime.reader.lines import FoundLine
from digits_edge.runtime.reader.number_values import by_value
from digits_edge.runtime.reader.reading import Alternative, Digit, Line, ReadingStatus
from digits_edge.runtime.reader.search import Hypothesis, Span, empty_probability, search, spans
from digits_edge.runtime.reader.slant import slant_of, without_slant

#: A line has no number if this is nearly certain after the first reading; otherwise all readings decide.
NO_NUMBER = 0.9
#: Nor has a line whose characters have a lower mean probability (geometric), unless a constraint states that there is
#: a number.
MIN_CHARACTER = 0.7
#: Maximum number of alternatives, and their minimum probability.
MAX_ALTERNATIVES, MIN_ALTERNATIVE = 5, 1e-3
#: Lines with a lower confidence are read again in other forms, and the probabilities of all readings are averaged: with
#: shares of the slant removed, and widened. 3 % more of 400 amounts on cheques were right, and the surest half of them
#: had fewer errors.
READ_AGAIN_BELOW, SLANT_SHARES, WIDENINGS = 0.95, (0.0, 0.75, 0.0, 0.75), (0.85, 1.2, 1.2, 0.85)
#: Level of a line image from which a pixel is ink, and distance of inked columns of one character.
INK_LEVEL, MAX_INK_GAP = 96, 5


@dataclass(frozen=True)
class Wanted:
    """What the numbers must satisfy.

    Attributes:
        constraint: automaton of length, pattern and check digits.
        check: function of the caller.
    """

    constraint: Constraint | None = None
    check: Check | None = None


@dataclass(frozen=True)
class _LineImage:
    """A line image and its place in the crop.

    Attributes:
        pixels: uint8 (32, W).
        crop: the crop.
        x_scale: pixels of the crop for one of the line image, along the line.
        y_scale: the same across.
        upper: row of the crop at the upper edge of the line image.
    """

    pixels: NDArray[np.uint8]
    crop: LineCrop
    x_scale: float
    y_scale: float
    upper: float

    def in_picture(self, box: tuple[float, float, float, float], size: tuple[int, int]) -> Box:
        """A box of the line image in pixels of the picture."""
        left, upper, right, lower = box
        rows = (self.upper + upper * self.y_scale, self.upper + lower * self.y_scale)
        return self.crop.in_picture((left * self.x_scale, rows[0], right * self.x_scale, rows[1]), size)


def read_line(model: LineModel, picture: Image.Image, found: FoundLine, wanted: Wanted) -> Line:
    """Read the number of one line.

    Args:
        model: an open sequence model.
        picture: Image as `open_picture` returns it.
        found: the line.
        wanted: what the number must satisfy.

    Returns:
        The line; boxes are in pixels of `picture`.
    """
    image = _image(line_crop(picture, found))
    columns = model.columns(image.pixels)
    labels = model.metadata.labels
    if empty_probability(columns) > NO_NUMBER:
        return _without_number(picture, found)
    as_written = search(columns, labels, wanted.constraint, wanted.check)
    numbers = by_value([as_written])
    if not numbers or numbers[0].confidence < READ_AGAIN_BELOW:
        others = [model.columns(form) for form in _other_forms(image.pixels)]
        numbers = by_value([as_written, *(search(each, labels, wanted.constraint, wanted.check) for each in others)])
    best = numbers[0] if numbers else None
    if best is None:
        return Line("", 0.0, "uncertain", found.box)
    is_stated = wanted.constraint is not None or wanted.check is not None
    if not any(map(str.isdecimal, best.text)) or not (is_stated or _is_likely(best)):
        return _without_number(picture, found)
    status: ReadingStatus = "uncertain" if best.confidence < model.metadata.uncertain_below else "ok"
    boxes = _boxes(image, spans(columns, labels, best.text), model.metadata.column_px or 1, picture.size)
    digits = tuple(
        Digit(character, span.confidence, box) for character, (span, box) in zip(best.text, boxes, strict=False)
    )
    return Line(best.text, best.confidence, status, found.box, digits, _alternatives(numbers[1:]))


def _other_forms(pixels: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """A line image narrower and wider, each with and without its slant."""
    slant = slant_of(pixels)
    return [
        without_slant(pixels, share * slant, widening) for share, widening in zip(SLANT_SHARES, WIDENINGS, strict=True)
    ]


def _is_likely(number: Hypothesis) -> bool:
    """Whether the characters are confident enough to be a number at all."""
    return number.confidence >= MIN_CHARACTER ** len(number.text)


def _image(crop: LineCrop) -> _LineImage:
    levels = line_levels(crop.picture)
    pixels, (upper, lower) = banded_line_image(levels)
    scale = INK_HEIGHT / max(1, lower - upper)  # pixels of the line image for one of the levels
    width = min(max(1, round(levels.shape[1] * scale)), pixels.shape[1])
    y_scale = crop.picture.height / levels.shape[0]
    margin = (LINE_HEIGHT - INK_HEIGHT) / 2
    return _LineImage(pixels, crop, crop.picture.width / width, y_scale / scale, (upper - margin / scale) * y_scale)


def _without_number(picture: Image.Image, found: FoundLine) -> Line:
    status: ReadingStatus = "blank" if find_ink(picture, found.box).box is None else "not-a-number"
    return Line("", 0.0, status, found.box)


def _alternatives(numbers: list[Hypothesis]) -> tuple[Alternative, ...]:
    return tuple(
        Alternative(each.text, each.confidence)
        for each in numbers[:MAX_ALTERNATIVES]
        if each.confidence >= MIN_ALTERNATIVE and each.text
    )


def _boxes(image: _LineImage, found: list[Span], column_px: int, size: tuple[int, int]) -> list[tuple[Span, Box]]:
    """The columns and the box of each character: the ink between the middles of the gaps to its neighbours."""
    peaks = [(span.peak + 0.5) * column_px for span in found]
    width = image.pixels.shape[1]
    edges = [0.0, *((one + other) / 2 for one, other in pairwise(peaks)), float(width)]
    placed = []
    for number, span in enumerate(found):
        left, right = int(edges[number]), max(int(np.ceil(edges[number + 1])), int(edges[number]) + 1)
        placed.append((span, image.in_picture(_inked(image.pixels, left, right, int(peaks[number])), size)))
    return placed


def _inked(pixels: NDArray[np.uint8], left: int, right: int, peak: int) -> tuple[int, int, int, int]:
    """The ink in a range of columns around a peak: runs of ink that are at most a few pixels apart."""
    inked = pixels[:, left:right] >= INK_LEVEL
    columns = np.flatnonzero(inked.any(axis=0))
    if not len(columns):
        return left, 0, right, pixels.shape[0]
    columns = _near(columns, peak - left)
    rows = np.flatnonzero(inked[:, columns[0] : columns[-1] + 1].any(axis=1))
    return left + int(columns[0]), int(rows[0]), left + int(columns[-1]) + 1, int(rows[-1]) + 1


def _near(columns: NDArray[np.intp], peak: int) -> NDArray[np.intp]:
    """The run of inked columns at a peak."""
    without_ink = columns[-1] - columns[0] + 1 - len(columns)
    if without_ink < MAX_INK_GAP:  # most digits, in a fifth of the time
        return columns
    runs = np.split(columns, np.flatnonzero(np.diff(columns) > MAX_INK_GAP) + 1)
    return min(runs, key=lambda run: max(run[0] - peak, peak - run[-1], 0))
