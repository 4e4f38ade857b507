"""Outlines of digits as distances to the edge of the ink, from which strokes of any width can be drawn: `outlines_of`.

Adding a number to all distances widens the strokes by twice that number; a smooth field instead of a number gives the
pressure of a pen. Distances can be bent and sheared like an image.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

Field = NDArray[np.float32]

#: Side of the canvas, and longer side of a digit on it: a little more than twice the pixels of MNIST.
CANVAS_PX = 96
DIGIT_PX = 48
#: Pixels above this level are ink.
INK_LEVEL = 127
#: Standard deviation of the blur that rounds the steps of distances between whole pixels.
_ROUNDING_PX = 0.7
#: By how much that blur lowers the distances in the middle of a stroke.
_LOWERED_PX = 0.8 * _ROUNDING_PX
#: Pixels in the middle of strokes have distances this close to the largest one around them.
_RIDGE_PX = 0.2
#: Holes of fewer pixels are flaws of the drawing.
_MIN_HOLE_PX = 6
_NO_HOLE_PX = float(CANVAS_PX)


@dataclass(frozen=True, eq=False)
class Outlines:
    """N digits, each with its longer side `DIGIT_PX` in the middle of a square canvas of `CANVAS_PX`.

    Attributes:
        distances: float32 (N, CANVAS_PX, CANVAS_PX), distance to the edge of the ink in pixels, positive in the ink.
        half_widths: float32 (N,), median of half the stroke width, in pixels.
        thinnest: float32 (N,), half the width of the thinnest tenth of the strokes, in pixels.
        gaps: float32 (N,), half the width of the narrowest hole, in pixels; `CANVAS_PX` without a hole.
        slants: float32 (N,), pixels to the right per pixel upwards; 0 is upright.
    """

    distances: Field
    half_widths: Field
    thinnest: Field
    gaps: Field
    slants: Field

    def __len__(self) -> int:
        """Number of digits."""
        return len(self.distances)

    def taken(self, rows: NDArray[np.intp]) -> "Outlines":
        """Return the digits of the given rows."""
        return Outlines(
            self.distances[rows], self.half_widths[rows], self.thinnest[rows], self.gaps[rows], self.slants[rows]
        )


def outlines_of(drawings: Iterable[NDArray[np.uint8]]) -> Outlines:
    """Compute the outlines of drawings.

    Args:
        drawings: uint8 (H, W) each, white ink on black, of any size, with a pixel above `INK_LEVEL`.

    Example:
        >>> square = np.full((8, 8), 255, np.uint8)
        >>> found = outlines_of([square])
        >>> found.distances.shape, bool(found.gaps[0] == CANVAS_PX)
        ((1, 96, 96), True)
    """
    distances, measures = [], []
    for drawing in drawings:
        canvas = _on_canvas(drawing)
        field = _distances(canvas > INK_LEVEL)
        distances.append(field)
        measures.append(_measures(field))
    columns = np.array(measures, np.float32).reshape(-1, 4).T
    stacked = np.stack(distances) if distances else np.empty((0, CANVAS_PX, CANVAS_PX), np.float32)
    return Outlines(stacked, *columns)


def _on_canvas(drawing: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Scale a drawing, cropped to its ink, to the middle of the canvas."""
    rows, columns = (np.flatnonzero((drawing > INK_LEVEL).any(axis=axis)) for axis in (1, 0))
    cut = drawing[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    factor = DIGIT_PX / max(cut.shape)
    # a border keeps the interpolation from extending the ink beyond the crop
    border = -(-max(cut.shape) // DIGIT_PX) + 1
    padded = np.pad(cut, border)
    size = [max(1, round(side * factor)) for side in padded.shape]
    resized = Image.fromarray(padded).resize((size[1], size[0]), Image.Resampling.BICUBIC)
    canvas = np.zeros((CANVAS_PX, CANVAS_PX), np.uint8)
    scaled = np.asarray(resized)[:CANVAS_PX, :CANVAS_PX]
    top, left = (CANVAS_PX - scaled.shape[0]) // 2, (CANVAS_PX - scaled.shape[1]) // 2
    canvas[top : top + scaled.shape[0], left : left + scaled.shape[1]] = scaled
    return canvas


def _distances(ink: NDArray[np.bool_]) -> Field:
    inside, outside = ndimage.distance_transform_edt(ink), ndimage.distance_transform_edt(~ink)
    signed = np.where(ink, inside - 0.5, 0.5 - outside)
    return np.asarray(ndimage.gaussian_filter(signed, _ROUNDING_PX), np.float32)


def _measures(field: Field) -> tuple[float, float, float, float]:
    """Half width, thinnest half width, gap and slant of one digit."""
    ink = field > 0
    if not ink.any():
        return 0.0, 0.0, _NO_HOLE_PX, 0.0
    ridge = field[ink & (field >= ndimage.maximum_filter(field, 3) - _RIDGE_PX)]
    half_width, thinnest = np.percentile(ridge, (50, 10)) + _LOWERED_PX
    holes, count = ndimage.label(~ink)
    areas = np.bincount(holes.ravel(), minlength=count + 1)
    outer = holes[0, 0]
    inner = [label for label in range(1, count + 1) if label != outer and areas[label] >= _MIN_HOLE_PX]
    gap = min((float(-field[holes == label].min()) for label in inner), default=_NO_HOLE_PX)
    y, x = np.nonzero(ink)
    across, down = x - x.mean(), y - y.mean()
    slant = -float((across * down).sum()) / max(1.0, float((down * down).sum()))
    return float(half_width), float(thinnest), gap, slant
