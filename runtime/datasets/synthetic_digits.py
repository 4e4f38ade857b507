"""Synthetic handwritten digits, drawn without any data set: `draw_digit` in any size, `draw_image` in MNIST format.

They are the sample pictures, the images of the reference outputs, and test data. The same generator state draws the
same digit.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from digits_edge.runtime.preprocessing.mnist_format import to_mnist_format

Points = NDArray[np.float64]

#: Shapes of each digit: strokes separated by bars, each a list of `x,y` points in hundredths of the digit's height, x
#: to the right and y down. A stroke is smooth; at a corner, the next stroke starts at the last point.
SHAPES: dict[int, tuple[str, ...]] = {
    0: (
        "38,2 12,18 2,50 10,84 34,99 58,83 66,50 58,17 38,1 26,5",
        "50,6 22,4 2,35 6,80 32,99 60,78 64,34 46,6 30,2",
    ),
    1: (
        "30,0 30,50 30,100",
        "15,20 24,12 32,0 | 32,0 32,50 31,100",
        "14,18 24,11 32,0 | 32,0 32,100 | 10,100 32,99 55,100",
    ),
    2: (
        "5,24 16,6 38,0 60,12 58,36 38,64 4,97 | 4,97 35,95 68,97",
        "8,20 26,2 50,5 58,26 42,58 16,90 5,93 8,80 24,80 45,94 70,92",
    ),
    3: (
        "6,14 28,0 54,9 53,32 24,46 | 24,46 56,55 63,77 42,98 15,97 2,85",
        "5,3 30,2 56,2 | 56,2 42,22 26,40 | 26,40 55,48 64,74 44,98 16,97 2,85",
    ),
    4: (
        "14,0 10,28 4,56 | 4,56 35,57 68,54 | 54,8 51,50 48,100",
        "50,0 28,32 3,66 | 3,66 35,66 70,65 | 50,0 49,50 48,100",
    ),
    5: (
        "58,2 36,2 14,3 | 14,3 12,24 10,45 | 10,45 34,36 58,50 62,76 40,98 14,97 2,87",
        "16,3 10,26 10,44 | 10,44 34,40 58,55 58,82 34,99 3,92 | 14,3 38,4 62,0",
    ),
    6: (
        "48,0 22,22 6,56 10,87 33,99 57,86 57,62 36,51 14,62 8,76",
        "32,0 12,34 5,70 20,96 46,96 60,76 48,55 24,58 8,78",
    ),
    7: (
        "3,5 30,3 62,2 | 62,2 42,42 27,100",
        "3,5 30,3 64,2 | 64,2 44,42 27,100 | 17,50 38,50 60,48",
        "4,20 5,4 | 5,4 32,5 63,2 | 63,2 45,40 34,100",
    ),
    8: (
        "54,12 32,0 10,12 15,34 37,48 60,67 58,90 32,100 6,89 8,66 34,47 55,30 54,10",
        "33,0 12,10 14,36 33,46 54,35 54,10 31,0 | 33,46 7,62 8,90 33,100 60,88 58,60 33,46",
    ),
    9: (
        "58,17 38,1 14,10 6,32 22,50 45,42 58,17 | 58,17 56,55 50,100",
        "56,14 34,0 10,12 8,36 28,48 50,34 57,12 | 57,12 60,50 46,88 14,98",
    ),
}


def draw_digit(
    digit: int, rng: np.random.Generator, *, size: int = 256, thickness: float | None = None, wobble: float = 1.0
) -> Image.Image:
    """Draw a handwritten digit: a random shape of the digit with random slant, stretch and wobble.

    Args:
        digit: 0 to 9.
        rng: random generator; the same state draws the same digit.
        size: side of the square picture in pixels.
        thickness: pen thickness as a fraction of the digit's height; None draws it from 0.05 to 0.12.
        wobble: strength of the random distortion; 0 draws the shape as listed in `SHAPES`.

    Returns:
        Mode "L", white ink on black, antialiased; the digit is centred, its larger side 80% of the picture.

    Example:
        >>> picture = draw_digit(3, np.random.default_rng(0), size=64)
        >>> picture.mode, picture.size
        ('L', (64, 64))
    """
    return draw_shape(any_of(SHAPES[digit], rng), rng, size=size, thickness=thickness, wobble=wobble)


def any_of(shapes: Sequence[str], rng: np.random.Generator) -> str:
    """Return a random one of several shapes."""
    return shapes[int(rng.integers(len(shapes)))]


def draw_shape(
    shape: str, rng: np.random.Generator, *, size: int = 256, thickness: float | None = None, wobble: float = 1.0
) -> Image.Image:
    """Draw a custom shape in the notation of `SHAPES`; the other arguments are those of `draw_digit`.

    Example:
        >>> draw_shape("0,0 50,50 | 50,50 100,0", np.random.default_rng(0), size=32).size
        (32, 32)
    """
    strokes = _strokes(shape)
    pen = float(rng.uniform(0.05, 0.12)) if thickness is None else thickness
    distortion = _Distortion(rng, wobble)
    paths = [distortion.apply(_smooth(stroke)) for stroke in strokes]
    return _render(paths, pen, size)


def smooth_strokes(shape: str) -> list[Points]:
    """The strokes of a shape as dense points, without distortion.

    Args:
        shape: a shape in the notation of `SHAPES`.

    Returns:
        float64, (N, 2) for each stroke: x to the right and y down, in heights of the digit.

    Example:
        >>> [stroke.shape for stroke in smooth_strokes("0,0 50,50 | 50,50 100,0")]
        [(17, 2), (17, 2)]
    """
    return [_smooth(stroke) for stroke in _strokes(shape)]


def draw_image(digit: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw a handwritten digit in MNIST format.

    Args:
        digit: 0 to 9.
        rng: random generator; the same state draws the same digit.

    Returns:
        uint8, (28, 28), white ink on black.

    Example:
        >>> draw_image(3, np.random.default_rng(0)).shape
        (28, 28)
    """
    return to_mnist_format(draw_digit(digit, rng, size=120)).image


