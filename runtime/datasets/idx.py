"""Reading idx files, the format MNIST is published in: a big-endian header, then the bytes."""

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.datasets.dataset import IMAGE_SHAPE
from digits_edge.runtime.datasets.opening import opened
from digits_edge.runtime.errors import DataError

_UBYTE = 0x08


def read_images(path: Path) -> NDArray[np.uint8]:
    """Read the images of an idx3 file of bytes, plain or .gz: read-only uint8 (N, 28, 28).

    Raises:
        DataError: unreadable, not such a file, cut, with bytes left over, or of images that are not 28x28.
    """
    images = _read(path, dimensions=3)
    if images.shape[1:] != IMAGE_SHAPE:
        raise DataError(f"{path} has images of {images.shape[1]}x{images.shape[2]}; only 28x28 can be read")
    return images


def read_labels(path: Path) -> NDArray[np.uint8]:
    """Read the labels of an idx1 file of bytes, plain or .gz: read-only uint8 (N,).

    Raises:
        DataError: unreadable, not such a file, cut, or with bytes left over.
    """
    return _read(path, dimensions=1)


def _read(path: Path, *, dimensions: int) -> NDArray[np.uint8]:
    with opened(path) as stream:
        content = stream.read()
    header_bytes = 4 + 4 * dimensions
    if len(content) < header_bytes or content[:4] != bytes((0, 0, _UBYTE, dimensions)):
        raise DataError(f"{path} is not an idx{dimensions} file of bytes; fetch it again or name the right file")
    shape = [int(size) for size in np.frombuffer(content, ">u4", dimensions, offset=4)]
    surplus = len(content) - header_bytes - math.prod(shape)
    if surplus:
        kind = "bytes left over" if surplus > 0 else "bytes missing"
        raise DataError(f"{path} has {abs(surplus)} {kind} for the shape {tuple(shape)} it states; fetch it again")
    return np.frombuffer(content, np.uint8, offset=header_bytes).reshape(shape)
