"""Find exact duplicates, and the closest training image of every test image."""

import hashlib
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.datasets.dataset import ProgressCallback

Images = NDArray[np.uint8]

#: Largest root mean square difference of near duplicates, in grey levels.
#: Measured on 1,500 images each: a copy saved as JPEG of quality 75 differs by 5.3 (MNIST) and 6.2 (Fashion-MNIST) in
#: the median and by at most 9.1; a copy shifted by a pixel differs by 48 in the median. So 10 finds re-encoded copies.
NEAR = 10.0
#: Largest number of compared pairs of 28×28 images, about four minutes on two cores; above it a sample of the test
#: images is compared.
MAX_PAIRS = 5_000_000_000
_SCORES = 2**24
#: Largest number of pixels of training images that are compared at once, 256 MB in float32.
_PIXELS = 2**26


@dataclass(frozen=True, eq=False)
class Nearest:
    """Closest training image of test images.

    Attributes:
        test: indices of the searched test images, (n,): all, or a sample if there are too many pairs.
        train: index of the closest training image of each, (n,).
        distance: root mean square difference of the two, in grey levels, float64 (n,).
    """

    test: NDArray[np.intp]
    train: NDArray[np.intp]
    distance: NDArray[np.float64]


def content_keys(images: Images) -> list[bytes]:
    """One digest per image; equal for equal pixels.

    Example:
        >>> blank, other = np.zeros((28, 28), np.uint8), np.ones((28, 28), np.uint8)
        >>> first, second, third = content_keys(np.stack([blank, other, blank]))
        >>> first == third, first == second
        (True, False)
    """
    return [hashlib.blake2b(image.data, digest_size=16).digest() for image in np.ascontiguousarray(images)]


def groups_of_same(keys: list[bytes]) -> list[list[int]]:
    """Groups of the indices of equal images, in the order of their first image.

    Example:
        >>> groups_of_same([b"a", b"b", b"a"])
        [[0, 2]]
    """
    found: defaultdict[bytes, list[int]] = defaultdict(list)
    for index, key in enumerate(keys):
        found[key].append(index)
    return [group for group in found.values() if len(group) > 1]


def same_in_both(train: list[bytes], test: list[bytes]) -> dict[int, int]:
    """Map the index of each test image that is in train to the index of the first equal training image.

    Example:
        >>> same_in_both(train=[b"a", b"b", b"b"], test=[b"c", b"b"])
        {1: 1}
    """
    first: dict[bytes, int] = {}
    for index, key in enumerate(train):
        first.setdefault(key, index)
    return {index: first[key] for index, key in enumerate(test) if key in first}


def nearest(train: Images, test: Images, same: dict[int, int], progress: ProgressCallback | None = None) -> Nearest:
    """Find the closest training image of every test image by comparing all pairs.

    |x − y|² is smallest where x·y − ½|x|² is largest, which is one matrix product in float32. Rounding may decide
    between training images that are almost equally close. The returned distances are exact.

    Args:
        train: uint8 (N, H, W) or (N, H, W, 3).
        test: uint8 (M, H, W) or (M, H, W, 3).
        same: result of `same_in_both`; identical images are paired by it.
        progress: called with (training images compared, N).

    Example:
        >>> train = np.stack([np.zeros((28, 28), np.uint8), np.full((28, 28), 9, np.uint8)])
        >>> found = nearest(train, np.full((1, 28, 28), 7, np.uint8), same={})
        >>> found.train.tolist(), found.distance.tolist()
        ([1], [2.0])
    """
    rows, most = np.arange(len(test)), max_pairs(train[0].size)
    if len(train) * len(test) > most:
        rows = np.sort(np.random.default_rng(0).choice(len(test), max(1, most // len(train)), replace=False))
    queries = _with_extra_column(test[rows])
    queries[:, -1] = 1
    best, found = np.full(len(rows), -np.inf, np.float32), np.zeros(len(rows), np.intp)
    step = max(1, min(_SCORES // len(rows), _PIXELS // train[0].size))
    for start in range(0, len(train), step):
        block = _with_extra_column(train[start : start + step])
        block[:, -1] = -0.5 * np.square(block[:, :-1]).sum(axis=1)
        scores = queries @ block.T
        index = scores.argmax(axis=1)
        score = scores[np.arange(len(rows)), index]
        better = score > best
        best[better], found[better] = score[better], start + index[better]
        if progress:
            progress(start + len(block), len(train))
    for position, row in enumerate(rows):
        found[position] = same.get(int(row), found[position])
    return Nearest(rows, found, _distance(train, found, test, rows))


def max_pairs(pixels: int) -> int:
    """Return the largest number of compared pairs of images with this number of pixels.

    Example:
        >>> max_pairs(784) == MAX_PAIRS, max_pairs(32 * 32 * 3)
        (True, 1276041666)
    """
    return MAX_PAIRS * 784 // pixels


def _with_extra_column(images: Images) -> NDArray[np.float32]:
    """Flattened pixels, float32 (n, H·W + 1), with a last column that the caller fills."""
    table = np.empty((len(images), images[0].size + 1), np.float32)
    table[:, :-1] = images.reshape(len(images), -1)
    return table


def _distance(
    train: Images, train_rows: NDArray[np.intp], test: Images, test_rows: NDArray[np.intp]
) -> NDArray[np.float64]:
    distance = np.empty(len(test_rows))
    for start in range(0, len(test_rows), 4096):
        part = slice(start, start + 4096)
        difference = train[train_rows[part]].astype(np.int32) - test[test_rows[part]]
        distance[part] = np.sqrt(np.square(difference).reshape(len(difference), -1).mean(axis=1))
    return distance
