"""Halves of two digits in one image: shapes that no hand wrote, for teachers to say what they come nearest to."""

import numpy as np
from numpy.typing import NDArray

#: How far from the middle the cut passes at most: a fifth of the image, so that there is ink on both sides of it.
_OFF_CENTRE = 0.2


def cutmix(
    images: NDArray[np.float32], share: float, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Cut a share of a batch's images along a line, and go on with another image of the batch beyond it.

    So the upper half of an 8 stands on the lower half of a 9. After Yun et al. 2019, "CutMix", but cut by a straight
    line in any direction, soft over some pixels, so that strokes go on; and without labels, for what is seen in the
    result is for teachers to say.

    Args:
        images: float32 (N, H, W) in 0…1.
        share: of the images.
        rng: where all randomness comes from.

    Returns:
        Images like those given, and bool (N,), which of them are cut.
    """
    count, size_px = images.shape[:2]
    is_cut = np.less(rng.random(count), share)
    others = images[rng.permutation(count)]
    rows, columns = np.mgrid[:size_px, :size_px] - (size_px - 1) / 2
    angle = rng.uniform(0, 2 * np.pi, (count, 1, 1))
    off_centre_px = rng.uniform(-_OFF_CENTRE, _OFF_CENTRE, (count, 1, 1)) * size_px
    distance_px = np.cos(angle) * columns + np.sin(angle) * rows - off_centre_px
    kept = 1 / (1 + np.exp(-distance_px))
    kept[~is_cut] = 1
    return (kept * images + (1 - kept) * others).astype(np.float32), is_cut
