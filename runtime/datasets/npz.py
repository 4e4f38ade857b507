"""Read .npz archives with Keras's arrays `x_train, y_train, x_test, y_test`, or with `images, labels`."""

import math
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.datasets.catalogue import DIGITS
from digits_edge.runtime.datasets.dataset import IMAGE_SHAPE, MAX_CLASSES, check_labels
from digits_edge.runtime.datasets.opening import is_bomb
from digits_edge.runtime.errors import DataError, one_line
from digits_edge.runtime.model.image_input import MAX_SIDE
from digits_edge.runtime.pixel_scale import PixelScale, unscaled

#: Arrays of an archive that name the classes, in label order.
_CLASS_NAMES = ("class_names", "label_names", "labels_names")
_LABELS = ("labels", "y_train", "y_test")
_REMEDY = "correct it, or name all classes in an array class_names"


@dataclass(frozen=True, eq=False)
class NpzSplit:
    """One split of an archive.

    Attributes:
        images: uint8, (N, H, W) or (N, H, W, 3).
        labels: class indices, uint8 or uint16, (N,); None without labels.
        class_names: names of the classes; None if the archive neither names them nor has labels.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.unsignedinteger] | None
    class_names: tuple[str, ...] | None


def read_npz(path: Path, split: str, *, pixel_range: PixelScale | None = None) -> NpzSplit:
    """Read images and labels of one split of an archive.

    Pickled objects are never loaded.

    Args:
        path: the archive. Images are uint8 (N, H, W), (N, H, W, 1), (N, H, W, 3) or (N, 784). Labels are integers, (N,)
            or (N, 1), and optional. Names of the classes may be in an array `class_names`. Otherwise, the classes are
            named by their numbers, and each number up to the largest label of the archive must occur.
        split: "train" or "test"; ignored if the archive has an array `images`.
        pixel_range: 1 if the images are of any dtype, from 0 to 1; they are converted to 0 to 255.

    Raises:
        DataError: the archive is unreadable, damaged, lacks the split, or has arrays of another shape or dtype.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "tiny.npz")
        ...     np.savez(path, x_test=np.zeros((2, 32, 32, 3), np.uint8), class_names=["cat", "dog"])
        ...     found = read_npz(path, "test")
        >>> found.images.shape, found.labels, found.class_names
        ((2, 32, 32, 3), None, ('cat', 'dog'))
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            names = set(archive.files)
            images_name, labels_name = ("images", "labels") if "images" in names else (f"x_{split}", f"y_{split}")
            _refuse_bomb(archive.zip.infolist())
            images = np.asarray(archive[images_name]) if images_name in names else None
            all_labels = {name: np.asarray(archive[name]) for name in _LABELS if name in names}
            named = [np.asarray(archive[name]) for name in _CLASS_NAMES if name in names]
    except Exception as error:  # damaged archives raise many types in numpy, zipfile and zlib, even MemoryError
        raise DataError(f"{path} could not be read as .npz ({one_line(error)}); download or save it again") from error
    if images is None:
        found = ", ".join(sorted(names)) or "nothing"
        raise DataError(f"{path} has no {split} split: it contains {found}; save the arrays as x_{split} and y_{split}")
    images = _as_images(images, f"{path}: {images_name}", pixel_range)
    class_names = _class_names(named[0], path) if named else None
    if labels_name not in all_labels:
        return NpzSplit(images, None, class_names)
    labels = all_labels[labels_name]
    if not np.issubdtype(labels.dtype, np.integer):
        raise DataError(f"{path}: {labels_name} has dtype {labels.dtype}; save the labels as integers from 0")
    if labels.shape == (len(images), 1):
        labels = labels[:, 0]
    if class_names is None:
        class_names = _numbered_classes(list(all_labels.values()), images)
    return NpzSplit(images, check_labels(images, labels, path, len(class_names), _REMEDY), class_names)


def _class_names(array: NDArray[Any], path: Path) -> tuple[str, ...]:
    names = tuple(map(str, array.tolist())) if array.ndim == 1 else ()
    if not 2 <= len(names) <= MAX_CLASSES or len(set(names)) < len(names) or "" in names:
        raise DataError(
            f"{path}: the class names have shape {array.shape}; save a list of at least two different names"
        )
    return names


def _numbered_classes(arrays: list[NDArray[Any]], images: NDArray[np.uint8]) -> tuple[str, ...]:
    """Name the classes by their numbers, "0" to the largest label; images in MNIST format have at least ten classes.

    If a number in between never occurs, a wrong label is more likely than a class without images. The labels are then
    checked against the numbers that occur without a gap.
    """
    present = {int(label) for labels in arrays if labels.dtype.kind in "iu" for label in np.unique(labels)}
    count = next(number for number in range(MAX_CLASSES + 1) if number not in present)
    return tuple(map(str, range(max(count, len(DIGITS) if images.shape[1:] == IMAGE_SHAPE else 2))))


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
    shape = image_shape(array.shape)
    if shape is None:
        remedy = "move the channels to the end, for example with numpy.moveaxis" if _is_channels_first(array) else ""
        remedy = remedy or f"save the images with shape (N, H, W) or (N, H, W, 3), sides up to {MAX_SIDE}"
        raise DataError(f"{where} has shape {array.shape}; {remedy}")
    return array.astype(np.uint8, order="C", copy=False).reshape(len(array), *shape)


def archived_class_names(path: Path) -> tuple[str, ...] | None:
    """Return the class names that an archive holds; None without, or if it is damaged.

    Raises:
        DataError: there are fewer than two names, or two are equal.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            named = [np.asarray(archive[name]) for name in _CLASS_NAMES if name in archive.files]
    except Exception:  # `read_npz` reports it
        return None
    return _class_names(named[0], path) if named else None


def image_shape(shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """Return the shape of an image, (H, W) or (H, W, 3), for that of an array of images; None if it is not one.

    Example:
        >>> image_shape((5, 784)), image_shape((5, 32, 32, 1)), image_shape((5, 3, 32, 32))
        ((28, 28), (32, 32), None)
    """
    if shape[1:] == (math.prod(IMAGE_SHAPE),):
        return IMAGE_SHAPE
    if len(shape) not in (3, 4) or not all(1 <= side <= MAX_SIDE for side in shape[1:3]):
        return None
    return shape[1:] if shape[3:] in ((), (3,)) else shape[1:3] if shape[3:] == (1,) else None


def _is_channels_first(array: NDArray[Any]) -> bool:
    return array.ndim == 4 and array.shape[1] in (1, 3)
