"""Images that occur twice, pixel for pixel, and the closest training image of every test image."""

import hashlib
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.datasets.dataset import ProgressCallback

Images = NDArray[np.uint8]

#: Root mean square difference of two images, in grey levels, up to which they count as near.
#: Measured on 1,500 images each: a copy saved as JPEG of quality 75 differs by 5.3 (MNIST) and 6.2 (Fashion-MNIST) in
#: the median, by at most 9.1; one moved by a pixel by 48 in the median. So 10 finds what was saved anew.
NEAR = 10.0
#: More pairs than these, about four minutes on two cores, are not compared; then test images are drawn.
MAX_PAIRS = 5_000_000_000
_SCORES = 2**24


@dataclass(frozen=True, eq=False)
class Nearest:
    """The closest training image of test images.

    Attributes:
        test: indices of the test images that were searched for, (n,): all, unless there are too many pairs.
        train: index of the closest training image of each, (n,).
        distance: root mean square difference of the two, in grey levels, float64 (n,).
    """

    test: NDArray[np.intp]
    train: NDArray[np.intp]
    distance: NDArray[np.float64]


def content_keys(images: Images) -> list[bytes]:
    """A key for each image: the same for the same pixels."""
    return [hashlib.blake2b(image.data, digest_size=16).digest() for image in np.ascontiguousarray(images)]


def groups_of_same(keys: list[bytes]) -> list[list[int]]:
    """Indices of the images that occur more than once, in groups of the same, in the order of their first."""
    found: defaultdict[bytes, list[int]] = defaultdict(list)
    for index, key in enumerate(keys):
        found[key].append(index)
    return [group for group in found.values() if len(group) > 1]


def same_in_both(train: list[bytes], test: list[bytes]) -> dict[int, int]:
    """Index of a test image → index of the first training image that is the same."""
    first: dict[bytes, int] = {}
    for index, key in enumerate(train):
        first.setdefault(key, index)
    return {index: first[key] for index, key in enumerate(test) if key in first}


def nearest(train: Images, test: Images, same: dict[int, int], progress: ProgressCallback | None = None) -> Nearest:
    """Find the closest training image of every test image, by comparing all pairs.

    |x − y|² is least where x·y − ½|x|² is greatest; that is one product of matrices. It is computed in float32, so of
    training images that are all but equally close any may be found. The distances are exact.

    Args:
        train: uint8, (N, 28, 28).
        test: uint8, (M, 28, 28).
        same: what `same_in_both` found; identical images are paired by it.
        progress: called as (training images compared so far, N).
    """
    rows = np.arange(len(test))
    if len(train) * len(test) > MAX_PAIRS:
        rows = np.sort(np.random.default_rng(0).choice(len(test), max(1, MAX_PAIRS // len(train)), replace=False))
    wanted = _with_column(test[rows])
    wanted[:, -1] = 1
    best, found = np.full(len(rows), -np.inf, np.float32), np.zeros(len(rows), np.intp)
    step = max(1, _SCORES // len(rows))
    for start in range(0, len(train), step):
        block = _with_column(train[start : start + step])
        block[:, -1] = -0.5 * np.square(block[:, :-1]).sum(axis=1)
        scores = wanted @ block.T
        index = scores.argmax(axis=1)
        score = scores[np.arange(len(rows)), index]
        better = score > best
        best[better], found[better] = score[better], start + index[better]
        if progress:
            progress(start + len(block), len(train))
    for position, row in enumerate(rows):
        found[position] = same.get(int(row), found[position])
    return Nearest(rows, found, _distance(train, found, test, rows))


def _with_column(images: Images) -> NDArray[np.float32]:
    """The pixels as float32, (n, 784 + 1), with a column more for the caller to fill."""
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
        distance[part] = np.sqrt(np.square(difference).mean(axis=(1, 2)))
    return distance
