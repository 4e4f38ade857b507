"""A model opened by onnxruntime: `BoundSession`, which answers the parts of a batch side by side."""

import os
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.model.model_file import INPUT_NAME, OUTPUT_NAME
from digits_edge.runtime.session.threads import available_threads

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

#: Images for which it pays to wake a thread; networks for digits answer so many in some 0.1 ms.
MIN_PART = 8
#: Images for each thread at once whose activations stay in a processor's cache. 1,024 images in such parts took 0.62
#: (`cnn-small`), 0.92 (`edge`) and 0.99 (`edge-ensemble`) of the time that they took at once on the CPU's provider,
#: and 0.63, 0.97 and 0.88 on OpenVINO's (int8, Intel Xeon, one thread).
CACHED_PART = 64
_OUTPUTS = [OUTPUT_NAME]
_pool: "ThreadPoolExecutor | None" = None
_pool_process = 0


class BoundSession:
    """A model that a provider runs.

    The CPU's threads share a batch by its images, and each answers its share in parts that its cache holds. To share
    every operator, as onnxruntime does, wakes them once for each: with two threads `edge` took 1.7 times as long for
    one image as with one, and for 256 still 0.63 times as long (Intel Xeon). And so answers do not depend on the number
    of threads.

    Attributes:
        session: `onnxruntime.InferenceSession`.
        provider: short name of the provider that was bound.
        threads: how many compute a batch together.
        exact_kernels: whether slower int8 kernels were selected, because the usual ones may overflow here with the
            weights of this file.
        single_image: whether the session takes batches of one image only; larger ones are then answered image by image.
    """

    def __init__(
        self, session: Any, provider: str, threads: int, *, single_image: bool = False, exact_kernels: bool = False
    ) -> None:
        self.session, self.provider, self.threads, self.single_image = session, provider, threads, single_image
        self.exact_kernels = exact_kernels
        self._most_parts = threads if provider == "cpu" else 1  # other providers have threads of their own
        cached = {"cpu": CACHED_PART, "openvino": CACHED_PART * threads}
        # on a GPU more is quicker, and what is many is the caller's to say
        self._at_once: int | None = 1 if single_image else cached.get(provider)

    def run(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities, float32 (N, C), for uint8 (N, 28, 28), N at least 1; onnxruntime's errors are passed on."""
        parts = min(self._most_parts, len(images) // MIN_PART)
        if parts < 2:
            return self._answer(images)
        own, *others = np.array_split(images, parts)
        helpers = _helpers()
        under_way = [helpers.submit(self._answer, part) for part in others]
        return np.concatenate([self._answer(own), *(answers.result() for answers in under_way)])

    def _answer(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        size = self._at_once
        if size is not None and len(images) > size:
            starts = range(0, len(images), size)
            return np.concatenate([self._answer(images[start : start + size]) for start in starts])
        answers: NDArray[np.float32] = self.session.run(_OUTPUTS, {INPUT_NAME: images})[0]
        return answers


def _helpers() -> "ThreadPoolExecutor":
    """The threads beside the callers': of one process, however many models and callers it has, no more than it may use.

    Two callers that come first at the same time may start a pool each; that of the slower one stays. A forked process
    inherits the pool without its threads, and starts its own.
    """
    global _pool, _pool_process
    pool = _pool
    if pool is None or _pool_process != os.getpid():
        from concurrent.futures import ThreadPoolExecutor  # 4 ms that who reads one picture need not wait for

        pool = ThreadPoolExecutor(available_threads(), thread_name_prefix="digits-edge")
        _pool, _pool_process = pool, os.getpid()
    return pool
