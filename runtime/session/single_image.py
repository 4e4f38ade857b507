"""`SingleImage`: one image per call in reused buffers, for the CPU provider.

`session.run` creates onnxruntime values for the input and the output of every call. For one image of 28×28 pixels, that
takes a tenth of the time of the call.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.model.model_file import INPUT_NAME
from digits_edge.runtime.session.library import load_onnxruntime


class _Buffers(NamedTuple):
    """Input, uint8 (1, *image_shape), and output, float32 (1, C), and the binding of both to the session."""

    image: NDArray[np.uint8]
    probabilities: NDArray[np.float32]
    binding: Any


class SingleImage:
    """Runs a session on one image per call.

    Every thread that calls at the same time has its own buffers, which are used again by later calls.

    Example:
        >>> from digits_edge.runtime.model.model_file import read_model_file
        >>> from digits_edge.runtime.session.precision import find_model
        >>> session = load_onnxruntime().InferenceSession(
        ...     read_model_file(find_model("edge-fp32", "cpu")), providers=["CPUExecutionProvider"])
        >>> single = SingleImage(session)
        >>> single.run(np.zeros((1, 28, 28), np.uint8)).shape
        (1, 10)
    """

    def __init__(self, session: Any) -> None:
        """Prepare a session.

        Args:
            session: an `onnxruntime.InferenceSession` on the CPU provider, whose input and output have a fixed shape
                apart from the number of images.
        """
        # without options, onnxruntime creates some in every call, in 0.8 µs; without this entry, which has no effect on
        # the CPU, `run_with_iobinding` of onnxruntime 1.32 raises and catches an exception in every call, in 30 µs
        self._options = load_onnxruntime().RunOptions()
        self._options.add_run_config_entry("gpu_graph_id", "-1")
        self._session = session
        self._unused: list[_Buffers] = []  # its methods are atomic

    def run(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Predict class probabilities.

        Args:
            images: uint8 (1, *image_shape).

        Returns:
            float32 (1, C), a new array.

        Raises:
            Exception: any error of onnxruntime, unchanged.
        """
        try:
            buffers = self._unused.pop()
        except IndexError:
            buffers = self._new_buffers()
        image, probabilities, binding = buffers
        image[...] = images
        self._session.run_with_iobinding(binding, self._options)
        result = probabilities.copy()
        self._unused.append(buffers)
        return result

    def _new_buffers(self) -> _Buffers:
        value_of = load_onnxruntime().OrtValue.ortvalue_from_numpy  # shares the memory of the array
        output = self._session.get_outputs()[0]
        image = np.zeros((1, *self._session.get_inputs()[0].shape[1:]), np.uint8)
        probabilities = np.zeros((1, *output.shape[1:]), np.float32)
        binding = self._session.io_binding()
        binding.bind_ortvalue_input(INPUT_NAME, value_of(image))
        binding.bind_ortvalue_output(output.name, value_of(probabilities))
        return _Buffers(image, probabilities, binding)
