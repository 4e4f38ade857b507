"""Placement of chart labels without overlap with other labels, points or bars."""

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.text import Annotation
from numpy.typing import NDArray

#: Font size, readable on a phone.
LABEL_POINTS = 9
#: Half the width of a marker, the minimum distance of labels from points.
_MARKER_POINTS = 6.0
#: Distance from a point where its line starts, in pixels.
_BEYOND_MARKER = 14.0
#: Distances from a point at which a label is tried, in points; the smallest free one is used.
_RINGS = (9, 14, 20, 28, 38, 50, 64, 80, 98, 118, 140)
#: Labels farther away than this get a line to their point.
_NEAR = 14
#: Directions in the order of preference: right, left, above, below, then diagonal.
_DEGREES = (0, 180, 90, 270, 30, 330, 150, 210, 60, 300, 120, 240)
#: Cost of a pixel outside the axes, in covered pixels.
_OUTSIDE = 10.0
#: Cost of a label that is nearer to another point than to its own, in covered pixels.
_MISLEADING = 50.0
_NOTHING = 1e-6

#: Boxes in pixels, (K, 4): left, bottom, right and top.
Boxes = NDArray[np.float64]


def label_points(
    axes: Axes, points: Sequence[tuple[float, float]], labels: Sequence[str], bars: Sequence[tuple[float, float]]
) -> list[Annotation]:
    """Label points; labels that are not next to their point get a line to it.

    Call this last: the limits of the axes and the size of the figure must not change afterwards.

    Args:
        axes: axes with the points.
        points: x and y in data units.
        labels: one label per point.
        bars: lowest and highest y of the vertical bar through each point.

    Returns:
        The annotations, in the order of the points.
    """
    figure = axes.figure.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()
    # freeze the layout, so that labels do not change it
    figure.set_layout_engine("none")
    centres = axes.transData.transform(np.array(points))
    lows = axes.transData.transform([(x, low) for (x, _), (low, _) in zip(points, bars, strict=True)])
    highs = axes.transData.transform([(x, high) for (x, _), (_, high) in zip(points, bars, strict=True)])
    dot = figure.dpi / 72
    marker = _MARKER_POINTS * dot
    half_bar = np.array([dot, 0.0])
    taken = np.vstack([np.hstack([centres - marker, centres + marker]), np.hstack([lows - half_bar, highs + half_bar])])
    annotations = []
    for point, label in zip(points, labels, strict=True):
        annotation = axes.annotate(label, point, (0, 0), textcoords="offset points", va="center", fontsize=LABEL_POINTS)
        annotation.set_in_layout(False)
        taken = np.vstack([taken, _place(annotation, axes, taken, centres)])
        annotations.append(annotation)
    return annotations


def _place(annotation: Annotation, axes: Axes, taken: Boxes, centres: NDArray[np.float64]) -> Boxes:
    """Move a label to the first free position, or to the position with the least overlap.

    Args:
        annotation: the label.
        axes: axes of the label.
        taken: boxes that the label must not cover.
        centres: all points in pixels, (K, 2).

    Returns:
        Boxes of the label and its line.
    """
    inside = np.array([axes.get_window_extent().extents])
    point = axes.transData.transform(annotation.xy)
    least, best, occupied = np.inf, (0.0, 0.0), taken[:0]
    for offset in _offsets():
        box = _box(annotation, offset)
        line = _line(point, box[0]) if np.hypot(*offset) > _NEAR else taken[:0]
        cost = _overlap(np.vstack([box, line]), taken) + _OUTSIDE * (_overlap(box, box) - _overlap(box, inside))
        cost += _MISLEADING * bool((_distance(centres, box[0]) < _distance(point, box[0]) - 1).any())
        if cost < least - _NOTHING:
            least, best, occupied = cost, offset, np.vstack([box, line])
        if least < _NOTHING:
            break
    box = _box(annotation, best)
    if np.hypot(*best) > _NEAR:
        ends = axes.transData.inverted().transform(np.stack([point, _nearest(point, box[0])]))
        axes.plot(*ends.T, color="0.55", linewidth=0.7, zorder=1, scalex=False, scaley=False)
    return occupied


def _offsets() -> Iterator[tuple[float, float]]:
    for radius in _RINGS:
        for degrees in _DEGREES:
            yield float(radius * np.cos(np.radians(degrees))), float(radius * np.sin(np.radians(degrees)))


def _box(annotation: Annotation, offset: tuple[float, float]) -> Boxes:
    """Move a label and return its box, (1, 4)."""
    annotation.xyann = offset
    if abs(offset[0]) < 1:
        annotation.set_horizontalalignment("center")
    else:
        annotation.set_horizontalalignment("left" if offset[0] > 0 else "right")
    return np.array([annotation.get_window_extent().padded(2.5).extents])


def _nearest(point: NDArray[np.float64], box: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the point of a box, (4,), nearest to a point, (2,), or to each of several points, (K, 2)."""
    nearest: NDArray[np.float64] = np.clip(point, box[:2], box[2:])
    return nearest


def _distance(point: NDArray[np.float64], box: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distance in pixels from a point, (2,), or several points, (K, 2), to a box, (4,)."""
    return np.asarray(np.linalg.norm(point - _nearest(point, box), axis=-1))


def _line(point: NDArray[np.float64], box: NDArray[np.float64]) -> Boxes:
    """Return the line from a point to its label as small boxes, without its ends."""
    direction = _nearest(point, box) - point
    length = max(float(np.hypot(*direction)), 1.0)
    centres = point + np.arange(_BEYOND_MARKER, length - 2, 2.0)[:, np.newaxis] / length * direction
    return np.hstack([centres - 1, centres + 1])


def _overlap(boxes: Boxes, others: Boxes) -> float:
    """Return the overlapping area of two sets of boxes, summed over all pairs."""
    low = np.maximum(boxes[:, np.newaxis, :2], others[:, :2])
    high = np.minimum(boxes[:, np.newaxis, 2:], others[:, 2:])
    return float(np.maximum(high - low, 0).prod(axis=2).sum())
