"""Removal of the lines of ruled and squared paper: `without_rules`.

The numeric constants are exported to JavaScript by `digits_edge.export.targets.preprocessing_constants`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.preprocessing.morphology import Array, Mask, on_grid, opened, otsu, percentile, running

#: Threshold of ruled lines, as a share of Otsu's.
RULE_THRESHOLD = 0.3
#: Lines thicker than the longer side divided by this are not ruled lines.
RULE_THICKNESS_DIVISOR = 25
#: Lines are searched with a slope of up to this many pixels per pixel, which is 3.4 degrees.
MAX_RULE_SLOPE = 0.06
#: Height of the dilation before the search, in pixels: a slanted line changes between two rows of pixels.
RULE_DILATION = 3
#: Minimum share of a line's pixels that are ink, and that are ink as thin as a line: the digit covers the others.
MIN_RULE_COVERAGE = 0.9
MIN_THIN_COVERAGE = 0.45
#: Minimum length of a line in the picture, as a share of the width: slanted lines are cut off in the corners.
MIN_RULE_LENGTH = 0.3
#: Number of parallel lines that no digit has.
MANY_RULES = 3
#: Maximum width of everything else if there are fewer lines, as a share of the width. The bar of a "7" that was cropped
#: tightly reaches from edge to edge too, but the rest of the "7" is as wide.
MAX_WIDTH_BESIDE_RULES = 0.8
#: Percentile of a line's levels that is subtracted.
RULE_PERCENTILE = 75
#: Side in pixels of the closing that joins strokes where a line was subtracted.
RULE_CLOSING = 7


@dataclass(frozen=True)
class _Rules:
    """Nearly horizontal lines.

    Attributes:
        band: bool, (H, W), the pixels of the lines.
        levels: float32, (H, W), the lines without the digit; 0 elsewhere.
        count: Number of lines.
    """

    band: Mask
    levels: Array
    count: int


def without_rules(ink: Array) -> Array:
    """Subtract the lines of ruled and squared paper.

    The lines of both directions are found first, because each hides the digit from the other. Where ink is as light as
    a line, the stroke is closed again from both sides of the line.

    Args:
        ink: float32, (H, W), as `without_background` returns it, of a page. In a crop of a digit, a straight stroke
            reaches from edge to edge, and lines and strokes would be a pixel wide.

    Returns:
        float32, (H, W); `ink` itself if there are no lines.

    Example:
        >>> ink = np.zeros((100, 100), np.float32)
        >>> ink[10::20] = ink[:, 5::20] = 90
        >>> ink[30:70, 48:52] = 200
        >>> cleared = without_rules(ink)
        >>> float(cleared[50, 50]), float(cleared[50, 20]), float(cleared[20, 45])
        (200.0, 0.0, 0.0)
    """
    threshold = RULE_THRESHOLD * otsu(ink)
    mask = np.asarray(ink > threshold)
    across, down = _rules(ink, mask, threshold), _rules(ink.T, mask.T, threshold)
    rest = mask & ~across.band & ~down.band.T
    across, down = _if_beyond(across, rest), _if_beyond(down, rest.T)
    if across.count + down.count == 0:
        return ink
    cleared = np.maximum(ink - np.maximum(across.levels, down.levels.T), 0)
    joined = np.maximum(across.band * _closed(cleared), (down.band * _closed(cleared.T)).T)
    return np.asarray(np.maximum(cleared, np.minimum(ink, joined)))


def _rules(ink: Array, mask: Mask, threshold: float) -> _Rules:
    """The nearly horizontal lines that reach from edge to edge, all with the slope that finds the most pixels."""
    width = ink.shape[1]
    if np.count_nonzero(mask.any(0)) < MIN_RULE_COVERAGE * width:
        return _no_rules(ink.shape)
    thin = ink - opened(ink, max(ink.shape) // RULE_THICKNESS_DIVISOR | 1, 1) > threshold
    if np.count_nonzero(thin.any(0)) < MIN_THIN_COVERAGE * width:
        return _no_rules(ink.shape)
    inked, thin = (running(np.maximum, each, RULE_DILATION, 1) for each in (mask, np.asarray(thin)))
    candidates = [(rows, *_rule_rows(rows, inked, thin)) for rows in _slanted_rows(ink.shape)]
    rows, is_rule, _ = max(candidates, key=lambda candidate: candidate[2])  # the first of equals
    return _rules_along(ink, rows, is_rule)


def _slanted_rows(shape: tuple[int, ...]) -> Iterator[NDArray[np.intp]]:
    """For each slope, the rows of parallel lines: int, (lines, W); those outside the picture are invalid."""
    height, width = shape
    most = int(MAX_RULE_SLOPE * width)
    first = np.arange(-most, height + most)[:, np.newaxis]
    for slope in sorted(range(-most, most + 1), key=abs):
        yield first + (slope * (2 * np.arange(width) - width + 1) + width) // (2 * width)


def _rule_rows(rows: NDArray[np.intp], inked: Mask, thin: Mask) -> tuple[Mask, int]:
    """Which of the slanted rows are lines, bool (lines,), and the number of their thin pixels."""
    height, width = inked.shape
    inside = (rows >= 0) & (rows < height)
    places = np.clip(rows, 0, height - 1), np.arange(width)
    length, ink_pixels = inside.sum(1), (inked[places] & inside).sum(1)
    thin_pixels = (thin[places] & inside).sum(1)
    is_rule = (
        (length >= MIN_RULE_LENGTH * width)
        & (ink_pixels >= MIN_RULE_COVERAGE * length)
        & (thin_pixels >= MIN_THIN_COVERAGE * length)
    )
    return is_rule, int(thin_pixels[is_rule].sum())


def _rules_along(ink: Array, rows: NDArray[np.intp], is_rule: Mask) -> _Rules:
    found = _no_rules(ink.shape)
    for line in rows[is_rule]:
        columns = np.flatnonzero((line >= 0) & (line < len(ink)))
        places = line[columns], columns
        found.band[places] = True
        found.levels[places] = on_grid(percentile(ink[places], RULE_PERCENTILE))
    count = int(np.count_nonzero(is_rule[1:] & ~is_rule[:-1])) + int(is_rule[0])
    return _Rules(found.band, found.levels, count)


def _if_beyond(rules: _Rules, rest: Mask) -> _Rules:
    """The lines if they are many or reach beyond everything else, and there is anything else."""
    columns = np.flatnonzero(rest.any(0))
    is_ruled = len(columns) > 0 and (
        rules.count >= MANY_RULES or int(columns[-1] - columns[0]) < MAX_WIDTH_BESIDE_RULES * rest.shape[1]
    )
    return rules if is_ruled else _no_rules(rest.shape)


def _closed(ink: Array) -> Array:
    """A morphological closing along columns."""
    return running(np.minimum, running(np.maximum, ink, RULE_CLOSING, 1), RULE_CLOSING, 1)


def _no_rules(shape: tuple[int, ...]) -> _Rules:
    return _Rules(np.zeros(shape, np.bool_), np.zeros(shape, np.float32), 0)
