"""From a user's picture to the form MNIST's images have: `to_mnist_format`.

The picture is looked at as a whole to find the ink, and again close up where the ink is a small part of it; then its
strokes are `thickened` where they are thin, and it is `framed`.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from digits_edge.runtime.preprocessing.ink import Box, Ink, find_ink, without_idle_alpha
from digits_edge.runtime.preprocessing.morphology import Array, on_grid, percentile, running

IMAGE_SIDE = 28
#: The longer side of an MNIST digit in its image.
INK_SIDE = 20
#: The median stroke of MNIST's test images by `_thickness`, in pixels; 5 % are below 1.8 and 5 % above 3.9. Thinner
#: ones are brought to it: else 4 of 274 real pictures are misread instead of 2. Thinning thick ones changed no answer.
STROKE = 2.5


@dataclass(frozen=True)
class Step:
    """What a picture was on its way.

    Attributes:
        name: what was done, in a few words.
        pixels: (H, W), of any size.
        white: the value that is white.
    """

    name: str
    pixels: NDArray[Any]
    white: float = 255.0


@dataclass(frozen=True)
class PreparedPicture:
    """A picture in the form of MNIST's images.

    Attributes:
        image: uint8, (28, 28), white ink on black; all zero if the picture is blank.
        blank: no ink was found.
        box: left, upper, right, lower of the ink in the picture's own pixels; None if blank.
        steps: what came between picture and image, in order.
    """

    image: NDArray[np.uint8]
    blank: bool
    box: Box | None
    steps: tuple[Step, ...] = field(default=(), repr=False)


def to_mnist_format(picture: Image.Image) -> PreparedPicture:
    """Bring a picture of one digit to the MNIST form.

    Args:
        picture: as `open_picture` returns it: dark ink on light or light on dark, of any colour and size, lit evenly
            or not, on plain, ruled or squared paper.

    Returns:
        The image; a blank one if nothing in the picture stands out like ink.
    """
    picture = without_idle_alpha(picture)
    ink = find_ink(picture, (0, 0, *picture.size))
    if ink.box is None:
        return PreparedPicture(np.zeros((IMAGE_SIDE, IMAGE_SIDE), np.uint8), blank=True, box=None, steps=_steps(ink))
    if max(ink.box[2] - ink.box[0], ink.box[3] - ink.box[1]) < 0.5 * max(picture.size):
        closer = find_ink(picture, _with_margin(ink.box, picture.size))
        ink = ink if closer.box is None else closer
    thick = thickened(ink.cut)
    return PreparedPicture(
        framed(thick), blank=False, box=ink.box, steps=(*_steps(ink), Step("strokes as MNIST has them", thick, 1.0))
    )


def thickened(ink: Array) -> Array:
    """Strokes at least as thick as MNIST's, float32 (H, W) in 0…1; thin pens would fade when made small.

    Args:
        ink: float32, (H, W), cut to its box, at least one value above 0.
    """
    ink = on_grid(np.clip(ink / percentile(ink[ink > 0], 75), 0, 1))
    missing = STROKE - _thickness(ink) * INK_SIDE / max(ink.shape)
    fine = 4
    radius = round(missing * fine / 2)
    if radius < 1:
        return ink
    ink = np.pad(_resized(ink, fine * INK_SIDE), radius)
    for step in range(radius):  # cross and square in turn: an octagon
        cross = np.maximum(running(np.maximum, ink, 3, 1), running(np.maximum, ink, 1, 3))
        ink = running(np.maximum, ink, 3, 3) if step % 2 else cross
    return ink


def framed(ink: Array) -> NDArray[np.uint8]:
    """The ink as MNIST frames it: uint8 (28, 28), longer side 20, strokes near 255, centred by mass.

    Args:
        ink: float32, (H, W), cut to its box, at least one value above 0.
    """
    small = _resized(ink, INK_SIDE)
    full = max(float(percentile(small[small > 0], 80)), 0.5 * float(small.max()))
    levels = np.rint(np.minimum(small / full, 1) * 255).astype(np.int64)
    height, width = levels.shape
    # MNIST's centre of mass lies in the pixel right of and below the middle, never before it: hence ceil. A symmetric
    # digit lies exactly between two answers, so the sums are of whole numbers.
    doubled = 2 * int(levels.sum())
    x = int(levels.sum(0) @ (2 * np.arange(width) + 1)) / doubled
    y = int(levels.sum(1) @ (2 * np.arange(height) + 1)) / doubled
    left = min(max(int(np.ceil(IMAGE_SIDE / 2 - x)), 0), IMAGE_SIDE - width)
    upper = min(max(int(np.ceil(IMAGE_SIDE / 2 - y)), 0), IMAGE_SIDE - height)
    image = np.zeros((IMAGE_SIDE, IMAGE_SIDE), np.uint8)
    image[upper : upper + height, left : left + width] = levels
    return image


def _steps(ink: Ink) -> tuple[Step, ...]:
    lightest = max(float(ink.raised.max()), 1.0)
    return (
        Step("ink made light", ink.levels),
        Step("paper taken away", ink.raised, lightest),
        Step("only the digit", ink.digit, lightest),
    )


def _with_margin(box: Box, size: tuple[int, int]) -> Box:
    margin = max(box[2] - box[0], box[3] - box[1]) // 2
    left, upper = max(0, box[0] - margin), max(0, box[1] - margin)
    return left, upper, min(size[0], box[2] + margin), min(size[1], box[3] + margin)


def _thickness(ink: Array) -> float:
    """The mean width of the strokes in pixels: twice their area by their outline, the mean over directions.

    Args:
        ink: float32, (H, W) in 0…1, on the grid.
    """
    padded = np.pad(ink, 1)
    outline = sum(float(np.abs(np.diff(padded, axis=axis)).sum(dtype=np.float64)) for axis in (0, 1)) * np.pi / 4
    return 2 * float(ink.sum(dtype=np.float64)) / outline


def _resized(ink: Array, side: int) -> Array:
    """The ink, its longer side brought to `side`, antialiased."""
    scale = side / max(ink.shape)
    size = (max(1, round(ink.shape[1] * scale)), max(1, round(ink.shape[0] * scale)))
    return on_grid(np.asarray(Image.fromarray(ink).resize(size, Image.Resampling.BILINEAR)))
