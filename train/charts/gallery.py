"""Grids of images with captions and optional saliency maps."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray

from digits_edge.runtime.model.image_input import Polarity
from digits_edge.train.charts.drawing import PALETTE, WIDTH_INCHES, draw_image, new_figure

_POSITIVE, _NEGATIVE, _WRONG = PALETTE[1], PALETTE[0], PALETTE[1]
#: Opacity of an overlay at its maximum.
_OPACITY = 0.8


@dataclass(frozen=True, eq=False)
class Tile:
    """One image of a grid.

    Attributes:
        image: uint8 (H, W) or (H, W, 3).
        caption: one or two lines below the image.
        wrong: whether the image has an orange frame.
        overlay: saliency map, (H, W), −1 to 1; positive values are orange, negative values blue.
    """

    image: NDArray[np.uint8]
    caption: str
    wrong: bool = False
    overlay: NDArray[np.floating] | None = None


def draw_gallery(
    tiles: Sequence[Tile | None], columns: int, *, font_size: float = 9.5, polarity: Polarity = "white-on-black"
) -> Figure:
    """Draw images in a grid, row by row.

    Args:
        tiles: the images; None leaves a cell empty.
        columns: number of columns.
        font_size: size of the captions in points.
        polarity: polarity of the images.
    """
    rows = -(-len(tiles) // columns)
    lines = max(tile.caption.count("\n") + 1 for tile in tiles if tile)
    cell = WIDTH_INCHES / columns
    figure = new_figure(rows * (0.94 * cell + lines * font_size / 72 * 1.35))
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for axes, tile in zip(grid.flat, tiles, strict=False):
        if tile is not None:
            _draw_tile(axes, tile, font_size, polarity)
    return figure


def _draw_tile(axes: Axes, tile: Tile, font_size: float, polarity: Polarity) -> None:
    axes.axis("on")
    draw_image(axes, tile.image, polarity)
    if tile.overlay is not None:
        axes.imshow(_coloured(tile.overlay), interpolation="bilinear")
    axes.spines[:].set(color=_WRONG if tile.wrong else "#d8dee4", linewidth=2.5 if tile.wrong else 0.8)
    axes.set_xlabel(tile.caption, fontsize=font_size, labelpad=3)


def _coloured(overlay: NDArray[np.floating]) -> NDArray[np.float64]:
    """Convert a map to RGBA, (H, W, 4)."""
    colour = np.where((overlay >= 0)[..., None], to_rgb(_POSITIVE), to_rgb(_NEGATIVE))
    return np.concatenate([colour, _OPACITY * np.abs(overlay)[..., None]], axis=-1)
