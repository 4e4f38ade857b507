"""Table and diagram of the layers of a model."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from digits_edge.train.charts.drawing import PALETTE, new_figure
from digits_edge.train.models.layer import Layer
from digits_edge.train.report.page import Table

_ROW_INCHES, _BOX_HEIGHT = 0.4, 0.68
_BOX_LEFT, _BOX_RIGHT, _LANE = 0.05, 5.2, 0.2
#: Part of a layer's kind → colour; other layers are grey.
_COLOURS = {
    "conv": PALETTE[0],
    "dense": PALETTE[1],
    "gemm": PALETTE[1],
    "matmul": PALETTE[1],
    "pool": PALETTE[2],
    "add": PALETTE[3],
    "concat": PALETTE[3],
    "norm": PALETTE[4],
}
_GREY = "#8c959f"


def layer_table(layers: Sequence[Layer]) -> Table:
    """Create a table with a row per layer and the total number of parameters in the caption."""
    total = sum(layer.parameters for layer in layers)
    rows = [
        [layer.name, layer.kind, layer.detail, shape_text(layer.shape), f"{layer.parameters:,}"] for layer in layers
    ]
    return Table(
        ["name", "kind", "settings", "output", "parameters"], rows, caption=f"{total:,} parameters in total", left=3
    )


def shape_text(shape: Sequence[int | None]) -> str:
    """Format a shape.

    Example:
        >>> shape_text((14, 14, 64))
        '14×14×64'
    """
    return "×".join("?" if size is None else str(size) for size in shape)


def draw_diagram(layers: Sequence[Layer]) -> Figure:
    """Draw a box per layer from input to output; connections that skip layers are at the side."""
    figure = new_figure(_ROW_INCHES * (len(layers) + 0.5))
    axes = figure.subplots()
    position = {layer.name: row for row, layer in enumerate(layers)}
    skips = [
        (position[name], row) for row, layer in enumerate(layers) for name in layer.inputs if row - position[name] > 1
    ]
    for row, layer in enumerate(layers):
        _draw_box(axes, row, layer)
        if row and layers[row - 1].name in layer.inputs:
            _draw_arrow(axes, row)
    lanes = _lanes(skips)
    for (start, end), lane in zip(skips, lanes, strict=True):
        _draw_skip(axes, start, end, _BOX_RIGHT + _LANE * (lane + 1))
    axes.set(xlim=(0, _BOX_RIGHT + _LANE * (max(lanes, default=-1) + 1.5)), ylim=(len(layers) - 0.4, -0.6))
    axes.axis("off")
    return figure


def _colour(kind: str) -> str:
    return next((colour for word, colour in _COLOURS.items() if word in kind.lower()), _GREY)


def _draw_box(axes: Axes, row: int, layer: Layer) -> None:
    colour = _colour(layer.kind)
    corner = (_BOX_LEFT, row - _BOX_HEIGHT / 2)
    size = _BOX_RIGHT - _BOX_LEFT, _BOX_HEIGHT
    shape = "round,pad=0,rounding_size=0.08"
    axes.add_patch(FancyBboxPatch(corner, *size, boxstyle=shape, facecolor=f"{colour}26", edgecolor=colour))
    text = f"{layer.kind}  {layer.detail}".strip()
    axes.text(_BOX_LEFT + 0.12, row, text, va="center", fontsize=10.5)
    axes.text(_BOX_RIGHT - 0.12, row, shape_text(layer.shape), va="center", ha="right", fontsize=10.5, color="#57606a")


def _draw_arrow(axes: Axes, row: int) -> None:
    middle = (_BOX_LEFT + _BOX_RIGHT) / 2
    gap = 1 - _BOX_HEIGHT
    axes.annotate(
        "",
        (middle, row - _BOX_HEIGHT / 2),
        (middle, row - _BOX_HEIGHT / 2 - gap),
        arrowprops={"arrowstyle": "-|>", "color": _GREY, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 7},
    )


def _draw_skip(axes: Axes, start: int, end: int, x: float) -> None:
    axes.plot([_BOX_RIGHT, x, x], [start, start, end], color=PALETTE[3], linewidth=1.5, solid_joinstyle="round")
    axes.annotate(
        "",
        (_BOX_RIGHT, end),
        (x, end),
        arrowprops={"arrowstyle": "-|>", "color": PALETTE[3], "linewidth": 1.5, "shrinkA": 0, "shrinkB": 0},
    )


def _lanes(skips: Sequence[tuple[int, int]]) -> list[int]:
    """Return for each connection the innermost lane without an overlapping connection."""
    taken: list[tuple[int, int, int]] = []
    for start, end in skips:
        overlapping = {lane for other_start, other_end, lane in taken if other_start <= end and start <= other_end}
        lane = next(lane for lane in range(len(taken) + 1) if lane not in overlapping)
        taken.append((start, end, lane))
    return [lane for *_, lane in taken]
