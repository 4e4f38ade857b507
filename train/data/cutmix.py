"""CutMix along a line: parts of two images in one, for distillation."""

import numpy as np
from numpy.typing import NDArray

#: Largest distance of the cut from the centre, as a fraction of the image, so that both sides have ink.
_OFF_CENTRE = 0.2


def cutmix(
    images: NDArray[np.float32], share: float, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Replace one side of a line in a share of the images by another image of the batch.

    For example, the upper half of an 8 is joined with the lower half of a 9. This follows Yun et al. 2019, "CutMix",
    with two differences: the cut is a straight line in any direction, blended over some pixels so that strokes
    continue; and there are no mixed labels, because the teachers' predictions are the targets.

    Args:
        images: float32 (N, H, W) or (N, H, W, channels) in 0…1.
        share: share of the images to cut.
        rng: source of all randomness.

    Returns:
        Mixed images, float32 of the same shape, and which of them are cut, bool (N,).

    Example:
        >>> mixed, is_cut = cutmix(np.zeros((4, 28, 28), np.float32), 1.0, np.random.default_rng(0))
        >>> mixed.shape, is_cut.tolist()
        ((4, 28, 28), [True, True, True, True])
    """
    count, height, width = images.shape[:3]
    is_cut = np.less(rng.random(count), share)
    others = images[rng.permutation(count)]
    rows, columns = np.mgrid[:height, :width].astype(np.float64)
    rows, columns = rows - (height - 1) / 2, columns - (width - 1) / 2
    angle = rng.uniform(0, 2 * np.pi, (count, 1, 1))
    off_centre_px = rng.uniform(-_OFF_CENTRE, _OFF_CENTRE, (count, 1, 1)) * min(height, width)
    distance_px = np.cos(angle) * columns + np.sin(angle) * rows - off_centre_px
    weight = 1 / (1 + np.exp(-distance_px))
    weight[~is_cut] = 1
    if images.ndim == 4:
        weight = weight[..., np.newaxis]
    return (weight * images + (1 - weight) * others).astype(np.float32), is_cut
