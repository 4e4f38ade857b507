"""Read idx files, the format of MNIST: a big-endian header followed by unsigned bytes."""

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.datasets.opening import is_bomb, opened
from digits_edge.runtime.errors import DataError
from digits_edge.runtime.model.image_input import MAX_SIDE

_UBYTE = 0x08


def read_images(path: Path) -> NDArray[np.uint8]:
    """Read the images of an idx3 file, plain or gzip.

    Returns:
        uint8, (N, H, W), read-only.

    Raises:
        DataError: the file is unreadable, not idx3, or of the wrong length, or its images have no or too many pixels.

    Example:
        >>> import struct, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "t10k-images-idx3-ubyte")
        ...     _ = path.write_bytes(struct.pack(">4I", 0x803, 2, 28, 28) + bytes(2 * 28 * 28))
        ...     read_images(path).shape
        (2, 28, 28)
    """
    return _read(path, 3)


def read_labels(path: Path) -> NDArray[np.uint8]:
    """Read the labels of an idx1 file, plain or gzip.

    Returns:
        uint8, (N,), read-only.

    Raises:
        DataError: the file is unreadable, not idx1, or of the wrong length.
    """
    return _read(path, 1)


def _read(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """Read an array; never more bytes than the header states."""
    with opened(path) as stream:
        header = stream.read(4 + 4 * dimensions)
        if len(header) < 4 + 4 * dimensions or header[:4] != bytes((0, 0, _UBYTE, dimensions)):
            raise DataError(
                f"{path} is not an idx{dimensions} file of unsigned bytes; download it again or name the right file"
            )
        count, *sizes = (int(size) for size in np.frombuffer(header, ">u4", offset=4))
        if not all(1 <= size <= MAX_SIDE for size in sizes):
            found = "x".join(map(str, sizes))
            raise DataError(f"{path}: images are {found}; use images with sides from 1 to {MAX_SIDE}")
        stated, packed = count * math.prod(sizes), path.stat().st_size
        if is_bomb(stated, packed):
            raise DataError(
                f"{path}: the header states {count} items, too many for a file of {packed} bytes; download it again"
            )
        content = stream.read(stated + 1)
    if len(content) != stated:
        found = f"more than {stated}" if len(content) > stated else str(len(content))
        shape = (count, *sizes)
        raise DataError(f"{path}: {found} bytes of data, expected {stated} for shape {shape}; download it again")
    return np.frombuffer(content, np.uint8).reshape(count, *sizes)
