"""Digits on ruled and squared paper, for the tests of the line removal: `PageStyle`, `ruled_page`."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from digits_edge.runtime.datasets.synthetic_digits import draw_digit


@dataclass(frozen=True)
class PageStyle:
    """Parameters of a square page. Lengths are in pixels.

    Attributes:
        side: side of the page.
        spacing: distance of the lines.
        offset: position of the first line, as a share of the spacing.
        line_px: width of the lines.
        line_grey: grey of the lines, 0 to 255; the paper is 250.
        squared: whether there are vertical lines too.
        turn_degrees: rotation of the lines.
        share: longer side of the digit, as a share of the page's side.
        pen_px: width of the pen.
        ink_grey: grey of the ink.
        place: position of the digit's centre, as shares of the free space.
    """

    side: int
    spacing: float
    offset: float
    line_px: float
    line_grey: int
    squared: bool
    turn_degrees: float
    share: float
    pen_px: float
    ink_grey: int
    place: tuple[float, float]


def ruled_page(digit: int, seed: int, style: PageStyle) -> Image.Image:
    """Draw a digit on ruled or squared paper; mode L."""
    size = round(style.side * style.share / 0.8)
    thickness = style.pen_px / (style.side * style.share)
    drawn = draw_digit(digit, np.random.default_rng(seed), size=size, thickness=thickness)
    return _on_paper(np.asarray(drawn.crop(drawn.getbbox()), float) / 255, style)


def ruled_image(image: np.ndarray, style: PageStyle) -> Image.Image:
    """Draw an image in MNIST format, uint8 (28, 28), on ruled or squared paper; `pen_px` is not used."""
    rows, columns = np.nonzero(image)
    ink = Image.fromarray(image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1])
    scale = style.side * style.share / max(ink.size)
    large = ink.resize((max(1, round(ink.width * scale)), max(1, round(ink.height * scale))), Image.Resampling.BICUBIC)
    return _on_paper(np.clip((np.asarray(large, float) - 90) / 75, 0, 1), style)


def _on_paper(ink: np.ndarray, style: PageStyle) -> Image.Image:
    page = np.full((style.side, style.side), 250.0)
    for coverage in _lines(style):
        page += coverage * (style.line_grey - page)
    top, left = (round((style.side - n) * place) for n, place in zip(ink.shape, style.place, strict=True))
    region = page[top : top + ink.shape[0], left : left + ink.shape[1]]
    region += ink * (np.minimum(style.ink_grey, region) - region)
    return Image.fromarray(np.rint(page).astype(np.uint8))


def _lines(style: PageStyle) -> list[np.ndarray]:
    """The share of each pixel that the lines cover, for each direction."""
    angle = np.deg2rad(style.turn_degrees)
    x, y = np.meshgrid(np.arange(style.side) + 0.5, np.arange(style.side) + 0.5)
    along = [y * np.cos(angle) + x * np.sin(angle), x * np.cos(angle) - y * np.sin(angle)]
    coverages = []
    for position in along[: 1 + style.squared]:
        distance = np.abs((position / style.spacing - style.offset + 0.5) % 1 - 0.5) * style.spacing
        coverages.append(np.clip(style.line_px / 2 - distance + 0.5, 0, min(1.0, style.line_px)))
    return coverages
