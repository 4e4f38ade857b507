"""Image operations in NumPy for the preprocessing.

`on_grid`, `percentile`, `blurred`, `running`, `opened`, `otsu`, `pieces` and `boxes`.

Results are identical on every processor. Levels are multiples of 1/4096, so that their sums in float64 are exact in
any order of addition, and differences in the last bits are rounded away before a comparison can depend on them.

The runtime does not depend on SciPy or OpenCV: they are ten times the size of everything else it installs.

The numeric constants are exported to JavaScript by `digits_edge.export.targets.preprocessing_constants`.
"""

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]
T = TypeVar("T", bound=np.generic)

#: Up to this radius, `blurred` adds the rows of each window, which is then faster than cumulative sums.
_MAX_ADDED_RADIUS = 2

#: Levels are multiples of 1/GRID: levels in 0…255 are then exact in float32, and sums of a picture's levels in float64.
GRID = 4096
#: Levels above this one are nearer to white than to black.
MID_GREY = 127
#: Percentiles.
LOWER_QUARTILE, MEDIAN, UPPER_QUARTILE = 25, 50, 75
#: Number of bins of the histogram in `otsu`.
OTSU_BINS = 64


def on_grid(values: NDArray[Any]) -> Array:
    """Round values to multiples of 1/4096.

    Args:
        values: Float array, any shape, values below 4096.

    Returns:
        float32, same shape.

    Example:
        >>> on_grid(np.array([1 / 3, 0.5 + 1e-9])) * 4096
        array([1365., 2048.], dtype=float32)
    """
    return np.asarray(np.rint(values * np.float32(GRID)) / np.float32(GRID), np.float32)


def percentile(values: NDArray[Any], percent: float) -> Any:
    """Compute a percentile along the first axis, like `np.percentile(values, percent, axis=0)`.

    `np.percentile` imports `numpy.ma`, which adds 20 ms to every start.

    Args:
        values: Array (N,) or (N, …), N at least 1.
        percent: 0 to 100; between two values, the result is interpolated linearly.

    Returns:
        Scalar or array (…).

    Example:
        >>> float(percentile(np.array([3.0, 1.0, 2.0, 4.0]), 50))
        2.5
    """
    place = (len(values) - 1) * percent / 100
    low = int(place)
    high = min(low + 1, len(values) - 1)
    parted = np.partition(values, (low, high), axis=0)
    between: NDArray[Any] = parted[low] + (place - low) * (parted[high].astype(np.float64) - parted[low])
    return between.astype(values.dtype) if np.issubdtype(values.dtype, np.floating) else between


def blurred(array: Array, radius: int) -> Array:
    """Apply a box filter with edge padding, rounded by `on_grid`.

    Args:
        array: float32, (H, W) or (H, W, C).
        radius: Radius in pixels; the box has 2·radius + 1 pixels a side. 0 returns the array unchanged.

    Returns:
        float32, same shape.

    Example:
        >>> blurred(np.array([[0, 9, 0]], np.float32), 1)
        array([[3., 3., 3.]], dtype=float32)
    """
    if radius < 1:
        return array
    width = 2 * radius + 1
    window_sums = _added if radius <= _MAX_ADDED_RADIUS else _cumulated
    for _ in (0, 1):
        sums = window_sums(_edge_padded(array, radius + 1, radius), width)
        array = (sums / width).astype(np.float32).swapaxes(0, 1)
    return on_grid(array)


def _added(padded: Array, width: int) -> NDArray[np.float64]:
    """The sums of so many rows each, from the second row on, by addition."""
    count = len(padded) - width
    sums = padded[1 : count + 1].astype(np.float64)
    for first in range(2, width + 1):
        sums += padded[first : count + first]
    return sums


def _cumulated(padded: Array, width: int) -> NDArray[np.float64]:
    """The same sums as `_added`, as differences of cumulative sums."""
    sums = np.cumsum(padded, axis=0, dtype=np.float64)
    return sums[width:] - sums[:-width]


