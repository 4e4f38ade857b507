"""The batches of a data set's rows: those of training, shuffled and augmented, and those of validation, in order."""

from typing import Any, Literal

import keras
import numpy as np
from numpy.typing import NDArray

from digits_edge.train.augmentation import Augmentation, augment


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """Batches of scaled images and labels for `keras.Model.fit`.

    The order and the augmentation of epoch E are drawn from (seed, E), those of its batch B from (seed, E, B): an epoch
    is the same whether it follows the one before it or a restart. Set `epoch` before an epoch begins. Only a batch's
    images are read, so that they may lie in a memory map larger than the memory.

    Args:
        images: uint8 (N, 28, 28).
        labels: uint8 (N,).
        rows: the indices of the images that are given out.
        batch_size: images per batch; the last batch may be smaller.
        augmentation: what is done to each image.
        seed: the training's seed.
        white: what white is for the model.
    """

    def __init__(
        self,
        images: NDArray[np.uint8],
        labels: NDArray[np.uint8],
        rows: NDArray[np.intp],
        *,
        batch_size: int,
        augmentation: Augmentation,
        seed: int,
        white: Literal[1, 255] = 1,
    ) -> None:
        super().__init__()
        self._images = images
        self._labels = labels
        self._rows = rows
        self._batch_size = batch_size
        self._augmentation = augmentation
        self._seed = seed
        self._white = white
        self.epoch = 0

    @property
    def epoch(self) -> int:
        """The epoch whose batches are given out."""
        return self._epoch

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        self._epoch = epoch
        self._order = np.random.default_rng((self._seed, epoch)).permutation(len(self._rows))

    def __len__(self) -> int:
        """Batches per epoch."""
        return -(-len(self._rows) // self._batch_size)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        """Batch `index` of the epoch: float32 (B, 28, 28, 1) from 0 to `white`, and int32 (B,)."""
        chosen = self._rows[self._order[index * self._batch_size : (index + 1) * self._batch_size]]
        rng = np.random.default_rng((self._seed, self._epoch, index))
        images = augment(scaled(self._images[chosen]), self._augmentation, rng)
        return images * np.float32(self._white), self._labels[chosen].astype(np.int32)


class OrderedBatches(keras.utils.PyDataset):  # type: ignore[misc]
    """The same rows in their order and as they are, to validate with.

    Args:
        images: uint8 (N, 28, 28).
        labels: uint8 (N,).
        rows: the indices of the images that are given out.
        batch_size: images per batch; the last batch may be smaller.
        white: what white is for the model.
    """

    def __init__(
        self,
        images: NDArray[np.uint8],
        labels: NDArray[np.uint8],
        rows: NDArray[np.intp],
        *,
        batch_size: int,
        white: Literal[1, 255] = 1,
    ) -> None:
        super().__init__()
        self._images = images
        self._labels = labels
        self._rows = rows
        self._batch_size = batch_size
        self._white = white

    def __len__(self) -> int:
        """How many batches there are."""
        return -(-len(self._rows) // self._batch_size)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        """Batch `index`: float32 (B, 28, 28, 1) from 0 to `white`, and int32 (B,)."""
        chosen = self._rows[index * self._batch_size : (index + 1) * self._batch_size]
        return scaled(self._images[chosen]) * np.float32(self._white), self._labels[chosen].astype(np.int32)


def scaled(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """White is 1: uint8 (N, 28, 28) → float32 (N, 28, 28, 1) in 0…1."""
    return (images.astype(np.float32) / np.float32(255))[..., np.newaxis]
