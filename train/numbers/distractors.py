"""Lines without a number: words, scribbles, blots, rules and blank paper: `draw_distractor`."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from digits_edge.runtime.errors import DataError
from digits_edge.train.data.outlines import Field
from digits_edge.train.numbers.writing import NO_INK_PX, draw_polyline

_VOWELS, _CONSONANTS = "aeiou", "bcdfghjklmnprstvwz"


def draw_distractor(fonts: tuple[Path, ...], height_px: float, rng: np.random.Generator) -> Field:
    """Draw what a line finder may take for a number.

    Args:
        fonts: font files for words.
        height_px: height of a digit.
        rng: source of all randomness.

    Returns:
        float32 (H, W), ink from 0 to 1.

    Example:
        >>> ink = draw_distractor((), 30, np.random.default_rng(1))
        >>> ink.ndim, bool(0 <= ink.min() <= ink.max() <= 1)
        (2, True)
    """
    kind = rng.random()
    if kind < 0.55:
        return _words(fonts, height_px, rng)
    shape = (round(2 * height_px), round(rng.uniform(1, 7) * height_px))
    field = np.full(shape, NO_INK_PX, np.float32)
    if kind < 0.75:
        _scribble(field, height_px, rng)
    elif kind < 0.9:
        _blots(field, height_px, rng)
    return np.asarray(np.clip(field + np.float32(0.5), 0, 1), np.float32)


def random_word(rng: np.random.Generator) -> str:
    """A word of syllables, sometimes in capitals or with a capital.

    Example:
        >>> random_word(np.random.default_rng(0)).isalpha()
        True
    """
    syllables = []
    for _ in range(int(rng.integers(1, 5))):
        parts = (_CONSONANTS, _VOWELS, _CONSONANTS if rng.random() < 0.4 else "")
        syllables.append("".join(part[int(rng.integers(len(part)))] for part in parts if part))
    word = "".join(syllables)
    change = rng.random()
    return word.upper() if change < 0.2 else word.capitalize() if change < 0.5 else word


def _words(fonts: tuple[Path, ...], height_px: float, rng: np.random.Generator) -> Field:
    size = round(rng.uniform(0.9, 1.8) * height_px)
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont
    try:
        if fonts and rng.random() < 0.8:
            font = ImageFont.truetype(str(fonts[int(rng.integers(len(fonts)))]), size)
        else:
            font = ImageFont.load_default(size)
    except OSError as error:
        raise DataError(f"a font cannot be read ({error}); delete it and try again") from error
    text = " ".join(random_word(rng) for _ in range(int(rng.integers(1, 4))))
    left, upper, right, lower = (int(side) for side in font.getbbox(text))
    canvas = Image.new("L", (max(1, right - left) + 8, max(1, lower - upper) + 8))
    ImageDraw.Draw(canvas).text((4 - left, 4 - upper), text, fill=255, font=font)
    slant = rng.normal(0.05, 0.15)
    slanted = canvas.transform(
        (canvas.width + canvas.height, canvas.height),
        Image.Transform.AFFINE,
        (1, slant, -slant * canvas.height / 2 - canvas.height / 2, 0, 1, 0),
        Image.Resampling.BILINEAR,
    )
    ink = np.asarray(slanted, np.float32) / np.float32(255)
    used = np.flatnonzero(ink.any(axis=0))
    return ink[:, used[0] : used[-1] + 1] if len(used) else ink


def _scribble(field: Field, height_px: float, rng: np.random.Generator) -> None:
    """A wavy or zigzag stroke: a signature or something crossed out."""
    count = int(rng.integers(5, 30))
    x = np.cumsum(rng.normal(0.35, 0.4, count)) * height_px * rng.uniform(0.2, 0.8) + 0.3 * height_px
    y = field.shape[0] / 2 + rng.uniform(-0.6, 0.6, count) * height_px * rng.uniform(0.3, 1)
    points = list(zip(x.tolist(), y.tolist(), strict=True))
    draw_polyline(field, points, rng.uniform(0.02, 0.09) * height_px)


def _blots(field: Field, height_px: float, rng: np.random.Generator) -> None:
    for _ in range(int(rng.integers(1, 5))):
        x, y = rng.uniform(0, field.shape[1]), rng.uniform(0.2, 0.8) * field.shape[0]
        end = x + rng.normal(0, 0.3) * height_px, y + rng.normal(0, 0.12) * height_px
        draw_polyline(field, [(x, y), end], rng.uniform(0.04, 0.3) * height_px)
