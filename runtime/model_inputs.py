"""Checks of the arrays that callers pass as inputs of a model, with messages that name the wrong axis."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.errors import ImageError
from digits_edge.runtime.pixel_scale import is_scaled, unscaled


def refuse_scaled(images: NDArray[np.uint8]) -> None:
    """Raise ImageError if the pixels of a batch seem to be scaled to 0–1.

    Args:
        images: uint8, (N, …).

    Example:
        >>> refuse_scaled(np.full((2, 28, 28), 200, np.uint8))
    """
    if is_scaled(images):
        raise ImageError(
            f"no pixel of the {len(images)} images is above 1, so they are probably scaled to 0–1; "
            "multiply them by 255, or pass pixel_range=1 (255 if they are right)"
        )


def unscaled_inputs(images: NDArray[Any]) -> NDArray[np.uint8]:
    """Convert images with pixels from 0 to 1, of any dtype, to uint8 from 0 to 255.

    Raises:
        ImageError: a pixel is not a number from 0 to 1.

    Example:
        >>> unscaled_inputs(np.full((1, 2, 2), 0.2, np.float32)).ravel().tolist()
        [51, 51, 51, 51]
    """
    is_number = images.dtype == bool or np.issubdtype(images.dtype, np.number)
    pixels = unscaled(images) if is_number and not np.iscomplexobj(images) else None
    if pixels is None:
        raise ImageError("the images have pixels that are not numbers from 0 to 1; pass pixel_range=255 for 0 to 255")
    return pixels


def as_inputs(images: NDArray[Any], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Reshape a batch of flat images to inputs of a model, or say what is wrong with it.

    Args:
        images: a batch whose dtype or shape is not yet that of the model.
        shape: shape of one image, (H, W) or (H, W, 3).

    Returns:
        uint8, (N, *shape).

    Raises:
        ImageError: the dtype is not uint8, or the shape is neither (N, *shape) nor (N, pixels); the message names the
            axis.

    Example:
        >>> as_inputs(np.zeros((2, 784), np.uint8), (28, 28)).shape
        (2, 28, 28)
    """
    if images.dtype != np.uint8:
        raise ImageError(
            f"the images have dtype {images.dtype}, expected uint8; use 0 to 255, white ink on black, or pass "
            "pixel_range=1 for pixels from 0 to 1"
        )
    sizes, pixels = ", ".join(map(str, shape)), math.prod(shape)
    if images.shape == shape:
        raise ImageError(
            f"the images have shape ({sizes}), expected (N, {sizes}); use images[np.newaxis] for one image"
        )
    if images.ndim == 2 and images.shape[1] == pixels:
        return images.reshape(-1, *shape)
    if images.ndim not in (2, 1 + len(shape)):
        expected_axes = f"2 or {1 + len(shape)}"
        raise ImageError(
            f"the images have {images.ndim} axes, expected {expected_axes}; use shape (N, {sizes}) or (N, {pixels})"
        )
    expected = (pixels,) if images.ndim == 2 else shape
    axis = next(axis for axis, size in enumerate(expected, start=1) if images.shape[axis] != size)
    raise ImageError(
        f"axis {axis} of the images has size {images.shape[axis]}, expected {expected[axis - 1]}; "
        f"use shape (N, {sizes}) or (N, {pixels})"
    )
