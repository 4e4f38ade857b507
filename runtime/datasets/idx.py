"""Reading idx files, the format MNIST is published in: a big-endian header, then the bytes."""

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.datasets.dataset import IMAGE_SHAPE
from digits_edge.runtime.datasets.opening import is_bomb, opened
from digits_edge.runtime.errors import DataError

_UBYTE = 0x08


def read_images(path: Path) -> NDArray[np.uint8]:
    """Read the images of an idx3 file of bytes, plain or .gz: read-only uint8 (N, 28, 28).

    Raises:
        DataError: unreadable, not such a file, cut, with bytes left over, or of images that are not 28x28.
    """
    return _read(path, IMAGE_SHAPE)


def read_labels(path: Path) -> NDArray[np.uint8]:
    """Read the labels of an idx1 file of bytes, plain or .gz: read-only uint8 (N,).

    Raises:
        DataError: unreadable, not such a file, cut, or with bytes left over.
    """
    return _read(path, ())


def _read(path: Path, item_shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Read (N, *item_shape); no more than the header states, which is looked at first."""
    dimensions = 1 + len(item_shape)
    with opened(path) as stream:
        header = stream.read(4 + 4 * dimensions)
        if len(header) < 4 + 4 * dimensions or header[:4] != bytes((0, 0, _UBYTE, dimensions)):
            raise DataError(f"{path} is not an idx{dimensions} file of bytes; fetch it again or name the right file")
        count, *sizes = (int(size) for size in np.frombuffer(header, ">u4", offset=4))
        if tuple(sizes) != item_shape:
            raise DataError(f"{path} has images of {'x'.join(map(str, sizes))}; only 28x28 can be read")
        stated, packed = count * math.prod(item_shape), path.stat().st_size
        if is_bomb(stated, packed):
            raise DataError(f"{path} states {count} items, for which its {packed} bytes are too few; fetch it again")
        content = stream.read(stated + 1)
    if len(content) != stated:
        kind = "bytes left over" if len(content) > stated else f"{stated - len(content)} bytes missing"
        raise DataError(f"{path} has {kind} for the shape {(count, *item_shape)} it states; fetch it again")
    return np.frombuffer(content, np.uint8).reshape(count, *item_shape)
