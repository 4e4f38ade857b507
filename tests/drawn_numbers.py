"""Pages with drawn numbers, for the tests of the reader: `Written`, `number_page` and papers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from digits_edge.runtime.datasets.synthetic_digits import SHAPES, draw_digit, draw_shape

Paper = np.ndarray


def plain_digit(digit: int, size: int) -> np.ndarray:
    """One drawing of a digit, always the same: float (H, W) in 0…1, cropped to the ink."""
    drawn = draw_shape(SHAPES[digit][0], np.random.default_rng(0), size=size, thickness=0.1, wobble=0)
    return np.asarray(drawn.crop(drawn.getbbox()), float) / 255


@dataclass(frozen=True)
class Written:
    """A number on a page: its digits, its place in pixels, the height of the digits, and the gap between them.

    If it is `even`, its digits are those that the model of `tests.sequence_models` knows.
    """

    text: str
    left: int
    upper: int
    height: int = 40
    gap: float = 0.4
    slope: float = 0.0
    pen: float = 0.1
    even: bool = False


def number_page(paper: Paper, lines: Sequence[Written], *, ink: int = 40, seed: int = 0) -> Image.Image:
    """Write numbers on a paper, float (H, W) in 0…255; mode L."""
    rng = np.random.default_rng(seed)
    page = paper.copy()
    for line in lines:
        left = float(line.left)
        for digit in line.text:
            shape = _even_shape(int(digit), line.height) if line.even else _shape(int(digit), line, rng)
            upper = round(line.upper + line.height - shape.shape[0] + line.slope * (left - line.left))
            region = page[upper : upper + shape.shape[0], round(left) : round(left) + shape.shape[1]]
            region += shape * (np.minimum(ink, region) - region)
            left += shape.shape[1] + line.gap * line.height
    return Image.fromarray(np.clip(np.rint(page), 0, 255).astype(np.uint8))


def _shape(digit: int, line: Written, rng: np.random.Generator) -> np.ndarray:
    drawn = draw_digit(digit, rng, size=round(line.height / 0.8), thickness=line.pen)
    return np.asarray(drawn.crop(drawn.getbbox()), float) / 255


def _even_shape(digit: int, height: int) -> np.ndarray:
    ink = Image.fromarray((plain_digit(digit, 2 * height) * 255).astype(np.uint8))
    size = max(1, round(ink.width * height / ink.height)), height
    return np.asarray(ink.resize(size, Image.Resampling.BOX), float) / 255


def plain(height: int = 600, width: int = 800, level: float = 235.0, noise: float = 0.0) -> Paper:
    return level + noise * np.random.default_rng(1).normal(size=(height, width))


def squared(spacing: int = 20, line: float = 190.0, turn: float = 0.0) -> Paper:
    page = plain()
    y, x = np.mgrid[: page.shape[0], : page.shape[1]]
    page[((y + turn * x) % spacing < 1.2) | ((x - turn * y) % spacing < 1.2)] = line
    return page


def ruled(spacing: int = 60, line: float = 150.0, turn: float = 0.0) -> Paper:
    page = plain()
    y, x = np.mgrid[: page.shape[0], : page.shape[1]]
    page[(y + turn * x) % spacing < 2] = line
    return page


def on_table(margin: int = 90) -> Paper:
    """A sheet on a dark table with grain."""
    rng = np.random.default_rng(2)
    page = plain()
    grain = 90 + 25 * np.repeat(rng.normal(size=(page.shape[0], 1)), page.shape[1], 1) + rng.normal(size=page.shape) * 8
    inside = np.zeros(page.shape, bool)
    inside[margin:-margin, margin:-margin] = True
    return np.where(inside, page, grain)


def with_dark_object() -> Paper:
    """A dark object in a corner."""
    page = plain(noise=2)
    y, x = np.mgrid[: page.shape[0], : page.shape[1]]
    page[(x - 820) ** 2 + (y + 40) ** 2 < 230**2] = 30
    return page


def shadowed() -> Paper:
    """A hard shadow over the left part and the lower edge."""
    page = plain(noise=2)
    page[:, :190] *= 0.45
    page[430:] *= 0.6
    return page


def print_through() -> Paper:
    """Faint rows of print of the back."""
    rng = np.random.default_rng(3)
    page = plain(noise=1.5)
    for upper in range(30, 580, 24):
        letters = rng.random((10, 150)) < 0.4
        page[upper : upper + 10, 25:775] -= 14 * np.repeat(letters, 5, 1)
    return page


PAPERS: dict[str, Paper] = {
    "plain": plain(),
    "noisy": plain(noise=9),
    "dark": plain(level=90, noise=3),
    "squared": squared(),
    "squared, turned": squared(turn=0.03),
    "dark squares": squared(line=120),
    "ruled": ruled(),
    "ruled, turned": ruled(turn=-0.025),
    "on a table": on_table(),
    "dark object": with_dark_object(),
    "hard shadow": shadowed(),
    "print of the back": print_through(),
}
