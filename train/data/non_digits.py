"""Draw images that are not digits: letters, signs, scribbles, objects and patterns.

A student trained on them with uniform soft targets has low confidence on inputs that are not digits.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from digits_edge.runtime.datasets.synthetic_digits import SHAPES, any_of, draw_shape
from digits_edge.runtime.preprocessing.mnist_format import IMAGE_SIDE, framed, to_mnist_format

#: Oversampling factor: Pillow draws without antialiasing.
_OVERSAMPLING = 4
_CANVAS_PX = 84
#: In the format of `digits_edge.runtime.datasets.synthetic_digits.SHAPES`, without the letters whose handwriting can
#: look like a digit (B, D, G, I, O, Q, S, Z, b, g, l, o, q, s, y, z).
LETTERS: dict[str, tuple[str, ...]] = {
    "A": ("0,100 18,48 34,0 | 34,0 52,50 70,100 | 14,62 34,62 56,62",),
    "C": ("66,14 40,0 12,18 2,52 14,86 42,100 66,88",),
    "E": (
        "60,0 30,0 4,0 | 4,0 4,50 4,100 | 4,100 30,100 62,100 | 4,50 28,50 50,50",
        "58,8 30,2 12,22 34,44 | 34,44 8,64 10,92 38,99 62,88",
    ),
    "F": ("60,0 30,0 4,0 | 4,0 4,50 4,100 | 4,48 26,48 48,48",),
    "H": ("4,0 4,50 4,100 | 62,0 62,50 62,100 | 4,50 34,50 62,50",),
    "K": ("4,0 4,50 4,100 | 58,0 30,32 4,56 | 20,44 40,72 62,100",),
    "M": ("0,100 4,50 8,0 | 8,0 24,30 40,60 | 40,60 56,30 72,0 | 72,0 76,50 80,100",),
    "N": ("4,100 4,50 4,0 | 4,0 32,50 62,100 | 62,100 62,50 62,0",),
    "R": ("4,100 4,50 4,0 | 4,0 46,2 56,26 40,48 4,52 | 24,52 42,76 62,100",),
    "T": ("0,0 34,0 70,0 | 35,0 35,50 35,100",),
    "U": ("4,0 4,60 14,92 34,100 54,92 64,60 64,0",),
    "W": ("0,0 12,50 22,100 | 22,100 32,60 40,30 | 40,30 50,60 58,100 | 58,100 70,50 80,0",),
    "X": ("2,0 32,50 64,100 | 62,0 32,50 2,100",),
    "Y": ("0,0 16,26 34,50 | 68,0 50,26 34,50 | 34,50 34,76 34,100",),
    "a": ("58,10 30,0 4,30 8,80 34,96 58,60 | 60,0 60,50 62,88 76,100",),
    "d": ("58,52 34,42 6,58 8,90 32,100 58,80 | 60,0 60,50 62,100",),
    "e": ("4,52 34,50 64,44 | 64,44 54,8 28,2 6,30 8,76 34,100 64,84",),
    "h": ("6,0 6,50 6,100 | 6,62 24,44 46,44 54,64 54,100",),
    "k": ("6,0 6,50 6,100 | 48,36 26,56 6,68 | 22,60 38,80 52,100",),
    "m": ("4,10 4,50 4,100 | 4,30 16,6 32,8 38,30 38,100 | 38,30 50,6 66,8 74,30 74,100",),
    "n": ("4,4 4,50 4,100 | 4,34 24,4 50,6 62,34 62,100",),
    "r": ("6,0 6,50 6,100 | 6,40 22,10 52,4",),
    "u": ("4,0 4,60 20,98 46,92 60,56 | 60,0 60,50 62,100",),
    "w": ("0,0 10,70 20,100 32,66 38,30 | 38,30 44,66 56,100 66,70 76,0",),
    "x": ("2,4 30,50 60,98 | 58,2 30,50 0,100",),
}
SIGNS: dict[str, tuple[str, ...]] = {
    "#": ("24,0 20,50 14,100 | 56,0 52,50 46,100 | 2,34 36,32 72,30 | 0,70 34,68 70,66",),
    "&": ("66,100 34,60 14,26 26,2 46,10 40,36 12,60 6,88 30,100 54,84 68,56",),
    "%": ("70,0 36,50 2,100 | 16,2 4,14 14,28 26,16 16,2 | 58,72 46,84 56,98 68,86 58,72",),
    "*": ("34,0 34,50 34,100 | 0,24 34,50 68,76 | 68,24 34,50 0,76",),
    "+": ("50,0 50,50 50,100 | 0,50 50,50 100,50",),
    "check": ("0,56 14,76 30,100 | 30,100 60,46 96,0",),
    "arrow": ("0,50 50,50 100,50 | 70,20 86,36 100,50 | 100,50 86,64 70,80",),
    "heart": ("50,100 10,56 4,20 26,2 50,26 74,2 96,20 90,56 50,100",),
    "triangle": ("50,0 24,46 0,90 | 0,90 50,90 100,90 | 100,90 76,46 50,0",),
    "square": ("0,0 50,0 100,0 | 100,0 100,50 100,100 | 100,100 50,100 0,100 | 0,100 0,50 0,0",),
    "spiral": ("50,50 58,44 60,58 44,62 36,44 52,30 74,42 72,70 44,80 20,62 22,28 54,10 90,30",),
    "waves": ("0,50 16,30 34,50 50,70 66,50 84,30 100,50",),
}


def draw_non_digits(count: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw images that are not digits: about half handwriting in MNIST format, half objects and patterns.

    Args:
        count: number of images, N.
        rng: source of all randomness; the same generator state gives the same images.

    Returns:
        uint8 (N, 28, 28), white on black.

    Example:
        >>> draw_non_digits(3, np.random.default_rng(0)).shape
        (3, 28, 28)
    """
    images = np.empty((count, IMAGE_SIDE, IMAGE_SIDE), np.uint8)
    for image in images:
        image[:] = _KINDS[int(rng.integers(len(_KINDS)))](rng)
    return images


