"""Occlusion maps (Zeiler & Fergus 2014): what hiding a part of an image does to the answer, for any model."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

_SIDE = 28
#: The side of the square that hides, and how far it moves, in pixels.
SQUARE, STEP = 6, 2

#: uint8 (N, 28, 28) → probabilities, float32 (N, C).
Predict = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


def occlusion_maps(
    predict: Predict, images: NDArray[np.uint8], *, square: int = SQUARE, step: int = STEP
) -> NDArray[np.float32]:
    """How much every part of an image speaks for every class.

    A square of the ground's black moves over the image, hanging over its edges. A pixel's value is the mean, over the
    squares that hide it, of how much the class's probability falls.

    Args:
        predict: uint8 (N, 28, 28) → probabilities (N, C).
        images: uint8, (N, 28, 28), white ink on black; at least one.
        square: the side of the square, in pixels.
        step: how far it moves, in pixels; at most `square`.

    Returns:
        float32, (N, C, 28, 28), −1 to 1: positive where the class needs what is there, negative where that speaks
        against it.
    """
    masks = _masks(square, step)
    covered = masks.sum(axis=0)
    maps = []
    for image in images:
        answers = predict(np.concatenate([image[np.newaxis], np.where(masks, np.uint8(0), image)]))
        falls = answers[:1].astype(np.float64) - answers[1:]
        maps.append(np.einsum("sc,srw->crw", falls, masks) / covered)
    return np.stack(maps).astype(np.float32)


def _masks(square: int, step: int) -> NDArray[np.bool_]:
    """Which pixels each position of the square hides, (S, 28, 28); every pixel is hidden by some."""
    starts = np.arange(step - square, _SIDE, step)
    pixels = np.arange(_SIDE)
    hidden = (pixels >= starts[:, None]) & (pixels < starts[:, None] + square)
    masks = hidden[:, None, :, None] & hidden[None, :, None, :]
    return masks.reshape(-1, _SIDE, _SIDE)
