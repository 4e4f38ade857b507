"""Image operations in numpy, as `canonical` needs them: `blurred`, `running`, `opened`, `otsu`, `pieces`, `boxes`.

The runtime does without scipy and OpenCV: they are ten times the size of everything else it installs.
"""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]
T = TypeVar("T", bound=np.generic)


def blurred(array: Array, radius: int) -> Array:
    """The mean over a square of 2·radius + 1 pixels, the edges repeated.

    Args:
        array: float32, (H, W) or (H, W, C).
        radius: pixels; 0 leaves the array as it is.
    """
    if radius < 1:
        return array
    width = 2 * radius + 1
    for axis in (0, 1):
        padding = [(0, 0)] * array.ndim
        padding[axis] = (radius + 1, radius)
        sums = np.moveaxis(np.cumsum(np.pad(array, padding, mode="edge"), axis=axis, dtype=np.float64), axis, 0)
        array = np.moveaxis(((sums[width:] - sums[:-width]) / width).astype(np.float32), 0, axis)
    return array


def running(extreme: np.ufunc, array: NDArray[T], height: int, width: int) -> NDArray[T]:
    """The running maximum or minimum over a rectangle of odd sides, the edges repeated, in log2(side) steps per axis.

    Args:
        extreme: `numpy.maximum` or `numpy.minimum`; on a mask they are dilation and erosion.
        array: (H, W).
        height: of the rectangle, odd, pixels.
        width: likewise.
    """
    for axis, side in ((0, height), (1, width)):
        padding = [(0, 0), (0, 0)]
        padding[axis] = (side // 2, side // 2)
        padded = np.moveaxis(np.pad(array, padding, mode="edge"), axis, 0)
        covered = 1
        while covered < side:
            step = min(covered, side - covered)
            padded = extreme(padded[:-step], padded[step:])
            covered += step
        array = np.moveaxis(padded, 0, axis)
    return array


def opened(array: NDArray[T], height: int, width: int) -> NDArray[T]:
    """The opening: everything light in which a rectangle of these odd sides does not fit is gone, the rest stays."""
    return running(np.maximum, running(np.minimum, array, height, width), height, width)


def otsu(levels: Array) -> float:
    """The level that parts the histogram in two with the least variance within the parts (Otsu 1979)."""
    low, high = float(levels.min()), float(levels.max())
    if high <= low:
        return high
    bins = 64
    step = (high - low) / bins
    counts = np.bincount(np.minimum((levels.ravel() - low) / step, bins - 1).astype(np.intp), minlength=bins)
    below = np.cumsum(counts)
    above = below[-1] - below
    sums = np.cumsum(counts * np.arange(bins))
    between = (sums[-1] * below - sums * below[-1]) ** 2 / np.maximum(below * above, 1)
    return low + step * (1 + int(np.argmax(between[:-1])))


def pieces(mask: Mask) -> tuple[NDArray[np.intp], int]:
    """The pieces of a mask that hang together, diagonals included.

    Every pixel starts as its own piece; each round gives the larger of two neighbouring numbers the smaller one and
    follows the references to their ends, which settles a handwritten stroke in about five rounds.

    Returns:
        int, (H, W): 0 outside the mask, else the number of the piece, from 1; and how many pieces there are.
    """
    size = int(np.count_nonzero(mask))
    index = np.full(mask.shape, -1)
    index[mask] = np.arange(size)
    neighbours = (
        (index[:, :-1], index[:, 1:]),
        (index[:-1], index[1:]),
        (index[:-1, :-1], index[1:, 1:]),
        (index[:-1, 1:], index[1:, :-1]),
    )
    first, second = np.concatenate([np.stack((a, b))[:, (a >= 0) & (b >= 0)] for a, b in neighbours], axis=1)
    parent = np.arange(size)
    while not np.array_equal(parent[first], parent[second]):
        np.minimum.at(parent, np.maximum(parent[first], parent[second]), np.minimum(parent[first], parent[second]))
        while not np.array_equal(parent, parent[parent]):
            parent = parent[parent]
    roots, numbers = np.unique(parent, return_inverse=True)
    numbered = np.zeros(mask.shape, np.intp)
    numbered[mask] = numbers + 1
    return numbered, len(roots)


def boxes(numbered: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    """The box of each piece: int, (count, 4), left, upper, right, lower, the last two exclusive."""
    rows, columns = np.nonzero(numbered)
    piece = numbered[rows, columns] - 1
    found = np.empty((count, 4), np.intp)
    found[:, :2], found[:, 2:] = max(numbered.shape), 0
    for side, extreme, positions in (
        (0, np.minimum, columns),
        (1, np.minimum, rows),
        (2, np.maximum, columns + 1),
        (3, np.maximum, rows + 1),
    ):
        extreme.at(found[:, side], piece, positions)
    return found
