"""Tensors stored in another order than in the model file: `StoredTensor`.

ONNX files have images channels first, and TensorFlow's kernels want them channels last. The order is recorded with each
tensor, so that transpositions are computed only where an operator needs the order of the file.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

#: `axes` of an image batch that is stored as (N, H, W, C); its order in the file is (N, C, H, W).
CHANNELS_LAST = (0, 3, 1, 2)


@dataclass(frozen=True, eq=False)
class StoredTensor:
    """A tensor and the order in which it is stored.

    Attributes:
        tensor: the TensorFlow tensor with a fixed shape, or an array if it is a constant.
        axes: `tf.transpose(tensor, axes)` has the order of the file; empty if it is stored in that order.
        columns: `tensor[:, columns]` has the order of the file, for a flattened image batch; None for that order.
        steps: for the dequantized weights of a layer, the quantization step, a scalar or one for each output channel.

    Example:
        >>> stored = StoredTensor(tf.zeros([1, 28, 20, 3]), CHANNELS_LAST)
        >>> stored.shape, stored.in_file_order().shape.as_list()
        ((1, 3, 28, 20), [1, 3, 28, 20])
    """

    tensor: Any
    axes: tuple[int, ...] = ()
    columns: NDArray[np.intp] | None = None
    steps: NDArray[np.float32] | None = None

    @property
    def is_constant(self) -> bool:
        """Whether the tensor is an array of the file."""
        return isinstance(self.tensor, np.ndarray)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape in the order of the file."""
        sizes = tuple(int(size) for size in self.tensor.shape)
        return tuple(sizes[axis] for axis in self.axes) if self.axes else sizes

    def in_file_order(self) -> Any:
        """The tensor in the order of the file."""
        if self.columns is not None:
            return tf.gather(self.tensor, self.columns, axis=1)
        return transposed(self.tensor, self.axes) if self.axes else self.tensor

    def channels_last(self) -> Any:
        """The tensor of an image batch, stored as (N, H, W, C)."""
        return self.tensor if self.axes == CHANNELS_LAST else transposed(self.in_file_order(), (0, 2, 3, 1))

    def with_tensor(self, tensor: Any) -> "StoredTensor":
        """Another tensor in the same order."""
        return StoredTensor(tensor, self.axes, self.columns)

    def flattened(self) -> "StoredTensor":
        """The tensor of shape (N, …) as (N, F), in the order in which it is stored."""
        count, *sizes = self.shape
        rows = tf.reshape(self.tensor, [count, -1])
        if not self.axes:
            return StoredTensor(rows)
        if self.axes[0] != 0:
            return StoredTensor(tf.reshape(self.in_file_order(), [count, -1]))
        stored = [int(size) for size in self.tensor.shape[1:]]
        columns = np.arange(int(np.prod(sizes))).reshape(stored).transpose([axis - 1 for axis in self.axes[1:]])
        return StoredTensor(rows, columns=columns.ravel())

    def broadcast_like(self, other: "StoredTensor") -> Any:
        """The tensor, to be broadcast in an operation with `other` in the order in which that is stored."""
        if not other.axes and other.columns is None:
            return self.in_file_order()
        if self.axes == other.axes and self.columns is other.columns:
            return self.tensor
        tensor = self.in_file_order()
        rank = len(other.tensor.shape)
        tensor = tensor.reshape((1,) * (rank - tensor.ndim) + tensor.shape) if self.is_constant else tensor
        if other.columns is not None:
            return tensor if tensor.shape[1] == 1 else tf.gather(tensor, np.argsort(other.columns), axis=1)
        return transposed(tensor, np.argsort(other.axes).tolist())


def transposed(tensor: Any, axes: Sequence[int]) -> Any:
    """Transpose, by a reshape if only axes of size 1 move, because that does not copy.

    Example:
        >>> transposed(tf.zeros([5, 28, 20, 1]), (0, 3, 1, 2)).shape.as_list()
        [5, 1, 28, 20]
    """
    if isinstance(tensor, np.ndarray):
        return tensor.transpose(axes)
    moving = [axis for axis in axes if tensor.shape[axis] != 1]
    if moving == sorted(moving):
        return tf.reshape(tensor, [tensor.shape[axis] for axis in axes])
    return tf.transpose(tensor, axes)
