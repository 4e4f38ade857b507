"""How the input tensor of a Keras model holds an image: `ImageLayout`."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.errors import ModelError
from digits_edge.runtime.model.image_input import MAX_SIDE, ImageInput

_SUPPORTED = "(None, H, W), (None, H, W, 1 or 3), (None, 1 or 3, H, W), (None, side·side) or (None, side·side·3)"


@dataclass(frozen=True)
class ImageLayout:
    """The shape of a Keras model's input, and the images that it holds.

    Attributes:
        shape: shape of the input tensor, without the batch axis.
        image: size and channels of the images; the polarity is white on black for grey levels.
        channels_first: whether the channels are the first axis of an image.

    Example:
        >>> ImageLayout.of((None, 784)).image.shape, ImageLayout.of((None, 3, 32, 48)).image.shape
        ((28, 28), (32, 48, 3))
        >>> ImageLayout.of((None, 3, 32, 48)).arranged(np.zeros((5, 32, 48, 3), np.float32)).shape
        (5, 3, 32, 48)
    """

    shape: tuple[int, ...]
    image: ImageInput
    channels_first: bool = False

    @classmethod
    def of(cls, shape: Sequence[int | None]) -> Self:
        """Recognise the layout of an input shape, whose first axis is the batch.

        Raises:
            ModelError: this is not the shape of a batch of images, or a size is not fixed.
        """
        text = f"({', '.join(map(str, shape))})"
        sizes = tuple(size for size in shape[1:] if size is not None)
        if len(sizes) < len(shape) - 1:
            raise ModelError(
                f"input shape {text} is not fixed; build the model with the height and width of its images"
            )
        if len(sizes) == 1 and (flat := _of_flat(sizes[0])):
            sides, channels, first = (flat[0], flat[0]), flat[1], False
        elif len(sizes) == 2:
            sides, channels, first = sizes, 1, False
        elif len(sizes) == 3 and sizes[2] in (1, 3):
            sides, channels, first = sizes[:2], sizes[2], False
        elif len(sizes) == 3 and sizes[0] in (1, 3):
            sides, channels, first = sizes[1:], sizes[0], True
        else:
            raise ModelError(f"input shape {text} is not that of images; supported are {_SUPPORTED}")
        if max(sides) > MAX_SIDE:
            raise ModelError(f"input shape {text} is larger than {MAX_SIDE}×{MAX_SIDE} pixels; use smaller images")
        channel_count: Literal[1, 3] = 1 if channels == 1 else 3
        image = ImageInput(sides[0], sides[1], channel_count, "white-on-black" if channels == 1 else "as-photographed")
        return cls(sizes, image, first)

    @property
    def is_transposed(self) -> bool:
        """Whether the tensor has the axes of an image in another order."""
        return self.channels_first and self.image.channels > 1

    def arranged(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Reshape images, (N, H, W) or (N, H, W, 3), to the input tensor, (N, *shape)."""
        if self.is_transposed:
            images = np.moveaxis(images, -1, 1)
        return np.ascontiguousarray(images).reshape(len(images), *self.shape)


def _of_flat(size: int) -> tuple[int, int] | None:
    """Side and channels of a square image with this many values; None if there is none."""
    for channels in (1, 3):
        side = math.isqrt(size // channels)
        if side * side * channels == size:
            return side, channels
    return None
