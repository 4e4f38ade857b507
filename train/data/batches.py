"""Batches of images: shuffled and augmented for training, in order for validation."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.model.image_input import ImageInput, Polarity
from digits_edge.train.data.augmentation import Augmentation
from digits_edge.train.data.augmenting import augment


class OrderedBatches:
    """Batches of scaled images and targets for validation: in order, not augmented.

    Only the images of one batch are read at a time, so `images` may be a memory map larger than the memory.

    Args:
        images: uint8 (N, H, W) or (N, H, W, 3).
        targets: labels, unsigned integers (N,), or soft targets, floats (N, C).
        rows: indices of the images to use.
        batch_size: images per batch; the last batch may be smaller.
        input_scale: value of white for the model.

    Example:
        >>> images, labels = np.zeros((5, 28, 28), np.uint8), np.arange(5, dtype=np.uint8)
        >>> batches = OrderedBatches(images, labels, np.arange(5), batch_size=2)
        >>> len(batches), batches[0][0].shape
        (3, (2, 28, 28, 1))
    """

    def __init__(
        self,
        images: NDArray[np.uint8],
        targets: NDArray[Any],
        rows: NDArray[np.intp],
        *,
        batch_size: int,
        input_scale: Literal[1, 255] = 1,
    ) -> None:
        self._images = images
        self._targets = targets
        self._rows = rows
        self._batch_size = batch_size
        self._input_scale = input_scale

    @property
    def shapes(self) -> tuple[tuple[int | None, ...], tuple[int | None, ...]]:
        """Shapes of the images and targets of every batch; None for the number of images."""
        image = self._images.shape[1:]
        return (None, *image, *(() if len(image) == 3 else (1,))), (None, *self._targets.shape[1:])

    def __len__(self) -> int:
        """Number of batches per epoch."""
        return count_batches(len(self._rows), self._batch_size)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        """Images, float32 (B, H, W, channels) from 0 to `input_scale`, and targets, int32 (B,) or float32 (B, C)."""
        rows = self._rows[index * self._batch_size : (index + 1) * self._batch_size]
        images = self._prepared(scaled(self._images[rows]), index)
        targets = self._targets[rows]
        return images * np.float32(self._input_scale), targets.astype(np.int32 if targets.ndim == 1 else np.float32)

    def _prepared(self, images: NDArray[np.float32], index: int) -> NDArray[np.float32]:
        return images


class Batches(OrderedBatches):
    """Shuffled and augmented batches for training.

    The order of epoch E is drawn from (seed, E), the augmentation of its batch B from (seed, E, B). So an epoch is the
    same in an uninterrupted and in a resumed training. Set `epoch` before an epoch begins.

    Args:
        images: uint8 (N, H, W) or (N, H, W, 3).
        targets: labels, unsigned integers (N,), or soft targets, floats (N, C).
        rows: indices of the images to use.
        batch_size: images per batch; the last batch may be smaller.
        augmentation: augmentation of each image.
        seed: seed of the training.
        per_epoch: number of rows per epoch, drawn anew for each; None for all.
        polarity: polarity of the images, see `augment`.
        input_scale: value of white for the model.

    Example:
        >>> from digits_edge.train import Augmentation
        >>> images, labels = np.zeros((5, 28, 28), np.uint8), np.arange(5, dtype=np.uint8)
        >>> batches = Batches(images, labels, np.arange(5), batch_size=5, augmentation=Augmentation(), seed=0)
        >>> sorted(batches[0][1].tolist())
        [0, 1, 2, 3, 4]
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
        input_scale: Literal[1, 255] = 1,
        polarity: Polarity = "white-on-black",
    ) -> None:
        super().__init__(images, targets, rows, batch_size=batch_size, input_scale=input_scale)
        self._all_rows = rows
        self._augmentation = augmentation
        self._seed = seed
        self._per_epoch = per_epoch
        self._polarity = polarity
        self.epoch = 0

    @property
    def epoch(self) -> int:
        """Epoch whose batches are returned, from 0."""
        return self._epoch

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        self._epoch = epoch
        self._rows = np.random.default_rng((self._seed, epoch)).permutation(self._all_rows)[: self._per_epoch]

    def _prepared(self, images: NDArray[np.float32], index: int) -> NDArray[np.float32]:
        rng = np.random.default_rng((self._seed, self._epoch, index))
        return augment(images, self._augmentation, rng, polarity=self._polarity)


def count_batches(rows: int, batch_size: int) -> int:
    """Number of batches for this many rows; the last batch may be smaller.

    Example:
        >>> count_batches(5, batch_size=2)
        3
    """
    return -(-rows // batch_size)


def images_per_batch(image: ImageInput, largest: int = 1000) -> int:
    """Number of images that take about as much memory as `largest` images of 28×28, at least 1 and at most `largest`.

    Example:
        >>> images_per_batch(ImageInput()), images_per_batch(ImageInput(96, 96, 3))
        (1000, 85)
    """
    return max(1, min(largest, largest * 784 // (image.shape[0] * image.shape[1])))


def scaled(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Scale pixels to 0…1: uint8 (N, H, W) → float32 (N, H, W, 1), or uint8 (N, H, W, 3) → float32 (N, H, W, 3).

    Example:
        >>> float(scaled(np.full((1, 28, 28), 255, np.uint8)).max())
        1.0
    """
    pixels = images.astype(np.float32) / np.float32(255)
    return pixels[..., np.newaxis] if pixels.ndim == 3 else pixels
