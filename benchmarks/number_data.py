"""Labelled pictures of numbers, for `benchmarks.numbers`. They are development data, never used for training."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

#: Number of made lines without a number, and their seed, which no training uses.
WITHOUT_NUMBER, WITHOUT_NUMBER_SEED = 200, 20_261_129


@dataclass(frozen=True)
class LabelledNumber:
    """A picture with numbers.

    Attributes:
        data: Name of the data set.
        path: Path of the picture.
        texts: The numbers of its lines from top to bottom; empty if it has none.
        page: Whether the lines have to be found first.
    """

    data: str
    path: Path
    texts: tuple[str, ...]
    page: bool


def cheques(folder: Path) -> Iterator[LabelledNumber]:
    """Yield the amount fields of cheques: one line each."""
    for row in _rows(folder):
        yield LabelledNumber("cheques-dev", folder / row["file"], (row["text"],), page=False)


def pages(folder: Path) -> Iterator[LabelledNumber]:
    """Yield photographs and drawings with one or several lines."""
    for row in _rows(folder):
        yield LabelledNumber("numbers-dev", folder / row["file"], tuple(row["text"].split("/")), page=True)


def single_digits(folder: Path) -> Iterator[LabelledNumber]:
    """Yield photographs of single digits."""
    for row in _rows(folder):
        yield LabelledNumber("photos", folder / row["file"], (row["label"],), page=True)


def without_numbers(folder: Path) -> Iterator[LabelledNumber]:
    """Make lines with words, scribbles, blots and rules in a folder, and yield them.

    They are drawn by the code that makes training lines, from another seed and on plain paper.
    """
    from digits_edge.train.data.fonts import fetch_fonts
    from digits_edge.train.numbers.distractors import draw_distractor

    fonts, rng = tuple(fetch_fonts()), np.random.default_rng(WITHOUT_NUMBER_SEED)
    for number in range(WITHOUT_NUMBER):
        ink = np.pad(np.asarray(draw_distractor(fonts, float(rng.uniform(24, 60)), rng), float), 12)
        paper, contrast = rng.uniform(180, 250), rng.uniform(80, 170)
        levels = paper - contrast * ink + rng.normal(0, 2, ink.shape)
        path = folder / f"{number:03}.png"
        Image.fromarray(np.clip(np.rint(levels), 0, 255).astype(np.uint8)).save(path)
        yield LabelledNumber("no number", path, (), page=False)


def _rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))
