"""The images that a model takes: `ImageInput`."""

import math
from dataclasses import dataclass
from typing import Literal

from digits_edge.runtime.errors import UsageError

#: "white-on-black": ink is 255 and paper 0, as in MNIST. "as-photographed": pixels as in the picture.
Polarity = Literal["white-on-black", "as-photographed"]
#: Maximum height and width in pixels.
MAX_SIDE = 1024


@dataclass(frozen=True)
class ImageInput:
    """Size, channels and polarity of a model's uint8 images.

    Attributes:
        height: in pixels, 1 to `MAX_SIDE`.
        width: in pixels, 1 to `MAX_SIDE`; None if it is free, as of the lines of sequence models.
        channels: 1 for grey levels, 3 for red, green and blue.
        polarity: what a pixel of 0 means.

    Raises:
        UsageError: height or width is out of range.

    Example:
        >>> ImageInput().shape, ImageInput(32, 32, 3).shape
        ((28, 28), (32, 32, 3))
        >>> ImageInput(96, 64, 3).description, ImageInput().pixels
        ('96×64×3', 784)
        >>> ImageInput(32, None).description
        '32×W'
    """

    height: int = 28
    width: int | None = 28
    channels: Literal[1, 3] = 1
    polarity: Polarity = "white-on-black"

    def __post_init__(self) -> None:
        if not all(1 <= side <= MAX_SIDE for side in (self.height, 1 if self.width is None else self.width)):
            raise UsageError(f"images of {self.height}×{self.width} pixels: use sides from 1 to {MAX_SIDE}")

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one image: (H, W) for one channel, (H, W, 3) for three.

        Raises:
            UsageError: the width is free.
        """
        if self.width is None:
            raise UsageError(f"images of {self.description} have a free width; use a model of single images")
        return (self.height, self.width) if self.channels == 1 else (self.height, self.width, self.channels)

    @property
    def pixels(self) -> int:
        """Number of values of one image.

        Raises:
            UsageError: the width is free.
        """
        return math.prod(self.shape)

    @property
    def description(self) -> str:
        """Height, width and, if there are several, channels, as in messages: `32×32×3`; a free width is W."""
        sides = (self.height, "W" if self.width is None else self.width, self.channels)
        return "×".join(map(str, sides[: 2 if self.channels == 1 else 3]))
