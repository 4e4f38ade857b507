"""Draw a small folder of pictures by class: circles, crosses and triangles, in colour on textured grounds.

    python -m scripts.draw_shapes FOLDER --count 60

The folder receives `circle/`, `cross/` and `triangle/`, each with `--count` pictures of 32×32 pixels. All arithmetic is
on integers, so the pixels are the same on every machine. Most shapes have the colour of their class, so that models
learn them in seconds.
"""

import argparse
import random
from collections.abc import Callable
from pathlib import Path

from PIL import Image

SIDE = 32
#: Side of the canvas on which shapes are drawn; reduced to `SIDE`, their edges are smooth.
_SCALE = 4
Colour = tuple[int, int, int]
#: Whether a pixel, relative to the centre and in pixels of the canvas, is in a shape of some size.
Inside = Callable[[int, int, int], bool]


def _circle(x: int, y: int, size: int) -> bool:
    return x * x + y * y <= size * size


def _cross(x: int, y: int, size: int) -> bool:
    x, y = abs(x), abs(y)
    return max(x, y) <= size and 3 * min(x, y) <= size


def _triangle(x: int, y: int, size: int) -> bool:
    return -size <= y <= size and 2 * abs(x) <= size + y


SHAPES: dict[str, Inside] = {"circle": _circle, "cross": _cross, "triangle": _triangle}
#: Mean colours of the shapes; that of the ground is grey.
_COLOURS: dict[str, Colour] = {"circle": (200, 60, 50), "cross": (50, 160, 60), "triangle": (60, 80, 200)}
#: Largest difference from the mean colour in each channel, and of the ground from grey.
_VARIATION, _TINT = 45, 20
#: One of this number of shapes has the colour of any class.
_OTHER_COLOUR = 8


def draw_shape(name: str, seed: int) -> Image.Image:
    """Draw a shape of random tint, size and place.

    Args:
        name: "circle", "cross" or "triangle".
        seed: the same seed draws the same picture.

    Returns:
        Mode "RGB", 32×32.
    """
    rng = random.Random(f"{name} {seed}")
    kind = name if rng.randrange(_OTHER_COLOUR) else rng.choice(sorted(_COLOURS))
    level = rng.randrange(60, 230)
    ground, colour = _near((level, level, level), _TINT, rng), _near(_COLOURS[kind], _VARIATION, rng)
    size = rng.randrange(7, 12) * _SCALE
    centre_x, centre_y = (rng.randrange(12, 21) * _SCALE for _ in range(2))
    period, slope = rng.randrange(4, 9), rng.choice([(1, 0), (0, 1), (1, 1), (1, -1)])
    strength = rng.randrange(8, 25)
    picture = Image.new("RGB", (SIDE, SIDE))
    for y in range(SIDE):
        for x in range(SIDE):
            covered = _covered(SHAPES[name], x * _SCALE - centre_x, y * _SCALE - centre_y, size)
            stripe = strength if (slope[0] * x + slope[1] * y) % period * 2 < period else -strength
            noise = rng.randrange(-10, 11)
            picture.putpixel((x, y), _mixed(ground, colour, covered, stripe, noise))
    return picture


def _near(colour: Colour, difference: int, rng: random.Random) -> Colour:
    red, green, blue = (level + rng.randrange(-difference, difference + 1) for level in colour)
    return red, green, blue


def _covered(inside: Inside, x: int, y: int, size: int) -> int:
    """Return how many of the pixels of the canvas that become one pixel are in the shape."""
    return sum(inside(x + right, y + down, size) for down in range(_SCALE) for right in range(_SCALE))


def _mixed(ground: Colour, colour: Colour, covered: int, stripe: int, noise: int) -> Colour:
    whole = _SCALE * _SCALE
    red, green, blue = (
        min(255, max(0, (covered * front + (whole - covered) * (back + stripe)) // whole + noise))
        for front, back in zip(colour, ground, strict=True)
    )
    return red, green, blue


def main() -> None:
    """Write the folder."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="Output folder")
    parser.add_argument("--count", type=int, default=60, help="Number of pictures of each class")
    arguments = parser.parse_args()
    for name in SHAPES:
        (arguments.folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(arguments.count):
            draw_shape(name, number).save(arguments.folder / name / f"{number:04d}.png")


if __name__ == "__main__":
    main()
