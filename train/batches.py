"""The batches of an epoch: shuffled and augmented, a function of (seed, epoch, batch) and nothing else."""

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from digits_edge.train.augmentation import Augmentation, augment


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """Batches of scaled images and labels for `keras.Model.fit`.

    The order and the augmentation of epoch E are drawn from (seed, E), those of its batch B from (seed, E, B): an epoch
    is the same whether it follows the one before it or a restart. Set `epoch` before an epoch begins.

    Args:
        images: uint8 (N, 28, 28).
        labels: uint8 (N,).
        batch_size: images per batch; the last batch may be smaller.
        augmentation: what is done to each image.
        seed: the training's seed.
    """

    def __init__(
        self,
        images: NDArray[np.uint8],
        labels: NDArray[np.uint8],
        *,
        batch_size: int,
        augmentation: Augmentation,
        seed: int,
    ) -> None:
        super().__init__()
        self._images = images
        self._labels = labels
        self._batch_size = batch_size
        self._augmentation = augmentation
        self._seed = seed
        self.epoch = 0

    @property
    def epoch(self) -> int:
        """The epoch whose batches are given out."""
        return self._epoch

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        self._epoch = epoch
        self._order = np.random.default_rng((self._seed, epoch)).permutation(len(self._images))

    def __len__(self) -> int:
        """Batches per epoch."""
        return -(-len(self._images) // self._batch_size)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        """Batch `index` of the epoch: float32 (B, 28, 28, 1) in 0…1 and int32 (B,)."""
        chosen = self._order[index * self._batch_size : (index + 1) * self._batch_size]
        rng = np.random.default_rng((self._seed, self._epoch, index))
        return augment(scaled(self._images[chosen]), self._augmentation, rng), self._labels[chosen].astype(np.int32)


def scaled(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Images as the models take them: uint8 (N, 28, 28) → float32 (N, 28, 28, 1) in 0…1."""
    return (images.astype(np.float32) / np.float32(255))[..., np.newaxis]
