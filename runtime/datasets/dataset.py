"""`Dataset`: labelled images with their class names, input record, preprocessing steps, licence and content hash."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.errors import DataError
from digits_edge.runtime.model.image_input import ImageInput
from digits_edge.runtime.model.steps import DigitStep, PreprocessingStep

#: Images and number of classes of the tables of digits (CSV and Parquet).
IMAGE_SHAPE = (28, 28)
CLASSES = 10
DIGIT_INPUT = ImageInput()
#: Class indices are stored in 16 bits.
MAX_CLASSES = 65_535

_DIGIT_STEP = DigitStep()

ProgressCallback = Callable[[int, int | None], None]
"""Called with the amount done and the total; the total is None if it is unknown."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """One split of a data set, read-only.

    Attributes:
        name: the catalogue's name if the catalogue knows the content, otherwise the name of the folder or file.
        images: uint8, (N, H, W), or (N, H, W, 3) for colours.
        labels: class indices, uint8 or, for more than 256 classes, uint16, (N,), 0 to K - 1; None if the file has no
            labels.
        class_names: names of the K classes, in label order.
        licence: licence of the data; "unknown" if the content is not in the catalogue.
        sha256: SHA-256 of images and labels, in hex; the same for every file format.
        image: size, channels and polarity of the images.
        preprocessing: steps that convert a picture to such an image.

    Raises:
        DataError: the images do not have the shape of `image`.

    Example:
        >>> images, labels = np.zeros((2, 28, 28), np.uint8), np.array([3, 7], np.uint8)
        >>> data = Dataset("zeros", images, labels, tuple("0123456789"), "CC0-1.0", content_sha256(images, labels))
        >>> len(data)
        2
        >>> data.taken(np.array([1]), "validation").labels.tolist()
        [7]
        >>> data.image.description, data.image.polarity, data.preprocessing[0].step
        ('28×28', 'white-on-black', 'digit')
    """

    name: str
    images: NDArray[np.uint8]
    labels: NDArray[np.unsignedinteger] | None
    class_names: tuple[str, ...]
    licence: str
    sha256: str
    image: ImageInput = DIGIT_INPUT
    preprocessing: tuple[PreprocessingStep, ...] = (_DIGIT_STEP,)

    def __post_init__(self) -> None:
        if self.images.shape[1:] != self.image.shape:
            raise DataError(
                f"{self.name}: the images have shape {self.images.shape}, but their record says "
                f"{self.image.description}; pass the ImageInput of the images"
            )

    def __len__(self) -> int:
        """Number of images."""
        return len(self.images)

    def labels_for(self, classes: int, model: str) -> NDArray[np.unsignedinteger]:
        """Return the labels, (N,), after checking that they fit a model.

        Args:
            classes: number of classes of the model.
            model: name of the model for the error message.

        Raises:
            DataError: there are no labelled images, or there are labels outside the model's classes.
        """
        if self.labels is None or not len(self):
            raise DataError(f"{self.name} has no labelled images; name a data set with labels")
        if int(self.labels.max()) >= classes:
            raise DataError(
                f"{self.name} has labels beyond the {classes} classes of {model}; name the data set of the model"
            )
        return self.labels

    def taken(self, rows: NDArray[np.intp], part: str) -> "Dataset":
        """Return a data set of the given rows, named `"{name} {part}"`."""
        images, labels = self.images[rows], None if self.labels is None else self.labels[rows]
        return replace(
            self, name=f"{self.name} {part}", images=images, labels=labels, sha256=content_sha256(images, labels)
        )


def content_sha256(images: NDArray[np.uint8], labels: NDArray[np.unsignedinteger] | None) -> str:
    """Return the SHA-256 of the images' bytes followed by the labels' bytes, if any, in hex."""
    digest = hashlib.sha256(np.ascontiguousarray(images).data)
    if labels is not None:
        digest.update(np.ascontiguousarray(labels).data)
    return digest.hexdigest()


def check_labels(
    images: NDArray[np.uint8],
    labels: NDArray[np.integer],
    path: Path,
    classes: int = CLASSES,
    remedy: str = "correct it",
) -> NDArray[np.unsignedinteger]:
    """Check that labels fit the images and convert them to the smallest dtype.

    Args:
        images: uint8, (N, ...).
        labels: any integer dtype, (N,).
        path: file to name in the error message.
        classes: number of classes, at most `MAX_CLASSES`.
        remedy: end of the error message for a wrong label.

    Returns:
        (N,), uint8, or uint16 for more than 256 classes.

    Raises:
        DataError: the shape is not (N,), or a label is not 0 to `classes` - 1.

    Example:
        >>> check_labels(np.zeros((2, 28, 28), np.uint8), np.array([3, 46]), Path("a.npz"), classes=47).dtype
        dtype('uint8')
    """
    if labels.shape != (len(images),):
        raise DataError(
            f"{path}: labels of shape {labels.shape} for {len(images)} images; use the label file of the same images"
        )
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if wrong.size:
        raise DataError(f"{path}: label {wrong[0]} is {labels[wrong[0]]}, expected 0 to {classes - 1}; {remedy}")
    return labels.astype(label_dtype(classes), copy=False)


def label_dtype(classes: int) -> type[np.uint8] | type[np.uint16]:
    """Return the dtype of class indices: uint8 up to 256 classes, otherwise uint16.

    Example:
        >>> label_dtype(256).__name__, label_dtype(1000).__name__
        ('uint8', 'uint16')
    """
    return np.uint8 if classes <= 256 else np.uint16
