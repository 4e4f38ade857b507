"""Reference images whose Keras predictions become the golden values; the same images in every export."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from digits_edge.export.patterns import drawn_patterns
from digits_edge.runtime.datasets.catalogue import DIGITS
from digits_edge.runtime.datasets.synthetic_digits import draw_digit
from digits_edge.runtime.model.image_input import ImageInput
from digits_edge.runtime.model.steps import PreprocessingStep, default_steps
from digits_edge.runtime.preprocessing.steps import apply_steps

#: Maximum number of reference images.
COUNT = 48
_CANDIDATES = 96
_PICTURE_SIDE = 120
_SEED = 48
#: With 8 grey levels the images pack into half the bytes of 256, and digit edges are still anti-aliased.
_GREY_LEVELS = 8
#: Minimum difference of the two largest probabilities. Below it, rounding on another machine could change the label.
_MIN_MARGIN = 0.5


@cache
def candidate_images(
    image: ImageInput, labels: tuple[str, ...], preprocessing: tuple[PreprocessingStep, ...]
) -> NDArray[np.uint8]:
    """Draw the candidate images: digits if the classes are the ten digits, else patterns.

    The first call draws them; an ensemble needs them for each member.

    Args:
        image: the model's input.
        labels: the class names.
        preprocessing: the steps that convert the picture of a digit to the input; empty for the usual ones.

    Returns:
        Shape (96, H, W) or (96, H, W, 3), uint8; read-only.

    Example:
        >>> candidate_images(ImageInput(), DIGITS, default_steps(ImageInput(), digits=True)).shape
        (96, 28, 28)
    """
    if labels == DIGITS:
        candidates = _drawn_digits(image, preprocessing or default_steps(image, digits=True))
    else:
        candidates = drawn_patterns(image, _CANDIDATES)
    candidates.flags.writeable = False
    return candidates


def _drawn_digits(image: ImageInput, preprocessing: tuple[PreprocessingStep, ...]) -> NDArray[np.uint8]:
    """Synthetic digits with few grey levels, the ten digits in turn."""
    rng = np.random.default_rng(_SEED)
    pictures = [draw_digit(index % 10, rng, size=_PICTURE_SIDE) for index in range(_CANDIDATES)]
    images = np.stack([apply_steps(picture, preprocessing, image).image for picture in pictures])
    step = 255 / (_GREY_LEVELS - 1)
    return np.rint(np.rint(images / step) * step).astype(np.uint8)


def reproducible_rows(probabilities: NDArray[np.float32]) -> NDArray[np.intp]:
    """Select the rows, at most 48, whose two largest probabilities differ by at least 0.5.

    Args:
        probabilities: Keras's probabilities, (N, C).

    Returns:
        Row indices in ascending order.

    Example:
        >>> reproducible_rows(np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]], np.float32))
        array([0, 2])
    """
    ranked = np.sort(probabilities, axis=1)
    return np.flatnonzero(ranked[:, -1] - ranked[:, -2] >= _MIN_MARGIN)[:COUNT]


def clearest_rows(probabilities: NDArray[np.float32]) -> NDArray[np.intp]:
    """Select the 48 rows whose two largest probabilities differ most, in ascending order.

    Example:
        >>> clearest_rows(np.array([[0.5, 0.5], [0.6, 0.4]], np.float32))
        array([0, 1])
    """
    ranked = np.sort(probabilities, axis=1)
    order = np.argsort(ranked[:, -2] - ranked[:, -1], kind="stable")
    return np.sort(order[:COUNT])
