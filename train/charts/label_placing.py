"""Labels beside the points of a chart, placed so that none covers another, a point or a bar."""

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.text import Annotation
from numpy.typing import NDArray

#: Readable where a phone shrinks the chart to its width.
LABEL_POINTS = 9
#: Half a marker's width; no label comes nearer to a point.
_MARKER_POINTS = 6.0
#: Where a line leaves its own point's marker, in pixels.
_BEYOND_MARKER = 14.0
#: Rings around a point on which a label is tried, in points; the innermost that is free is taken.
_RINGS = (9, 14, 20, 28, 38, 50, 64, 80, 98, 118, 140)
#: A label on a ring beyond this gets a line to its point.
_NEAR = 14
#: Right first, then left, above and below, then between.
_DEGREES = (0, 180, 90, 270, 30, 330, 150, 210, 60, 300, 120, 240)
#: How much a pixel outside the axes weighs against one that is covered.
_OUTSIDE = 10.0
#: What it weighs, in covered pixels, that another point is nearer to a label than its own.
_MISLEADING = 50.0
_NOTHING = 1e-6

#: Corners in pixels: (K, 4), left, bottom, right and top of each box.
Boxes = NDArray[np.float64]


def label_points(
    axes: Axes, points: Sequence[tuple[float, float]], labels: Sequence[str], bars: Sequence[tuple[float, float]]
) -> list[Annotation]:
    """Write each label near its point; one that must be farther off gets a line to it.

    Call it last: the axes' limits and the figure's size must not change afterwards.

    Args:
        axes: where the points are drawn.
        points: x and y, in data units.
        labels: one for each point.
        bars: the lowest and highest y of the vertical bar through each point.

    Returns:
        The annotations, in the order of the points.
    """
    figure = axes.figure.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()
    # the layout is settled now; labels must not move it
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
    """Move a label to the first free place; where there is none, to that which covers least.

    Args:
        annotation: the label.
        axes: where it stands.
        taken: what it must not cover.
        centres: of all points, (K, 2), in pixels.

    Returns:
        The boxes of the label and of its line.
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
    """Move a label, and say which box it takes, (1, 4)."""
    annotation.xyann = offset
    if abs(offset[0]) < 1:
        annotation.set_horizontalalignment("center")
    else:
        annotation.set_horizontalalignment("left" if offset[0] > 0 else "right")
    return np.array([annotation.get_window_extent().padded(2.5).extents])


def _nearest(point: NDArray[np.float64], box: NDArray[np.float64]) -> NDArray[np.float64]:
    """The point of a box, (4,), that is nearest to a point, (2,), or to each of several, (K, 2)."""
    nearest: NDArray[np.float64] = np.clip(point, box[:2], box[2:])
    return nearest


def _distance(point: NDArray[np.float64], box: NDArray[np.float64]) -> NDArray[np.float64]:
    """From a point, (2,), or several, (K, 2), to a box, (4,), in pixels."""
    return np.asarray(np.linalg.norm(point - _nearest(point, box), axis=-1))


def _line(point: NDArray[np.float64], box: NDArray[np.float64]) -> Boxes:
    """The line from a point to its label as small boxes, without its ends, which touch both."""
    way = _nearest(point, box) - point
    length = max(float(np.hypot(*way)), 1.0)
    centres = point + np.arange(_BEYOND_MARKER, length - 2, 2.0)[:, np.newaxis] / length * way
    return np.hstack([centres - 1, centres + 1])


def _overlap(boxes: Boxes, others: Boxes) -> float:
    """The area that boxes share with others, summed over all pairs."""
    low = np.maximum(boxes[:, np.newaxis, :2], others[:, :2])
    high = np.minimum(boxes[:, np.newaxis, 2:], others[:, 2:])
    return float(np.maximum(high - low, 0).prod(axis=2).sum())
