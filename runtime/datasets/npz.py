"""Reading .npz archives: Keras's `x_train, y_train, x_test, y_test`, or a single part `images, labels`."""

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.datasets.dataset import IMAGE_SHAPE, check_labels
from digits_edge.runtime.datasets.opening import is_bomb
from digits_edge.runtime.errors import DataError, one_line


def read_npz(path: Path, split: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """Read images and labels of one split of an archive.

    Args:
        path: the archive. Images are uint8 (N, 28, 28), (N, 28, 28, 1) or (N, 784); labels integers (N,), and may be
            missing. Pickled objects are never loaded.
        split: "train" or "test"; an archive of `images` has one part, and that is read for either.

    Returns:
        uint8 (N, 28, 28) and uint8 (N,), or None without labels.

    Raises:
        DataError: unreadable or damaged, without the split, or with arrays of another kind.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            names = set(archive.files)
            images_name, labels_name = ("images", "labels") if "images" in names else (f"x_{split}", f"y_{split}")
            _refuse_bomb(archive.zip.infolist())
            images = np.asarray(archive[images_name]) if images_name in names else None
            labels = np.asarray(archive[labels_name]) if labels_name in names else None
    except (
        Exception
    ) as error:  # numpy, zipfile and zlib raise a dozen kinds for damaged archives, MemoryError among them
        raise DataError(f"{path} could not be read as .npz ({one_line(error)}); fetch or save it again") from error
    if images is None:
        found = ", ".join(sorted(names)) or "nothing"
        raise DataError(f"{path} has no {split} split: it holds {found}; save it as x_{split}, y_{split}")
    images = _as_images(images, f"{path}: {images_name}")
    if labels is None:
        return images, None
    if not np.issubdtype(labels.dtype, np.integer):
        raise DataError(f"{path}: {labels_name} is {labels.dtype}; save the labels as integers from 0 to 9")
    return images, check_labels(images, labels, path)


def _refuse_bomb(members: list[zipfile.ZipInfo]) -> None:
    for member in members:
        if is_bomb(member.file_size, member.compress_size):
            raise ValueError(f"{member.filename} unpacks to {member.file_size} bytes from {member.compress_size}")


def _as_images(array: NDArray[np.generic], where: str) -> NDArray[np.uint8]:
    if array.dtype != np.uint8:
        raise DataError(f"{where} is {array.dtype}; save the images as uint8, 0 to 255")
    if array.ndim == 0 or array.shape[1:] not in {IMAGE_SHAPE, (*IMAGE_SHAPE, 1), (784,)}:
        raise DataError(f"{where} has the shape {array.shape}; save the images as (N, 28, 28)")
    return array.astype(np.uint8, order="C", copy=False).reshape(len(array), *IMAGE_SHAPE)
