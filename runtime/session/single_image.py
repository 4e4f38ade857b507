"""`SingleImage`: one image per call in reused buffers, for the CPU provider.

`session.run` creates onnxruntime values for the input and the output of every call. For one image of 28×28 pixels, that
takes a tenth of the time of the call.
"""

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.model.model_file import INPUT_NAME
from digits_edge.runtime.session.library import load_onnxruntime


class SingleImage:
    """Input and output of one image, allocated once and bound to the session.

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
        """Allocate and bind the buffers.

        Args:
            session: an `onnxruntime.InferenceSession` on the CPU provider, whose input and output have a fixed shape
                apart from the number of images.
        """
        ort = load_onnxruntime()
        value_of = ort.OrtValue.ortvalue_from_numpy  # shares the memory of the array
        output = session.get_outputs()[0]
        self._image = np.zeros((1, *session.get_inputs()[0].shape[1:]), np.uint8)
        self._probabilities = np.zeros((1, *output.shape[1:]), np.float32)
        self._binding = session.io_binding()
        self._binding.bind_ortvalue_input(INPUT_NAME, value_of(self._image))
        self._binding.bind_ortvalue_output(output.name, value_of(self._probabilities))
        # without options, onnxruntime creates some in every call, in 0.8 µs; without this entry, which has no effect on
        # the CPU, `run_with_iobinding` of onnxruntime 1.32 raises and catches an exception in every call, in 30 µs
        self._options = ort.RunOptions()
        self._options.add_run_config_entry("gpu_graph_id", "-1")
        self._session = session
        self._lock = threading.Lock()

    def run(self, images: NDArray[np.uint8]) -> NDArray[np.float32] | None:
        """Predict class probabilities.

        Args:
            images: uint8 (1, *image_shape).

        Returns:
            float32 (1, C), a new array; None if another thread uses the buffers.

        Raises:
            Exception: any error of onnxruntime, unchanged.
        """
        if not self._lock.acquire(blocking=False):
            return None
        try:
            self._image[...] = images
            self._session.run_with_iobinding(self._binding, self._options)
            return self._probabilities.copy()
        finally:
            self._lock.release()
