"""Occlusion maps (Zeiler & Fergus 2014): how much each region of an image contributes to each class probability."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.model.image_input import Polarity

#: Side of the occluding square, and its step, in pixels of an image whose longer side is 28; larger for larger images.
SQUARE, STEP = 6, 2

#: uint8 (N, H, W) or (N, H, W, 3) → probabilities, float32 (N, C).
Predict = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


def occlusion_maps(
    predict: Predict,
    images: NDArray[np.uint8],
    *,
    square: int | None = None,
    step: int | None = None,
    polarity: Polarity = "white-on-black",
) -> NDArray[np.float32]:
    """Compute occlusion maps.

    A square without ink, or of the mean colour of a photograph, moves over the image and beyond its edges. The value of
    a pixel is the mean decrease of the class probability over all positions of the square that cover it.

    Args:
        predict: uint8 (N, H, W) or (N, H, W, 3) → probabilities, float32 (N, C).
        images: uint8 (N, H, W) or (N, H, W, 3); N is at least 1.
        square: side of the square, in pixels; None for about a fifth of the longer side (`SQUARE`).
        step: step of the square, in pixels, at most `square`; None for about a fourteenth of it (`STEP`).
        polarity: polarity of the images.

    Returns:
        float32 (N, C, H, W), −1 to 1. Positive: the region increases the probability of the class. Negative: it
        decreases it.

    Example:
        >>> from digits_edge.runtime import Classifier
        >>> with Classifier("edge-int8", provider="cpu") as classifier:
        ...     maps = occlusion_maps(classifier.predict_batch, classifier.golden.images[:1])
        >>> maps.shape, maps.dtype
        ((1, 10, 28, 28), dtype('float32'))
    """
    height, width = images.shape[1:3]
    scale = max(height, width) / 28
    masks = _masks(height, width, square or max(2, round(SQUARE * scale)), step or max(1, round(STEP * scale)))
    covered = masks.sum(axis=0)
    hidden = masks if images.ndim == 3 else masks[..., np.newaxis]
    maps = []
    for image in images:
        mean = np.rint(image.mean(axis=(0, 1))).astype(np.uint8)
        cover = np.uint8(0) if polarity == "white-on-black" else mean
        probabilities = predict(np.concatenate([image[np.newaxis], np.where(hidden, cover, image)]))
        decreases = probabilities[:1].astype(np.float64) - probabilities[1:]
        maps.append(np.einsum("sc,srw->crw", decreases, masks) / covered)
    return np.stack(maps).astype(np.float32)


def _masks(height: int, width: int, square: int, step: int) -> NDArray[np.bool_]:
    """Pixels covered by each of S positions of the square, bool (S, H, W); each pixel is covered at least once."""

    def hidden(side: int) -> NDArray[np.bool_]:
        starts, pixels = np.arange(step - square, side, step)[:, None], np.arange(side)
        return np.asarray((pixels >= starts) & (pixels < starts + square))

    masks = hidden(height)[:, None, :, None] & hidden(width)[None, :, None, :]
    return masks.reshape(-1, height, width)
