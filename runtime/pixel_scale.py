"""Pixel range of images: recognise pixels that are scaled to 0–1, and convert them to 0–255.

This is the only place that decides. Images are taken for scaled to 0–1 if no pixel of any of them is above 1 and at
least two of them have a pixel above 0. Blank images do not count, so a batch of blank images is allowed, and so is a
single image: one that is nearly blank has no pixel above 1 either. The start or the rest of a table is judged only if
it has `MIN_IMAGES_OF_PART` such images.
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

#: Value of white: 1 for pixels from 0 to 1, 255 for pixels from 0 to 255.
PixelScale = Literal[1, 255]

#: Number of images with ink, none of which has a pixel above 1, that are taken for scaled to 0–1.
MIN_IMAGES, MIN_IMAGES_OF_PART = 2, 64


def is_scaled(images: NDArray[np.uint8]) -> bool:
    """Whether a batch of images seems to be scaled to 0–1.

    Args:
        images: uint8 or bool, (N, …).

    Example:
        >>> digits = np.zeros((3, 28, 28), np.uint8)
        >>> digits[:, 4:24, 14] = 1
        >>> is_scaled(digits), is_scaled(digits[:1]), is_scaled(digits * 255), is_scaled(digits * 0)
        (True, False, False, False)
    """
    if len(images) < MIN_IMAGES or (images[0] > 1).any():  # the first image decides nearly always
        return False
    return bool(images.max() <= 1) and _count_with_ink(images) >= MIN_IMAGES


class RangeCheck:
    """Judges the images of a table block by block.

    Example:
        >>> check = RangeCheck(is_part=False)
        >>> ones = np.ones((2, 28, 28), np.uint8)
        >>> check.add(ones), check.at_end()
        (False, True)
        >>> check.add(255 * ones), check.at_end()
        (False, False)
    """

    def __init__(self, *, is_part: bool) -> None:
        """Create a check.

        Args:
            is_part: whether the blocks are only a part of the table.
        """
        self._minimum = MIN_IMAGES_OF_PART if is_part else MIN_IMAGES
        self._count: int | None = 0  # None after a pixel above 1

    def add(self, images: NDArray[np.uint8]) -> bool:
        """Add a block; return whether the images so far are enough to take the table for scaled to 0–1."""
        if self._count is None or not len(images):
            return False
        self._count = None if images.max() > 1 else self._count + _count_with_ink(images)
        return self._count is not None and self._count >= MIN_IMAGES_OF_PART

    def at_end(self) -> bool:
        """Whether the table seems to be scaled to 0–1 after all blocks."""
        return self._count is not None and self._count >= self._minimum


def _count_with_ink(images: NDArray[np.uint8]) -> int:
    return int(np.count_nonzero(images.reshape(len(images), -1).any(axis=1)))


def unscaled(values: NDArray[Any]) -> NDArray[np.uint8] | None:
    """Convert pixels from 0–1 to 0–255, rounded to whole numbers.

    Args:
        values: any shape; floats, integers or bool.

    Returns:
        uint8 of the same shape, or None if a value is not from 0 to 1.

    Example:
        >>> unscaled(np.array([0, 0.5, 1])).tolist()
        [0, 128, 255]
        >>> unscaled(np.array([0, 2])) is None
        True
    """
    if values.size and not ((values >= 0) & (values <= 1)).all():
        return None
    if values.dtype == bool or np.issubdtype(values.dtype, np.integer):
        return values.astype(np.uint8) * np.uint8(255)
    return np.asarray(np.rint(values * values.dtype.type(255)), np.uint8)
