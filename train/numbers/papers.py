"""Paper of number lines: shades, security patterns, ruled lines and boxes: `random_paper`, `draw_rules`."""

import numpy as np
from PIL import Image

from digits_edge.train.data.outlines import Field
from digits_edge.train.numbers.settings import LineSettings
from digits_edge.train.numbers.writing import NO_INK_PX, draw_polyline


def random_paper(shape: tuple[int, int], rng: np.random.Generator, settings: LineSettings) -> Field:
    """Draw paper: light, with a shadow, a texture or a security pattern.

    Returns:
        float32 (H, W), darkness: 0 for the lightest paper, 1 for lines of a pattern as dark as strong ink.

    Example:
        >>> random_paper((40, 100), np.random.default_rng(0), LineSettings()).shape
        (40, 100)
    """
    paper = np.zeros(shape, np.float32)
    if rng.random() < 0.5:
        paper += _shadow(shape, rng)
    if rng.random() < settings.patterns:
        strength = rng.uniform(0.04, 0.45) if rng.random() < 0.85 else rng.uniform(0.45, 0.75)
        paper += np.float32(strength) * _pattern(shape, rng)
    if rng.random() < 0.25:
        paper += np.float32(rng.uniform(0.02, 0.2)) * texture(shape, rng, rng.uniform(1, 4))
    return paper


def texture(shape: tuple[int, int], rng: np.random.Generator, grain_px: float) -> Field:
    """Smooth noise from 0 to 1 with grains of a size.

    Example:
        >>> float(texture((20, 20), np.random.default_rng(0), 4).max()) <= 1
        True
    """
    coarse = tuple(max(2, int(np.ceil(side / grain_px))) for side in shape)
    grains = Image.fromarray(rng.random(coarse, np.float32))
    return np.asarray(grains.resize((shape[1], shape[0]), Image.Resampling.BILINEAR), np.float32)


def _shadow(shape: tuple[int, int], rng: np.random.Generator) -> Field:
    depth = rng.uniform(0.05, 0.5)
    if rng.random() < 0.3:  # the edge of a shadow
        y, x = np.ogrid[: shape[0], : shape[1]]
        angle = rng.uniform(0, 2 * np.pi)
        across = (x - rng.uniform(0, shape[1])) * np.cos(angle) + (y - rng.uniform(0, shape[0])) * np.sin(angle)
        return np.asarray(depth / (1 + np.exp(np.clip(-across / rng.uniform(2, 20), -30, 30))), np.float32)
    return np.asarray(depth * texture(shape, rng, max(shape) / rng.uniform(1, 3)), np.float32)


def _pattern(shape: tuple[int, int], rng: np.random.Generator) -> Field:
    """Families of wavy lines, grids of dots, or short strokes."""
    pattern = np.zeros(shape, np.float32)
    kind = rng.random()
    if kind < 0.15:
        return _dots(shape, rng)
    for _ in range(int(rng.integers(1, 4))):
        pattern = np.maximum(pattern, _waves(shape, rng))
    if kind < 0.3:
        pattern *= texture(shape, rng, rng.uniform(2, 10))
    return pattern


def _waves(shape: tuple[int, int], rng: np.random.Generator) -> Field:
    y, x = np.ogrid[: shape[0], : shape[1]]
    y, x = y.astype(np.float32), x.astype(np.float32)
    # most families are flat or steep
    angle = rng.normal(0, 0.35) + (np.pi / 2 if rng.random() < 0.25 else 0)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    across, along = y * cos + x * sin, x * cos - y * sin
    spacing, width = rng.uniform(2.5, 11), rng.uniform(0.25, 0.6)
    bend = rng.uniform(0, 2.5) * spacing
    wave = bend * np.sin(along / np.float32(rng.uniform(6, 45)) + np.float32(rng.uniform(0, 6)))
    phase = (across + wave + rng.uniform(0, 20)) * np.float32(2 * np.pi / spacing)
    lines = np.sin(phase) - np.float32(1 - 2 * width)
    return np.asarray(
        np.clip(lines / np.float32(max(2 * width, 0.2)), 0, 1) * np.float32(rng.uniform(0.4, 1)), np.float32
    )


def _dots(shape: tuple[int, int], rng: np.random.Generator) -> Field:
    y, x = np.ogrid[: shape[0], : shape[1]]
    step_y, step_x = rng.uniform(2.5, 8, 2)
    rows = np.sin(y.astype(np.float32) * np.float32(2 * np.pi / step_y))
    columns = np.sin(x.astype(np.float32) * np.float32(2 * np.pi / step_x) + (rows > 0) * np.float32(rng.uniform(0, 3)))
    return np.asarray(np.clip(rows * columns * 2, 0, 1), np.float32)


def draw_rules(
    shape: tuple[int, int], box: tuple[float, float, float, float], height_px: float, rng: np.random.Generator
) -> Field:
    """Draw ruled lines, an underline or the sides of a box around a line of writing.

    Args:
        shape: height and width of the picture.
        box: left, upper, right, lower of the writing.
        height_px: height of a digit.
        rng: source of all randomness.

    Returns:
        float32 (H, W), distances to the edge of the lines, in pixels.

    Example:
        >>> field = draw_rules((60, 100), (10, 10, 90, 50), 40, np.random.default_rng(0))
        >>> field.shape, bool(field.max() > 0)
        ((60, 100), True)
    """
    field = np.full(shape, NO_INK_PX, np.float32)
    left, upper, right, lower = box
    width = rng.uniform(0.3, 0.045 * height_px)
    tilt = rng.normal(0, 0.012) * shape[1]
    kind = rng.random()
    below = lower + rng.uniform(-0.12, 0.3) * height_px
    if kind < 0.62:
        draw_polyline(field, [(-5, below), (shape[1] + 5, below + tilt)], width)
    if 0.5 < kind < 0.75:
        above = upper - rng.uniform(-0.05, 0.3) * height_px
        draw_polyline(field, [(-5, above), (shape[1] + 5, above + tilt)], width)
    if 0.62 < kind < 0.8:
        side = (
            left - rng.uniform(0.02, 0.5) * height_px
            if rng.random() < 0.7
            else right + rng.uniform(0.05, 0.4) * height_px
        )
        draw_polyline(field, [(side, -5), (side + rng.normal(0, 1), shape[0] + 5)], width)
    if 0.72 < kind < 0.8:
        draw_polyline(field, [(-5, below), (shape[1] + 5, below + tilt)], width)
    if 0.8 < kind < 0.9:  # an underline by hand
        ends = left - rng.uniform(-0.3, 0.3) * height_px, right + rng.uniform(-0.3, 0.3) * height_px
        middle = (sum(ends) / 2, below + rng.normal(0, 0.06) * height_px)
        draw_polyline(field, [(ends[0], below), middle, (ends[1], below + tilt)], 2 * width)
    if kind > 0.9:  # ruled or squared paper
        spacing, start = rng.uniform(0.25, 1.2) * height_px, rng.uniform(0, 10)
        for y in np.arange(start, shape[0], spacing):
            draw_polyline(field, [(-5, y), (shape[1] + 5, y + tilt)], 0.6 * width)
        if rng.random() < 0.6:
            for x in np.arange(start, shape[1], spacing):
                draw_polyline(field, [(x, -5), (x, shape[0] + 5)], 0.6 * width)
    return field
