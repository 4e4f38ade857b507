"""`Dataset`: images, their labels, and what must be said about where they came from."""

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
"""Called with the amount done and the total, or None where the total is unknown."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """One split of a data set, read-only.

    Attributes:
        name: the catalogue's name where the content is known to it, else the folder's or file's.
        images: uint8, (N, 28, 28), white ink on black.
        labels: uint8, (N,), 0 to 9; None where the file has none.
        class_names: what the ten labels mean, in their order.
        licence: of the data; "unknown" where the catalogue does not know the content.
        sha256: hash of the content, in hex: one for the same images and labels, whatever file they came in.
    """

    name: str
    images: NDArray[np.uint8]
    labels: NDArray[np.uint8] | None
    class_names: tuple[str, ...]
    licence: str
    sha256: str

    def __len__(self) -> int:
        """N, the number of images."""
        return len(self.images)

    def labels_for(self, classes: int, model: str) -> NDArray[np.uint8]:
        """The labels, uint8 (N,), to count the errors of a model that tells so many classes apart.

        Raises:
            DataError: there are no labelled images, or labels beyond the model's classes; names both.
        """
        if self.labels is None or not len(self):
            raise DataError(f"{self.name} has no labelled images; errors can be counted on labelled ones only")
        if int(self.labels.max()) >= classes:
            raise DataError(f"{self.name} has labels beyond the {classes} classes of {model}; name its own data")
        return self.labels

    def taken(self, rows: NDArray[np.intp], part: str) -> "Dataset":
        """The data set of these rows alone, under the name `"{name} {part}"`."""
        images, labels = self.images[rows], None if self.labels is None else self.labels[rows]
        return replace(
            self, name=f"{self.name} {part}", images=images, labels=labels, sha256=content_sha256(images, labels)
        )


def content_sha256(images: NDArray[np.uint8], labels: NDArray[np.uint8] | None) -> str:
    """Hash the bytes of the images, then those of the labels where there are any, in hex."""
    digest = hashlib.sha256(np.ascontiguousarray(images).data)
    if labels is not None:
        digest.update(np.ascontiguousarray(labels).data)
    return digest.hexdigest()


def check_labels(images: NDArray[np.uint8], labels: NDArray[np.integer], path: Path) -> NDArray[np.uint8]:
    """Return the labels as uint8 (N,) if they fit the images.

    Args:
        images: uint8, (N, 28, 28).
        labels: any integers, (N,).
        path: the file to name.

    Raises:
        DataError: another shape, another number than that of the images, or a label that is not 0 to 9.
    """
    if labels.shape != (len(images),):
        raise DataError(f"{path}: {len(images)} images but labels of shape {labels.shape}; they must come from one set")
    wrong = np.flatnonzero((labels < 0) | (labels >= CLASSES))
    if wrong.size:
        raise DataError(f"{path}: label {wrong[0]} is {labels[wrong[0]]}; only labels from 0 to 9 can be read")
    return labels.astype(np.uint8, copy=False)
