"""`FixedBatches`: batches of fixed shapes in reused buffers, for GPUs and other accelerators.

An accelerator compiles or selects a kernel for each new shape, which takes from milliseconds to seconds, and allocates
memory for it. Therefore batches have few sizes, the powers of two, and the last one is padded.
"""

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.model.model_file import INPUT_NAME, OUTPUT_NAME
from digits_edge.runtime.session.library import load_onnxruntime

#: Maximum number of images per call.
MAX_SHAPE = 1024
#: Maximum number of pixel values per call, 16 MB: 1,024 digits, or 64 colour images of 224×224.
MAX_VALUES = 2**24


def batch_shape(images: int) -> int:
    """The smallest power of two that is not smaller than a number of images.

    Example:
        >>> [batch_shape(images) for images in (1, 2, 3, 64, 65)]
        [1, 2, 4, 64, 128]
    """
    return 1 << max(0, images - 1).bit_length()


def largest_shape(pixel_values: int) -> int:
    """The largest batch for images with this number of pixel values, a power of two of at most `MAX_SHAPE`.

    Example:
        >>> largest_shape(28 * 28), largest_shape(224 * 224 * 3), largest_shape(2**26)
        (1024, 64, 1)
    """
    fitting = max(1, MAX_VALUES // pixel_values)
    return min(MAX_SHAPE, 1 << (fitting.bit_length() - 1))


@dataclass(frozen=True, eq=False)
class _Buffers:
    """Input and output of one batch shape.

    Attributes:
        binding: onnxruntime's binding, with the output bound.
        input: onnxruntime's value with the memory of `images`.
        images: uint8 (S, *image_shape).
        probabilities: float32 (S, C).
    """

    binding: Any
    input: Any
    images: NDArray[np.uint8]
    probabilities: NDArray[np.float32]


class FixedBatches:
    """Runs a session in batches whose sizes are powers of two.

    The arrays of each size are allocated once and bound to the session, which copies them to the device and back.
    Callers in several threads wait for each other, because they share the arrays.

    Example:
        >>> from digits_edge.runtime.model.model_file import read_model_file
        >>> from digits_edge.runtime.session.precision import find_model
        >>> session = load_onnxruntime().InferenceSession(
        ...     read_model_file(find_model("edge-fp32", "cuda")), providers=["CPUExecutionProvider"])
        >>> batches = FixedBatches(session)
        >>> batches.run(np.zeros((5, 28, 28), np.uint8)).shape
        (5, 10)
        >>> batches.shapes
        [8]
    """

    def __init__(self, session: Any, *, largest: int | None = None) -> None:
        """Prepare a session; buffers are allocated when a shape is first used.

        Args:
            session: an `onnxruntime.InferenceSession` of a model file.
            largest: maximum number of images per call, a power of two; None for `largest_shape`.
        """
        self._session = session
        _, *self._image_shape = session.get_inputs()[0].shape
        _, *self._result_shape = session.get_outputs()[0].shape
        self._largest = largest or largest_shape(int(np.prod(self._image_shape)))
        self._buffers: dict[int, _Buffers] = {}
        self._lock = threading.Lock()

    @property
    def shapes(self) -> list[int]:
        """The batch sizes that have been used, in ascending order."""
        return sorted(self._buffers)

    def run(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Predict class probabilities.

        Args:
            images: uint8 (N, *image_shape), N at least 1.

        Returns:
            float32 (N, C), a new array.

        Raises:
            Exception: any error of onnxruntime, unchanged.
        """
        results = np.empty((len(images), *self._result_shape), np.float32)
        with self._lock:
            for start in range(0, len(images), self._largest):
                part = images[start : start + self._largest]
                results[start : start + len(part)] = self._run_part(part)
        return results

    def _run_part(self, part: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Run at most `largest` images; the result is valid until the next call."""
        size = batch_shape(len(part))
        buffers = self._buffers.get(size)
        if buffers is None:
            buffers = self._buffers[size] = self._bound_buffers(size)
        buffers.images[: len(part)] = part
        buffers.images[len(part) :] = 0
        # each time: an input that the device consumes is copied to it here, not when the session runs
        buffers.binding.bind_ortvalue_input(INPUT_NAME, buffers.input)
        buffers.binding.synchronize_inputs()
        self._session.run_with_iobinding(buffers.binding)
        buffers.binding.synchronize_outputs()
        return buffers.probabilities[: len(part)]

    def _bound_buffers(self, size: int) -> _Buffers:
        value_of = load_onnxruntime().OrtValue.ortvalue_from_numpy  # shares the memory of the array
        images = np.zeros((size, *self._image_shape), np.uint8)
        probabilities = np.zeros((size, *self._result_shape), np.float32)
        binding = self._session.io_binding()
        binding.bind_ortvalue_output(OUTPUT_NAME, value_of(probabilities))
        return _Buffers(binding, value_of(images), images, probabilities)
