"""Occlusion maps (Zeiler & Fergus 2014): how much each region of an image contributes to each class probability."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.preprocessing.morphology import MID_GREY

#: Longer side of an image, in pixels, for which the two values below are; they grow with the image.
REFERENCE_SIDE = 28
#: Side of the occluding square, and its step, in pixels.
SQUARE, STEP = 6, 2
#: Maximum number of pixel values in a call of `predict`; 340 digits have fewer.
MAX_VALUES = 2**20

#: uint8 (N, H, W) or (N, H, W, 3) → probabilities, float32 (N, C).
Predict = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


def occlusion_maps(
    predict: Predict,
    images: NDArray[np.uint8],
    *,
    square: int | None = None,
    step: int | None = None,
    level: int = 0,
    classes: Sequence[int] | None = None,
) -> NDArray[np.float32]:
    """Compute occlusion maps.

    A square moves over the image and beyond its edges. The value of a pixel is the mean decrease of the class
    probability over all positions of the square that cover it.

    Args:
        predict: uint8 (N, H, W) or (N, H, W, 3) → probabilities, float32 (N, C).
        images: uint8 (N, H, W) or (N, H, W, 3), inputs of the model; N is at least 1.
        square: side of the square, in pixels; None for `SQUARE`, scaled to the longer side of the images.
        step: step of the square, in pixels, at most `square`; None for `STEP`, scaled likewise.
        level: grey level of the square, 0 to 255; see `occlusion_level`.
        classes: indices of the K classes to map; None for all.

    Returns:
        float32 (N, K, H, W), −1 to 1. Positive: the region increases the probability of the class. Negative: it
        decreases it.

    Example:
        >>> from digits_edge.runtime import Classifier
        >>> with Classifier("edge-int8", provider="cpu") as classifier:
        ...     maps = occlusion_maps(classifier.predict_batch, classifier.golden.images[:1])
        >>> maps.shape, maps.dtype
        ((1, 10, 28, 28), dtype('float32'))
    """
    height, width = images.shape[1:3]
    scale = max(1.0, max(height, width) / REFERENCE_SIDE)
    square = round(SQUARE * scale) if square is None else square
    step = round(STEP * scale) if step is None else step
    rows, columns = _hidden(height, square, step), _hidden(width, square, step)
    covered = np.outer(rows.sum(axis=0), columns.sum(axis=0))
    shown = slice(None) if classes is None else list(classes)
    maps = []
    for image in images:
        probabilities = _probabilities(predict, image, rows, columns, level)[:, shown]
        grid = (probabilities[:1] - probabilities[1:]).reshape(len(rows), len(columns), -1)
        maps.append(np.einsum("ijc,ir,jw->crw", grid, rows, columns, optimize=True) / covered)
    return np.stack(maps).astype(np.float32)


def occlusion_level(polarity: str) -> int:
    """Grey level that hides a part of an image: black where ink is white, otherwise medium grey.

    Args:
        polarity: of the model's input.

    Example:
        >>> occlusion_level("white-on-black"), occlusion_level("as-photographed")
        (0, 127)
    """
    return 0 if polarity == "white-on-black" else MID_GREY


def _probabilities(
    predict: Predict, image: NDArray[np.uint8], rows: NDArray[np.bool_], columns: NDArray[np.bool_], level: int
) -> NDArray[np.float64]:
    """Probabilities of the image, and of the image with the square at each of P positions, float64 (1 + P, C)."""
    nothing = np.zeros_like(rows[0]), np.zeros_like(columns[0])
    hidden = [nothing, *((row, column) for row in rows for column in columns)]
    at_once = max(1, MAX_VALUES // image.size)
    found = []
    for start in range(0, len(hidden), at_once):
        part = hidden[start : start + at_once]
        batch = np.repeat(image[np.newaxis], len(part), axis=0)
        for occluded, (row, column) in zip(batch, part, strict=True):
            occluded[np.ix_(row, column)] = level
        found.append(predict(batch))
    return np.concatenate(found).astype(np.float64)


def _hidden(length: int, square: int, step: int) -> NDArray[np.bool_]:
    """Pixels along an axis that each position of the square covers, bool (positions, length); all at least once."""
    starts = np.arange(step - square, length, step)
    pixels = np.arange(length)
    return np.asarray((pixels >= starts[:, None]) & (pixels < starts[:, None] + square))
