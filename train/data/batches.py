"""The batches of a data set's rows: those of training, shuffled and augmented, and those of validation, in order."""

from typing import Any, Literal

import keras
import numpy as np
from numpy.typing import NDArray

from digits_edge.train.data.augmentation import Augmentation
from digits_edge.train.data.augmenting import augment


class OrderedBatches(keras.utils.PyDataset):  # type: ignore[misc]
    """Batches of scaled images and labels for `keras.Model.fit`, in their order and as they are: to validate with.

    Only a batch's images are read, so that they may lie in a memory map larger than the memory.

    Args:
        images: uint8 (N, 28, 28).
        targets: labels, uint8 (N,), or answers to learn from, floats (N, C).
        rows: the indices of the images that are given out.
        batch_size: images per batch; the last batch may be smaller.
        white: what white is for the model.
    """

    def __init__(
        self,
        images: NDArray[np.uint8],
        targets: NDArray[Any],
        rows: NDArray[np.intp],
        *,
        batch_size: int,
        white: Literal[1, 255] = 1,
    ) -> None:
        super().__init__()
        self._images = images
        self._targets = targets
        self._rows = rows
        self._batch_size = batch_size
        self._white = white

    def __len__(self) -> int:
        """Batches per epoch."""
        return count_batches(len(self._rows), self._batch_size)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        """Batch `index`: float32 (B, 28, 28, 1) from 0 to `white`, and int32 (B,) or float32 (B, C)."""
        rows = self._rows[index * self._batch_size : (index + 1) * self._batch_size]
        images = self._prepared(scaled(self._images[rows]), index)
        targets = self._targets[rows]
        return images * np.float32(self._white), targets.astype(np.int32 if targets.ndim == 1 else np.float32)

    def _prepared(self, images: NDArray[np.float32], index: int) -> NDArray[np.float32]:
        return images


class Batches(OrderedBatches):
    """The same rows shuffled and augmented, to train with.

    The order and the augmentation of epoch E are drawn from (seed, E), those of its batch B from (seed, E, B): an epoch
    is the same whether it follows the one before it or a restart. Set `epoch` before an epoch begins.

    Args:
        images: uint8 (N, 28, 28).
        targets: labels, uint8 (N,), or answers to learn from, floats (N, C).
        rows: the indices of the images that are given out.
        batch_size: images per batch; the last batch may be smaller.
        augmentation: what is done to each image.
        seed: the training's seed.
        per_epoch: how many of the rows an epoch has, others each time; None for all.
        white: what white is for the model.
    """

    def __init__(
        self,
        images: NDArray[np.uint8],
        targets: NDArray[Any],
        rows: NDArray[np.intp],
        *,
        batch_size: int,
        augmentation: Augmentation,
        seed: int,
        per_epoch: int | None = None,
        white: Literal[1, 255] = 1,
    ) -> None:
        super().__init__(images, targets, rows, batch_size=batch_size, white=white)
        self._in_order = rows
        self._augmentation = augmentation
        self._seed = seed
        self._per_epoch = per_epoch
        self.epoch = 0

    @property
    def epoch(self) -> int:
        """The epoch whose batches are given out."""
        return self._epoch

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        self._epoch = epoch
        self._rows = np.random.default_rng((self._seed, epoch)).permutation(self._in_order)[: self._per_epoch]

    def _prepared(self, images: NDArray[np.float32], index: int) -> NDArray[np.float32]:
        return augment(images, self._augmentation, np.random.default_rng((self._seed, self._epoch, index)))


def count_batches(rows: int, batch_size: int) -> int:
    """How many batches so many rows make; the last one may be smaller."""
    return -(-rows // batch_size)


def scaled(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """White is 1: uint8 (N, 28, 28) → float32 (N, 28, 28, 1) in 0…1."""
    return (images.astype(np.float32) / np.float32(255))[..., np.newaxis]
