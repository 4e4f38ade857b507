"""Batches as a `tf.data` pipeline for `keras.Model.fit`: `streamed`."""

from typing import Any, Protocol

import tensorflow as tf
from numpy.typing import NDArray

#: Batches that are made while the model trains on earlier ones.
_PREFETCHED = 2


class BatchSource(Protocol):
    """Numbered batches of images and targets."""

    @property
    def shapes(self) -> tuple[tuple[int | None, ...], tuple[int | None, ...]]:
        """Shapes of the images and targets of every batch; None for dimensions that vary."""

    def __len__(self) -> int:
        """Number of batches per epoch."""

    def __getitem__(self, index: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Images and targets."""


def streamed(batches: BatchSource) -> Any:
    """The batches in order, made in another thread.

    Keras makes a similar pipeline of a `PyDataset`, which TensorFlow tunes. At the end of an epoch, it may wait for the
    thread of the tuning, which sleeps up to a minute. On one core, that was a quarter of the time of a training
    (TensorFlow 2.21).

    Args:
        batches: the source; it is asked for batch 0 here, and for all batches in each epoch.

    Returns:
        A `tf.data.Dataset`.

    Example:
        >>> import numpy as np
        >>> from digits_edge.train.data.batches import OrderedBatches
        >>> images, labels = np.zeros((5, 28, 28), np.uint8), np.arange(5, dtype=np.uint8)
        >>> data = streamed(OrderedBatches(images, labels, np.arange(5), batch_size=2))
        >>> len(data), [targets.numpy().tolist() for _, targets in data]
        (3, [[0, 1], [2, 3], [4]])
    """
    signature = tuple(tf.TensorSpec(shape, part.dtype) for shape, part in zip(batches.shapes, batches[0], strict=True))
    data = tf.data.Dataset.from_generator(
        lambda: (batches[index] for index in range(len(batches))), output_signature=signature
    )
    options = tf.data.Options()
    options.autotune.enabled = False
    return data.apply(tf.data.experimental.assert_cardinality(len(batches))).prefetch(_PREFETCHED).with_options(options)
