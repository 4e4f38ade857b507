"""Drawn patterns, the reference images of models that do not classify digits: `drawn_patterns`."""

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.model.image_input import ImageInput

#: Levels of a pixel; few, so that the images pack into few bytes.
_LEVELS = np.arange(0, 256, 85).astype(np.uint8)
_SEED = 22
_MIN_SHAPES, _MAX_SHAPES = 1, 4


def drawn_patterns(image: ImageInput, count: int) -> NDArray[np.uint8]:
    """Draw images of random rectangles and ellipses on an even ground; the same on every machine.

    Only integer arithmetic is used, so no rounding differs between processors.

    Args:
        image: size and channels of the images.
        count: number of images.

    Returns:
        uint8, (count, H, W) or (count, H, W, 3).

    Example:
        >>> patterns = drawn_patterns(ImageInput(32, 48, 3), 5)
        >>> patterns.shape, sorted(set(patterns.ravel().tolist()))
        ((5, 32, 48, 3), [0, 85, 170, 255])
    """
    rng = np.random.default_rng(_SEED)
    height, width = image.shape[:2]
    y, x = np.indices((height, width))
    images = np.empty((count, height, width, image.channels), np.uint8)
    for pixels in images:
        pixels[:] = rng.choice(_LEVELS, image.channels)
        for _ in range(int(rng.integers(_MIN_SHAPES, _MAX_SHAPES + 1))):
            centre_y, centre_x = int(rng.integers(height)), int(rng.integers(width))
            half_y, half_x = int(rng.integers(1, height // 2 + 2)), int(rng.integers(1, width // 2 + 2))
            dy, dx = np.abs(y - centre_y), np.abs(x - centre_x)
            if rng.integers(2):
                inside = (dy <= half_y) & (dx <= half_x)
            else:
                inside = (dy * half_x) ** 2 + (dx * half_y) ** 2 <= (half_x * half_y) ** 2
            pixels[inside] = rng.choice(_LEVELS, image.channels)
    return images[:, :, :, 0] if image.channels == 1 else images