def _letter(rng: np.random.Generator) -> NDArray[np.uint8]:
    return _written(_any_shape(LETTERS, rng), rng)


def _sign(rng: np.random.Generator) -> NDArray[np.uint8]:
    return _written(_any_shape(SIGNS, rng), rng)


def _scribble(rng: np.random.Generator) -> NDArray[np.uint8]:
    """A stroke through 7 to 19 random points; through fewer it can look like a digit."""
    points = rng.integers(0, 100, (int(rng.integers(7, 20)), 2))
    return _written(" ".join(f"{x},{y}" for x, y in points), rng)


def _digits_side_by_side(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Two to four digits in a row, which are not one digit."""
    digits = rng.integers(0, 10, int(rng.integers(2, 5)))
    drawn = [draw_shape(SHAPES[int(d)][0], rng, size=_CANVAS_PX) for d in digits]
    row = Image.new("L", (len(drawn) * _CANVAS_PX * 3 // 4, _CANVAS_PX))
    for place, digit in enumerate(drawn):
        row.paste(digit, (place * _CANVAS_PX * 3 // 4, 0))
    # `to_mnist_format` would crop to one digit
    return framed(np.asarray(row.crop(row.getbbox()), np.float32) / np.float32(255))


def _object(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Filled shapes, most of them mirrored, each with a grey level or a texture."""
    side = IMAGE_SIDE * _OVERSAMPLING
    canvas = Image.new("L", (side, side))
    draw = ImageDraw.Draw(canvas)
    for _ in range(int(rng.integers(1, 4))):
        points = rng.uniform(0.02, 0.98, (int(rng.integers(3, 9)), 2)) * side
        points = points[np.argsort(np.arctan2(*(points - points.mean(0)).T))]
        fill = int(rng.integers(40, 256))
        if rng.random() < 0.3:
            low, high = np.sort(rng.uniform(0, side, (2, 2)), axis=0)
            draw.ellipse((*low, *high), fill=fill)
        else:
            draw.polygon([(float(x), float(y)) for x, y in points], fill=fill)
    shape = np.asarray(canvas.resize((IMAGE_SIDE, IMAGE_SIDE), Image.Resampling.BOX), np.float64) / 255
    if rng.random() < 0.7:
        shape = np.maximum(shape, shape[:, ::-1])
    if rng.random() < 0.6:
        shape = shape * (0.4 + 0.6 * _pattern(rng))
    return _as_pixels(shape)


def _texture(rng: np.random.Generator) -> NDArray[np.uint8]:
    return _as_pixels(_pattern(rng))


def _pattern(rng: np.random.Generator) -> NDArray[np.float64]:
    """Noise of random grain, stripes, a chequerboard or a gradient, float64 (28, 28) in 0…1."""
    rows, columns = np.mgrid[:IMAGE_SIDE, :IMAGE_SIDE] / IMAGE_SIDE
    kind = int(rng.integers(4))
    if kind == 0:
        grain = int(rng.choice([2, 4, 7, 14, 28]))
        noise = Image.fromarray(rng.integers(0, 256, (grain, grain), np.uint8))
        return np.asarray(noise.resize((IMAGE_SIDE, IMAGE_SIDE), Image.Resampling.BICUBIC), np.float64) / 255
    angle = rng.uniform(0, np.pi)
    along = rows * np.sin(angle) + columns * np.cos(angle)
    if kind == 1:
        return np.asarray(0.5 + 0.5 * np.sin(2 * np.pi * (rng.uniform(1, 10) * along + rng.uniform())))
    if kind == 2:
        size = rng.uniform(0.07, 0.4)
        return np.asarray((rows // size + columns // size) % 2, np.float64)
    return np.asarray(np.clip(rng.uniform(0, 1) + rng.uniform(-1, 1) * (along - along.mean()), 0, 1))


#: Repeated entries are drawn more often.
_KINDS: tuple[Callable[[np.random.Generator], NDArray[np.uint8]], ...] = (
    _letter,
    _letter,
    _sign,
    _scribble,
    _digits_side_by_side,
    _object,
    _object,
    _object,
    _texture,
    _texture,
)


def _any_shape(shapes: dict[str, tuple[str, ...]], rng: np.random.Generator) -> str:
    return any_of(list(shapes.values())[int(rng.integers(len(shapes)))], rng)


def _written(shape: str, rng: np.random.Generator) -> NDArray[np.uint8]:
    return to_mnist_format(draw_shape(shape, rng, size=_CANVAS_PX)).image


def _as_pixels(levels: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.rint(np.clip(levels, 0, 1) * 255).astype(np.uint8)
