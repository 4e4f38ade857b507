"""The connected components of ink that are the digit, without specks and noise: `cleaned`."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.preprocessing.levels import Box, border, mean
from digits_edge.runtime.preprocessing.morphology import (
    MEDIAN,
    Array,
    Mask,
    blurred,
    boxes,
    otsu,
    percentile,
    pieces,
    running,
)
from digits_edge.runtime.preprocessing.separate_digits import separate_digits

#: Standard deviation of noise divided by the median difference of neighbouring pixels.
NOISE_PER_DIFFERENCE = 1.05
#: The radius of the box filter before the threshold is the longer side divided by this.
SMOOTHING_DIVISOR = 100

# --- connected components of the digit -------------------------------------------------------------------------------

#: Threshold of ink, as a share of Otsu's.
INK_THRESHOLD = 0.7
#: The same on textured paper, whose pattern is fainter than the ink.
TEXTURED_INK_THRESHOLD = 0.85
#: The weight of ink decreases to 0 over this share of the width and height at each edge.
EDGE_SHARE = 0.1
#: Minimum share of its longer side that a component has on the picture's border to count as part of the border.
BORDER_COMPONENT_SHARE = 0.6
#: Factor of the weight of such components.
BORDER_COMPONENT_WEIGHT = 0.05
#: A component that covers this share of a crop's width and of its height is a digit, not a part of the border.
MIN_CROP_COVERAGE = 0.5
#: Minimum weight of a component of the digit, as a share of the heaviest one's.
MIN_COMPONENT_WEIGHT = 0.02
#: The same on textured paper, of whose pattern fragments remain.
TEXTURED_COMPONENT_WEIGHT = 0.2
#: Minimum weight of a component of another digit, as a share of the heaviest one's.
MIN_PART_WEIGHT = 0.1
#: Maximum distance of a component from the digit, as a share of the digit's longer side.
MAX_COMPONENT_GAP = 0.2
#: Side of the square by which the digit's mask is dilated, in pixels.
DIGIT_DILATION = 3
#: Minimum contrast of ink, of 255 and as a multiple of the paper's noise. The faintest of 274 real pictures has 31;
#: blank pages with noise up to 25 stay below 1.6 times their noise or 8 of 255.
MIN_CONTRAST = 12
MIN_CONTRAST_TO_NOISE = 2.5
#: Minimum size of a digit, as a share of the picture's longer side and in pixels; smaller ink on an empty page is dust.
MIN_SHARE = 0.04
MIN_PIXELS = 3


@dataclass(frozen=True)
class Paper:
    """What is known of the paper.

    Attributes:
        noise: Standard deviation of its noise, in levels.
        margin: Width of the margin that was added around the picture, in pixels.
        is_crop: Whether the picture is a crop of a digit.
        is_textured: Whether the paper of a crop has a pattern.
    """

    noise: float
    margin: int = 0
    is_crop: bool = False
    is_textured: bool = False


@dataclass(frozen=True)
class Digit:
    """The result of `cleaned`.

    Attributes:
        ink: float32, (H, W): 0 outside the digit; all 0 if there is no digit.
        boxes: Boxes of the digits from left to right if there are several side by side; otherwise empty.
    """

    ink: Array
    boxes: tuple[Box, ...] = ()


@dataclass(frozen=True)
class _Pieces:
    """The connected components of ink.

    Attributes:
        boxes: int, (P, 4), left, upper, right, lower.
        weights: float64, (P,), sum of ink weighted by centredness.
        border_pixels: int, (P,), number of a component's pixels on the picture's border.
        covers_crop: bool, (P,), whether a component covers a crop too much to be a part of its border.
    """

    boxes: NDArray[np.intp]
    weights: NDArray[Any]
    border_pixels: NDArray[np.intp]
    covers_crop: Mask


def cleaned(ink: Array, paper: Paper) -> Digit:
    """Keep only the digit: remove specks and the edge of the table.

    The digit is the heaviest connected component of ink and the components close to it.

    Args:
        ink: float32, (H, W), as `without_rules` returns it.
        paper: What is known of the paper.

    Example:
        >>> ink = np.zeros((100, 100), np.float32)
        >>> ink[20:80, 45:55] = 200
        >>> ink[5, 5] = 200
        >>> digit = cleaned(ink, Paper(noise=1))
        >>> float(digit.ink[50, 50]), float(digit.ink[5, 5]), digit.boxes
        (200.0, 0.0, ())
    """
    smooth = blurred(ink, max(ink.shape) // SMOOTHING_DIVISOR)
    threshold = otsu(smooth)
    mask = np.asarray(smooth > (TEXTURED_INK_THRESHOLD if paper.is_textured else INK_THRESHOLD) * threshold)
    numbered, count = pieces(mask)
    nothing = Digit(np.zeros_like(ink))
    if count == 0:
        return nothing
    found_pieces = _measured(numbered, count, smooth, paper)
    piece_boxes, weights = found_pieces.boxes, found_pieces.weights
    heaviest, possible = _candidates(
        found_pieces, TEXTURED_COMPONENT_WEIGHT if paper.is_textured else MIN_COMPONENT_WEIGHT
    )
    digit = np.append(False, _digit_pieces(piece_boxes, heaviest, possible))[numbered]
    if not _stands_out(smooth, digit, mask, paper.noise):
        return nothing
    near = running(np.maximum, digit, DIGIT_DILATION, DIGIT_DILATION)
    is_part = possible & (weights > MIN_PART_WEIGHT * weights[heaviest]) | (np.arange(count) == heaviest)
    found: list[Box] = []
    if np.count_nonzero(is_part) > 1:
        parts: list[Box] = [(box[0], box[1], box[2], box[3]) for box in piece_boxes[is_part].tolist()]
        found = separate_digits(parts, stroke_width(np.append(False, is_part)[numbered]))
    return Digit(np.where(near, ink, 0), tuple(found))


def noise_of(levels: Array) -> float:
    """The standard deviation of the paper's noise, from the median difference of neighbours, which ignores strokes."""
    if levels.shape[1] < 2:
        return 0.0
    return NOISE_PER_DIFFERENCE * float(percentile(np.abs(np.diff(levels, axis=1)).ravel(), MEDIAN))