def _strokes(shape: str) -> list[Points]:
    return [np.array([point.split(",") for point in stroke.split()], np.float64) / 100 for stroke in shape.split("|")]


class _Distortion:
    """Random slant, stretch and smooth displacement; strokes that share a point still share it afterwards."""

    def __init__(self, rng: np.random.Generator, wobble: float) -> None:
        slant, turn, stretch = rng.normal(0, (0.16, 0.05, 0.1)) * wobble
        cos, sin = np.cos(turn), np.sin(turn)
        self._matrix = np.array([[np.exp(stretch), -slant], [0, 1]]).T @ np.array([[cos, sin], [-sin, cos]])
        # Waves across the picture, with a higher amplitude for longer ones: a bend of the digit, then a tremor.
        self._waves = rng.normal(0, 1, (6, 2)) * np.array([[0.5], [0.5], [0.8], [0.8], [1.3], [1.3]])
        self._phases = rng.uniform(0, 2 * np.pi, 6)
        amplitudes = np.array([0.035, 0.035, 0.012, 0.012, 0.004, 0.004]) * wobble
        self._amplitudes = rng.normal(0, 1, (6, 2)) * amplitudes[:, np.newaxis]

    def apply(self, points: Points) -> Points:
        """Return the distorted points, (N, 2)."""
        shift = np.sin(2 * np.pi * points @ self._waves.T + self._phases) @ self._amplitudes
        return np.asarray((points + shift) @ self._matrix)


def _smooth(points: Points, steps: int = 16) -> Points:
    """Interpolate points with a Catmull-Rom spline, `steps` points per segment, then smooth it with a running mean.

    The spline has corners where points are sparse. A running mean over one segment's length rounds them.
    """
    padded = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    before, start, end, after = padded[:-3], padded[1:-2], padded[2:-1], padded[3:]
    t = np.linspace(0, 1, steps, endpoint=False)[:, np.newaxis, np.newaxis]
    curve = start + 0.5 * t * (
        end - before + t * (2 * before - 5 * start + 4 * end - after + t * (3 * (start - end) + after - before))
    )
    path = np.concatenate([curve.transpose(1, 0, 2).reshape(-1, 2), points[-1:]])
    # Point reflection at both ends keeps the running mean from moving the end points.
    reach = steps // 2
    mirrored = np.concatenate([2 * path[:1] - path[reach:0:-1], path, 2 * path[-1:] - path[-2 : -reach - 2 : -1]])
    sums = np.cumsum(np.concatenate([np.zeros((1, 2)), mirrored]), axis=0)
    return np.asarray((sums[2 * reach + 1 :] - sums[: -2 * reach - 1]) / (2 * reach + 1))


def _render(paths: list[Points], pen: float, size: int) -> Image.Image:
    """Draw paths with a round pen at 4× the size and reduce the picture, because Pillow draws without antialiasing."""
    points_of_all = np.concatenate(paths)
    low, high = points_of_all.min(0), points_of_all.max(0)
    scale = 4 * size * 0.8 / (float((high - low).max()) + pen)
    offset = 2 * size - scale * (low + high) / 2
    canvas = Image.new("L", (4 * size, 4 * size))
    draw = ImageDraw.Draw(canvas)
    radius = max(scale * pen / 2, 1.0)
    for path in paths:
        # rounded to 1/64 pixel, because the last bits of sines and matrix products differ between processors
        points = [(float(x), float(y)) for x, y in np.rint((path * scale + offset) * 64) / 64]
        draw.line(points, fill=255, width=round(2 * radius))
        for x, y in points:
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    return canvas.resize((size, size), Image.Resampling.BOX)
