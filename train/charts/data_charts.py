"""Charts of the data report: classes, pixel values, samples and pairs of similar images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from digits_edge.runtime.model.image_input import Polarity
from digits_edge.train.charts.drawing import (
    AMOUNTS,
    PALETTE,
    WIDTH_INCHES,
    draw_image,
    name_text,
    new_figure,
    quiet_axes,
)

_MARKED, _FRAME, _MUTED = PALETTE[1], "#d8dee4", "#57606a"
_FONT = 11
#: Grey levels per bin; a histogram of single levels is uneven, because scanners and resizing favour some levels.
_LEVELS_PER_BIN = 8


@dataclass(frozen=True, eq=False)
class PairTile:
    """Two images side by side.

    Attributes:
        left: first image, uint8 (H, W) or (H, W, 3).
        right: second image, of the same shape.
        caption: text below the images.
        marked: whether the frame is orange.
    """

    left: NDArray[np.uint8]
    right: NDArray[np.uint8]
    caption: str
    marked: bool = False


def draw_classes(shares: Mapping[str, Sequence[float]], names: Sequence[str]) -> Figure:
    """Draw the class distribution of each split as bars, with a dashed line at equal shares.

    Args:
        shares: for each split, the share of each class, 0 to 1.
        names: class names.
    """
    figure = new_figure(max(4.4, 0.8 + 0.22 * len(names)))
    axes = figure.subplots()
    height = 0.8 / len(shares)
    for index, (split, own) in enumerate(shares.items()):
        place = np.arange(len(names)) + (index - (len(shares) - 1) / 2) * height
        axes.barh(place, own, height, color=PALETTE[index], label=split)
    axes.axvline(1 / len(names), color="black", linewidth=1, linestyle="--", label="all equal")
    axes.set_yticks(range(len(names)), [name_text(name) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=None))
    quiet_axes(axes, x="share of the split's images", y="" if len(max(names, key=len)) > 2 else "label")
    axes.grid(visible=False, axis="y")
    figure.legend(loc="outside upper right", ncols=3, frameon=False)
    return figure


def draw_levels(counts: Mapping[str, Sequence[int]], edges: NDArray[np.float64], x: str) -> Figure:
    """Draw a histogram of the pixel values of each split.

    Args:
        counts: for each split, the number of pixels with each of the 256 grey levels.
        edges: edges of the 32 bins on the x axis, (33,).
        x: label of the x axis.
    """
    figure = new_figure(3.4)
    axes = figure.subplots()
    for index, (split, own) in enumerate(counts.items()):
        shares = np.array(own).reshape(-1, _LEVELS_PER_BIN).sum(axis=1) / sum(own)
        # different line styles, because the lines of similar splits overlap
        axes.stairs(shares, edges, color=PALETTE[index], label=split, linewidth=2, linestyle=("-", "--")[index])
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
    quiet_axes(axes, x=x, y="share of pixels, log")
    if len(counts) > 1:
        axes.legend(frameon=False)
    return figure


def level_edges() -> NDArray[np.float64]:
    """Return the bin edges in grey levels, float64 (33,); level v is between v − ½ and v + ½.

    Example:
        >>> level_edges()[[0, 1, -1]].tolist()
        [-0.5, 7.5, 255.5]
    """
    return np.arange(0, 257, _LEVELS_PER_BIN, dtype=np.float64) - 0.5


def draw_ink(share: NDArray[np.float64]) -> Figure:
    """Draw how often each pixel is not 0; pixels that are always 0 are white.

    Args:
        share: share of images with a non-zero value, float64 (H, W).
    """
    figure = new_figure(4.6)
    axes = figure.subplots()
    shown = axes.imshow(np.ma.masked_equal(100 * share, 0), cmap=AMOUNTS, vmin=0)
    height, width = share.shape
    axes.set_xticks([*(width * quarter // 4 for quarter in range(4)), width - 1])
    axes.set_yticks([*(height * quarter // 4 for quarter in range(4)), height - 1])
    axes.set(xlabel="column", ylabel="row")
    figure.colorbar(shown, ax=axes, shrink=0.85, label="images with a non-zero pixel, %")
    return figure


def draw_samples(
    rows: Sequence[tuple[str, Sequence[NDArray[np.uint8]]]], columns: int, polarity: Polarity = "white-on-black"
) -> Figure:
    """Draw a row of sample images for each name.

    Args:
        rows: names and their images, uint8 (H, W) or (H, W, 3).
        columns: maximum number of images per row.
        polarity: polarity of the images.
    """
    rows = [(name_text(name), images) for name, images in rows]
    longest = max(len(name) for name, _ in rows)
    cell = (WIDTH_INCHES - min(0.085 * longest, WIDTH_INCHES / 3)) / columns
    figure = new_figure(len(rows) * cell)
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for axes, (name, images) in zip(grid, rows, strict=True):
        axes[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=_FONT)
        for index, place in enumerate(axes):
            place.set_xticks([])
            place.set_yticks([])
            place.spines[:].set(color=_FRAME, visible=index < len(images))
            if index < len(images):
                draw_image(place, images[index], polarity)
    return figure


def draw_pairs(tiles: Sequence[PairTile], columns: int = 2, polarity: Polarity = "white-on-black") -> Figure:
    """Draw pairs of images in a grid, row by row."""
    rows = -(-len(tiles) // columns)
    lines = max(tile.caption.count("\n") + 1 for tile in tiles)
    figure = new_figure(rows * (0.5 * WIDTH_INCHES / columns + lines * _FONT / 72 * 1.4 + 0.1))
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for axes, tile in zip(grid.flat, tiles, strict=False):
        axes.axis("on")
        gap = np.zeros_like(tile.left[:, :1])
        draw_image(axes, np.hstack([tile.left, gap, tile.right]), polarity)
        axes.axvline(tile.left.shape[1], color=_MUTED, linewidth=1)
        axes.spines[:].set(color=_MARKED if tile.marked else _FRAME, linewidth=2.5 if tile.marked else 0.8)
        axes.set_xlabel(tile.caption, fontsize=_FONT, labelpad=3)
    return figure


def draw_distances(counts: Sequence[int], bin_width: float, near: float) -> Figure:
    """Draw a histogram of the distances between test images and their nearest training images.

    Args:
        counts: images per bin; the first bin starts at 0.
        bin_width: bin width in grey levels.
        near: threshold for near-duplicates in grey levels, drawn as a line.
    """
    figure = new_figure(3.4)
    axes = figure.subplots()
    edges = np.arange(len(counts) + 1) * bin_width
    axes.stairs(counts, edges, fill=True, color=PALETTE[0])
    axes.axvline(near, color=PALETTE[1], linewidth=2, linestyle="--", label=f"near-duplicates: up to {near:g}")
    axes.set_xlim(0, max(edges[-1], 1.5 * near))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    quiet_axes(axes, x="RMS difference to the nearest training image, grey levels", y="test images")
    axes.legend(frameon=False)
    return figure
