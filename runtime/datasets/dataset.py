"""`Dataset`: labelled images with their class names, licence and content hash."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.errors import DataError

IMAGE_SHAPE = (28, 28)
CLASSES = 10

ProgressCallback = Callable[[int, int | None], None]
"""Called with the amount done and the total; the total is None if it is unknown."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """One split of a data set, read-only.

    Attributes:
        name: the catalogue's name if the catalogue knows the content, otherwise the name of the folder or file.
        images: uint8, (N, 28, 28), white ink on black.
        labels: uint8, (N,), 0 to 9; None if the file has no labels.
        class_names: names of the ten labels, in label order.
        licence: licence of the data; "unknown" if the content is not in the catalogue.
        sha256: SHA-256 of images and labels, in hex; the same for every file format.

    Example:
        >>> images, labels = np.zeros((2, 28, 28), np.uint8), np.array([3, 7], np.uint8)
        >>> data = Dataset("zeros", images, labels, tuple("0123456789"), "CC0-1.0", content_sha256(images, labels))
        >>> len(data)
        2
        >>> data.taken(np.array([1]), "validation").labels.tolist()
        [7]
    """

    name: str
    images: NDArray[np.uint8]
    labels: NDArray[np.uint8] | None
    class_names: tuple[str, ...]
    licence: str
    sha256: str

    def __len__(self) -> int:
        """Number of images."""
        return len(self.images)

    def labels_for(self, classes: int, model: str) -> NDArray[np.uint8]:
        """Return the labels, uint8 (N,), after checking that they fit a model.

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


def content_sha256(images: NDArray[np.uint8], labels: NDArray[np.uint8] | None) -> str:
    """Return the SHA-256 of the images' bytes followed by the labels' bytes, if any, in hex."""
    digest = hashlib.sha256(np.ascontiguousarray(images).data)
    if labels is not None:
        digest.update(np.ascontiguousarray(labels).data)
    return digest.hexdigest()


def check_labels(images: NDArray[np.uint8], labels: NDArray[np.integer], path: Path) -> NDArray[np.uint8]:
    """Check that labels fit the images and convert them to uint8.

    Args:
        images: uint8, (N, 28, 28).
        labels: any integer dtype, (N,).
        path: file to name in the error message.

    Returns:
        uint8, (N,).

    Raises:
        DataError: the shape is not (N,), or a label is not 0 to 9.
    """
    if labels.shape != (len(images),):
        raise DataError(
            f"{path}: labels of shape {labels.shape} for {len(images)} images; use the label file of the same images"
        )
    wrong = np.flatnonzero((labels < 0) | (labels >= CLASSES))
    if wrong.size:
        raise DataError(f"{path}: label {wrong[0]} is {labels[wrong[0]]}, expected 0 to {CLASSES - 1}; correct it")
    return labels.astype(np.uint8, copy=False)
