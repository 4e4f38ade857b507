"""Occlusion maps (Zeiler & Fergus 2014): how much each region of an image contributes to each class probability."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

_SIDE = 28
#: Side of the occluding square, and its step, in pixels.
SQUARE, STEP = 6, 2

#: uint8 (N, 28, 28) → probabilities, float32 (N, C).
Predict = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


def occlusion_maps(
    predict: Predict, images: NDArray[np.uint8], *, square: int = SQUARE, step: int = STEP
) -> NDArray[np.float32]:
    """Compute occlusion maps.

    A black square moves over the image and beyond its edges. The value of a pixel is the mean decrease of the class
    probability over all positions of the square that cover it.

    Args:
        predict: uint8 (N, 28, 28) → probabilities, float32 (N, C).
        images: uint8 (N, 28, 28), white ink on black; N is at least 1.
        square: side of the square, in pixels.
        step: step of the square, in pixels; at most `square`.

    Returns:
        float32 (N, C, 28, 28), −1 to 1. Positive: the region increases the probability of the class. Negative: it
        decreases it.

    Example:
        >>> from digits_edge.runtime import Classifier
        >>> with Classifier("edge-int8", provider="cpu") as classifier:
        ...     maps = occlusion_maps(classifier.predict_batch, classifier.golden.images[:1])
        >>> maps.shape, maps.dtype
        ((1, 10, 28, 28), dtype('float32'))
    """
    masks = _masks(square, step)
    covered = masks.sum(axis=0)
    maps = []
    for image in images:
        probabilities = predict(np.concatenate([image[np.newaxis], np.where(masks, np.uint8(0), image)]))
        decreases = probabilities[:1].astype(np.float64) - probabilities[1:]
        maps.append(np.einsum("sc,srw->crw", decreases, masks) / covered)
    return np.stack(maps).astype(np.float32)


def _masks(square: int, step: int) -> NDArray[np.bool_]:
    """Pixels covered by each of S positions of the square, bool (S, 28, 28); each pixel is covered at least once."""
    starts = np.arange(step - square, _SIDE, step)
    pixels = np.arange(_SIDE)
    hidden = (pixels >= starts[:, None]) & (pixels < starts[:, None] + square)
    masks = hidden[:, None, :, None] & hidden[None, :, None, :]
    return masks.reshape(-1, _SIDE, _SIDE)
