"""Image operations in numpy, as `to_mnist_format` needs them.

`on_grid`, `blurred`, `running`, `opened`, `otsu`, `pieces`, `boxes`, and `percentile`.

Their results do not depend on the processor. Levels are whole multiples of 1/4096, so that sums of them in float64 are
exact in whatever order a processor's instructions add them, and the last bits in which processors differ are rounded
away before a comparison sees them.

The runtime does without scipy and OpenCV: they are ten times the size of everything else it installs.
"""

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]
T = TypeVar("T", bound=np.generic)


#: Levels of 0 to 255 in steps of one by this are exact in float32, and sums of a picture's levels in float64.
GRID = 4096


def on_grid(values: NDArray[Any]) -> Array:
    """Values rounded to whole multiples of 1/4096, float32 of the same shape.

    Args:
        values: float, each below 4096.

    Examples:
        >>> on_grid(np.array([1 / 3, 0.5 + 1e-9])) * 4096
        array([1365., 2048.], dtype=float32)
    """
    return np.asarray(np.rint(values * np.float32(GRID)) / np.float32(GRID), np.float32)


def percentile(values: NDArray[Any], percent: float) -> Any:
    """As `np.percentile(values, percent, axis=0)`, which imports numpy.ma: twenty milliseconds of every start.

    Args:
        values: (N,) or (N, …), N at least 1.
        percent: 0 to 100; between two values the result lies linearly.
    """
    place = (len(values) - 1) * percent / 100
    low = int(place)
    high = min(low + 1, len(values) - 1)
    parted = np.partition(values, (low, high), axis=0)
    between: NDArray[Any] = parted[low] + (place - low) * (parted[high].astype(np.float64) - parted[low])
    return between.astype(values.dtype) if np.issubdtype(values.dtype, np.floating) else between


def blurred(array: Array, radius: int) -> Array:
    """The mean over a square of 2·radius + 1 pixels, the edges repeated; on the grid of `on_grid`.

    Args:
        array: float32, (H, W) or (H, W, C).
        radius: pixels; 0 leaves the array as it is.
    """
    if radius < 1:
        return array
    width = 2 * radius + 1
    for _ in (0, 1):
        sums = np.cumsum(_edges_repeated(array, radius + 1, radius), axis=0, dtype=np.float64)
        array = ((sums[width:] - sums[:-width]) / width).astype(np.float32).swapaxes(0, 1)
    return on_grid(array)


def running(extreme: np.ufunc, array: NDArray[T], height: int, width: int) -> NDArray[T]:
    """The running maximum or minimum over a rectangle of odd sides, the edges repeated, in log2(side) steps per axis.

    Args:
        extreme: `numpy.maximum` or `numpy.minimum`; on a mask they are dilation and erosion.
        array: (H, W).
        height: of the rectangle, odd, pixels.
        width: likewise.
    """
    for side in (height, width):
        padded = _edges_repeated(array, side // 2, side // 2)
        covered = 1
        while covered < side:
            step = min(covered, side - covered)
            padded = extreme(padded[:-step], padded[step:])
            covered += step
        array = padded.swapaxes(0, 1)
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
    places = np.minimum((levels.ravel() - low) / step, bins - 1).astype(np.intp)
    counts = np.bincount(places, minlength=bins).astype(np.float64)  # of integers the square below passes 2^63
    below = np.cumsum(counts)
    above = below[-1] - below
    sums = np.cumsum(counts * np.arange(bins))
    between = (sums[-1] * below - sums * below[-1]) ** 2 / np.maximum(below * above, 1)
    return low + step * (1 + int(np.argmax(between[:-1])))


def pieces(mask: Mask) -> tuple[NDArray[np.intp], int]:
    """The pieces of a mask that hang together, diagonals included.

    Every run of pixels along a row starts as its own piece; each round gives the larger of two numbers that touch the
    smaller one and follows the references to their ends, which settles a handwritten stroke in a few rounds.

    Returns:
        int, (H, W): 0 outside the mask, else the number of the piece, from 1; and how many pieces there are.
    """
    sides = np.diff(mask.astype(np.int8), axis=1, prepend=np.int8(0), append=np.int8(0))
    rows, starts = np.nonzero(sides == 1)
    ends = np.nonzero(sides == -1)[1]
    # all rows on one line, two places apart, so that a run touches those just below it and no others
    line = mask.shape[1] + 2
    low = np.searchsorted(rows * line + ends, (rows + 1) * line + starts)
    high = np.searchsorted(rows * line + starts, (rows + 1) * line + ends, side="right")
    below = np.maximum(high - low, 0)
    first = np.repeat(np.arange(len(rows)), below)
    second = np.arange(len(first)) + np.repeat(low - np.cumsum(below) + below, below)
    parent = np.arange(len(rows))
    while not np.array_equal(parent[first], parent[second]):
        np.minimum.at(parent, np.maximum(parent[first], parent[second]), np.minimum(parent[first], parent[second]))
        while not np.array_equal(parent, parent[parent]):
            parent = parent[parent]
    numbers = np.cumsum(parent == np.arange(len(parent)))
    numbered = np.zeros(mask.shape, np.intp)
    numbered[mask] = np.repeat(numbers[parent], ends - starts)
    return numbered, int(numbers[-1]) if len(numbers) else 0


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


def _edges_repeated(array: NDArray[T], before: int, after: int) -> NDArray[T]:
    """More rows like the first and the last; `numpy.pad` takes longer than what is done with them."""
    length = len(array)
    padded = np.empty((before + length + after, *array.shape[1:]), array.dtype)
    padded[:before], padded[before : before + length], padded[before + length :] = array[:1], array, array[-1:]
    return padded
