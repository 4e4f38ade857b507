"""Read .npz archives with Keras's arrays `x_train, y_train, x_test, y_test`, or with `images, labels`."""

import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.datasets.dataset import IMAGE_SHAPE, check_labels
from digits_edge.runtime.datasets.opening import is_bomb
from digits_edge.runtime.errors import DataError, one_line
from digits_edge.runtime.pixel_scale import PixelScale, unscaled


def read_npz(
    path: Path, split: str, *, pixel_range: PixelScale | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """Read images and labels of one split of an archive.

    Pickled objects are never loaded.

    Args:
        path: the archive. Images are uint8 (N, 28, 28), (N, 28, 28, 1) or (N, 784). Labels are integers (N,) and
            optional.
        split: "train" or "test"; ignored if the archive has an array `images`.
        pixel_range: 1 if the images are of any dtype, from 0 to 1; they are converted to 0 to 255.

    Returns:
        Images, uint8 (N, 28, 28), and labels, uint8 (N,), or None without labels.

    Raises:
        DataError: the archive is unreadable, damaged, lacks the split, or has arrays of another shape or dtype.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "tiny.npz")
        ...     np.savez(path, x_test=np.zeros((2, 784), np.uint8))
        ...     images, labels = read_npz(path, "test")
        >>> images.shape, labels
        ((2, 28, 28), None)
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            names = set(archive.files)
            images_name, labels_name = ("images", "labels") if "images" in names else (f"x_{split}", f"y_{split}")
            _refuse_bomb(archive.zip.infolist())
            images = np.asarray(archive[images_name]) if images_name in names else None
            labels = np.asarray(archive[labels_name]) if labels_name in names else None
    except Exception as error:  # damaged archives raise many types in numpy, zipfile and zlib, even MemoryError
        raise DataError(f"{path} could not be read as .npz ({one_line(error)}); download or save it again") from error
    if images is None:
        found = ", ".join(sorted(names)) or "nothing"
        raise DataError(f"{path} has no {split} split: it contains {found}; save the arrays as x_{split} and y_{split}")
    images = _as_images(images, f"{path}: {images_name}", pixel_range)
    if labels is None:
        return images, None
    if not np.issubdtype(labels.dtype, np.integer):
        raise DataError(f"{path}: {labels_name} has dtype {labels.dtype}; save the labels as integers from 0 to 9")
    return images, check_labels(images, labels, path)


def _refuse_bomb(members: list[zipfile.ZipInfo]) -> None:
    for member in members:
        if is_bomb(member.file_size, member.compress_size):
            raise ValueError(f"{member.filename} unpacks to {member.file_size} bytes from {member.compress_size}")


def _as_images(array: NDArray[Any], where: str, pixel_range: PixelScale | None) -> NDArray[np.uint8]:
    if pixel_range == 1 and (array.dtype == bool or np.issubdtype(array.dtype, np.number)):
        pixels = unscaled(array)
        if pixels is None:
            raise DataError(f"{where} has pixels that are not from 0 to 1; read it without pixel_range=1")
        array = pixels
    if array.dtype != np.uint8:
        raise DataError(
            f"{where} has dtype {array.dtype}; save the images as uint8, 0 to 255, or pass pixel_range=1 for pixels "
            "from 0 to 1"
        )
    if array.ndim == 0 or array.shape[1:] not in {IMAGE_SHAPE, (*IMAGE_SHAPE, 1), (math.prod(IMAGE_SHAPE),)}:
        raise DataError(f"{where} has shape {array.shape}; save the images with shape (N, 28, 28)")
    return array.astype(np.uint8, order="C", copy=False).reshape(len(array), *IMAGE_SHAPE)