def running(extreme: np.ufunc, array: NDArray[T], height: int, width: int) -> NDArray[T]:
    """Apply a maximum or minimum filter with edge padding: dilation or erosion by a rectangle.

    The filter needs log2(side) operations on the array for each axis.

    Args:
        extreme: `numpy.maximum` or `numpy.minimum`.
        array: (H, W), levels or a mask.
        height: Height of the rectangle in pixels, odd.
        width: Width of the rectangle in pixels, odd.

    Returns:
        Array of the same shape and dtype.

    Example:
        >>> running(np.maximum, np.array([[0, 0, 5, 0, 0]]), 1, 3)
        array([[0, 5, 5, 5, 0]])
    """
    for side in (height, width):
        padded = _edge_padded(array, side // 2, side // 2)
        covered = 1
        while covered < side:
            step = min(covered, side - covered)
            padded = extreme(padded[:-step], padded[step:])
            covered += step
        array = padded.swapaxes(0, 1)
    return array


def opened(array: NDArray[T], height: int, width: int) -> NDArray[T]:
    """Apply a morphological opening: remove light structures in which a rectangle does not fit.

    Args:
        array: (H, W), levels or a mask.
        height: Height of the rectangle in pixels, odd.
        width: Width of the rectangle in pixels, odd.

    Returns:
        Array of the same shape and dtype.

    Example:
        >>> opened(np.array([[0, 7, 0, 5, 5, 5, 0]]), 1, 3)
        array([[0, 0, 0, 5, 5, 5, 0]])
    """
    return running(np.maximum, running(np.minimum, array, height, width), height, width)


def otsu(levels: Array) -> float:
    """Compute Otsu's threshold (Otsu 1979): the level with the least variance within the two classes it separates.

    Args:
        levels: float32, any shape, not empty.

    Returns:
        The threshold; the level itself if all levels are equal.

    Example:
        >>> 10 < otsu(np.array([10, 11, 12, 200, 201], np.float32)) < 200
        True
    """
    low, high = float(levels.min()), float(levels.max())
    if high <= low:
        return high
    step = (high - low) / OTSU_BINS
    places = np.minimum((levels.ravel() - low) / step, OTSU_BINS - 1).astype(np.intp)
    counts = np.bincount(places, minlength=OTSU_BINS).astype(np.float64)  # squares of integers would exceed 2^63
    below = np.cumsum(counts)
    above = below[-1] - below
    sums = np.cumsum(counts * np.arange(OTSU_BINS))
    between = (sums[-1] * below - sums * below[-1]) ** 2 / np.maximum(below * above, 1)
    return low + step * (1 + int(np.argmax(between[:-1])))


def pieces(mask: Mask) -> tuple[NDArray[np.intp], int]:
    """Label the connected components of a mask (8-connectivity).

    Every run of pixels along a row starts with a label of its own. Each round replaces the larger of two labels that
    touch by the smaller one and resolves chains of replacements. A handwritten stroke needs a few rounds.

    Args:
        mask: bool, (H, W).

    Returns:
        The labels, int (H, W), 0 outside the mask and from 1 inside; and the number of components.

    Example:
        >>> labels, count = pieces(np.array([[1, 0, 0], [0, 1, 0], [0, 0, 0], [1, 0, 1]], bool))
        >>> count
        3
        >>> labels.tolist()
        [[1, 0, 0], [0, 1, 0], [0, 0, 0], [2, 0, 3]]
    """
    sides = np.diff(mask.astype(np.int8), axis=1, prepend=np.int8(0), append=np.int8(0))
    rows, starts = np.nonzero(sides == 1)
    ends = np.nonzero(sides == -1)[1]
    # positions in one sequence of all rows, two apart, so that a run touches only runs of the next row
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
    """Compute the bounding box of each connected component.

    Args:
        numbered: Labels, int (H, W), as `pieces` returns them.
        count: Number of components, likewise.

    Returns:
        int, (count, 4): left, upper, right, lower of each component; right and lower are exclusive.

    Example:
        >>> boxes(np.array([[0, 1, 1], [2, 0, 0]]), 2).tolist()
        [[1, 0, 3, 1], [0, 1, 1, 2]]
    """
    rows, columns = np.nonzero(numbered > 0)
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


def _edge_padded(array: NDArray[T], before: int, after: int) -> NDArray[T]:
    """The array with copies of its first row before and of its last row after it; faster than `numpy.pad`."""
    length = len(array)
    padded = np.empty((before + length + after, *array.shape[1:]), array.dtype)
    padded[:before], padded[before : before + length], padded[before + length :] = array[:1], array, array[-1:]
    return padded