def _centredness(ink: Array) -> Array:
    """Weights of pixels: 1, decreasing to 0 near the edges, where tables, shadows and spiral bindings are."""
    rows, columns = (np.minimum(np.arange(n) + 0.5, n - np.arange(n) - 0.5) / (EDGE_SHARE * n) for n in ink.shape)
    return np.asarray(np.minimum(1, np.minimum.outer(rows, columns)), np.float32)


def _measured(numbered: NDArray[np.intp], count: int, ink: Array, paper: Paper) -> _Pieces:
    height, width = (side - 2 * paper.margin for side in ink.shape)
    inside = slice(paper.margin, paper.margin + height), slice(paper.margin, paper.margin + width)
    weighted = ink[inside] * _centredness(ink[inside])
    weights = np.bincount(numbered[inside].ravel(), weighted.ravel(), count + 1)[1:]
    border_pixels = np.bincount(border(numbered[inside]), minlength=count + 1)[1:]
    piece_boxes = boxes(numbered, count)
    left, upper, right, lower = piece_boxes.T
    covers = (right - left >= MIN_CROP_COVERAGE * width) & (lower - upper >= MIN_CROP_COVERAGE * height)
    return _Pieces(piece_boxes, weights, border_pixels, covers & paper.is_crop)


def _candidates(found: _Pieces, min_weight: float) -> tuple[int, Mask]:
    """The heaviest component, and the components that may belong to the digit, bool (P,).

    Args:
        found: The components.
        min_weight: Minimum weight of a component of the digit, as a share of the heaviest one's.
    """
    left, upper, right, lower = found.boxes.T
    weights, border_pixels = found.weights, found.border_pixels
    along_border = border_pixels > BORDER_COMPONENT_SHARE * np.maximum(right - left, lower - upper)
    along_border &= ~found.covers_crop
    heaviest = int(np.argmax(np.where(along_border, BORDER_COMPONENT_WEIGHT * weights, weights)))
    touches = border_pixels > 0
    # A component that touches the border belongs to the digit only if the digit does: the picture was cropped tightly.
    return heaviest, ((weights > min_weight * weights[heaviest]) & ~along_border & (touches <= touches[heaviest]))


def _digit_pieces(piece_boxes: NDArray[np.intp], heaviest: int, possible: Mask) -> Mask:
    """Select the components of the digit, bool (P,): the heaviest, then repeatedly those close to the selected ones."""
    left, upper, right, lower = piece_boxes.T
    selected: Mask = np.arange(len(piece_boxes)) == heaviest
    while True:
        x0, y0 = piece_boxes[selected, :2].min(0)
        x1, y1 = piece_boxes[selected, 2:].max(0)
        gap = np.maximum.reduce([left - x1, x0 - right, upper - y1, y0 - lower])
        encloses = (left < x0) & (upper < y0) & (right > x1) & (lower > y1)  # a frame drawn around the digit
        more = selected | (possible & ~encloses & (gap <= MAX_COMPONENT_GAP * max(x1 - x0, y1 - y0)))
        if np.array_equal(more, selected):
            return selected
        selected, possible = more, possible & ~encloses


def stroke_width(mask: Mask) -> float:
    """The mean width of strokes in pixels: twice their area divided by their outline, averaged over directions.

    Args:
        mask: bool, (H, W), not empty.

    Example:
        >>> stroke_width(np.ones((4, 400), np.bool_))  # a bar that is parallel to an axis appears wider
        5.0...
    """
    padded = np.pad(mask, 1)
    outline = sum(int(np.count_nonzero(np.diff(padded, axis=axis))) for axis in (0, 1))
    return 2 * int(np.count_nonzero(mask)) / (outline * np.pi / 4)


def _stands_out(ink: Array, digit: Mask, mask: Mask, noise: float) -> bool:
    """Whether the digit is larger than a speck and has more contrast than the paper's noise."""
    left, upper, right, lower = bounds(digit)
    paper = ink[~mask]
    contrast = mean(ink[digit]) - (mean(paper) if paper.size else 0.0)
    is_large = max(right - left, lower - upper) > max(MIN_PIXELS, MIN_SHARE * max(ink.shape))
    return is_large and contrast > max(MIN_CONTRAST, MIN_CONTRAST_TO_NOISE * noise)


def bounds(mask: Mask) -> Box:
    """Left, upper, right, lower of a mask that is not empty; right and lower are exclusive."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
