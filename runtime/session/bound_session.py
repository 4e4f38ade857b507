"""`BoundSession`: an onnxruntime session that computes the parts of a batch in parallel."""

import os
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.model.model_file import INPUT_NAME
from digits_edge.runtime.session.fixed_batches import FixedBatches
from digits_edge.runtime.session.provider_names import ON_PROCESSOR
from digits_edge.runtime.session.single_image import SingleImage
from digits_edge.runtime.session.threads import available_threads

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

#: Minimum number of images per thread. Networks for digits compute this many in about 0.1 ms; for fewer, waking another
#: thread costs more than it saves.
MIN_PART = 8
#: Maximum number of images per thread and call, so that activations stay in the processor's cache. Speed for 1,024
#: images in parts of this size, compared with one call (int8, Intel Xeon, one thread):
#:
#:     provider   cnn-small  edge   edge-ensemble
#:     cpu        1.6×       1.09×  1.01×
#:     openvino   1.6×       1.03×  1.14×
CACHED_PART = 64
#: Width of the lines on which sequence models are tried.
FREE_WIDTH = 128
_pool: "ThreadPoolExecutor | None" = None
_pool_process = 0


class BoundSession:
    """A model bound to an execution provider.

    With the CPU provider, threads share a batch by images, and each computes its share in parts that fit its cache. The
    probabilities therefore do not depend on the number of threads. onnxruntime's own threads share each operator
    instead, and wake once per operator: with two threads `edge` was 1.7× slower for one image than with one thread, and
    only 1.6× faster for 256 images (Intel Xeon).

    GPUs and other accelerators run batches of fixed shapes (`FixedBatches`). The CPU provider runs one image in reused
    buffers (`SingleImage`).

    Attributes:
        session: the `onnxruntime.InferenceSession`.
        provider: short name of the bound provider, with the device if one was named.
        threads: number of threads that share a batch.
        exact_kernels: whether slower int8 kernels are in use, because the default ones could overflow on this processor
            with the weights of this file.
        single_image: whether the session accepts one image per call only; larger batches are computed image by image.
    """

    def __init__(
        self,
        session: Any,
        provider: str,
        threads: int,
        *,
        single_image: bool = False,
        exact_kernels: bool = False,
        reuse_buffers: bool = False,
    ) -> None:
        self.session, self.provider, self.threads, self.single_image = session, provider, threads, single_image
        self.exact_kernels = exact_kernels
        self._max_parts = threads if provider == "cpu" else 1  # other providers have their own threads
        per_call = 1 if provider == "cpu" else threads
        self._max_images = 1 if single_image else CACHED_PART * per_call
        self._has_fixed_batches = provider not in ON_PROCESSOR and not single_image
        self._reuse_buffers = reuse_buffers

    def run(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Predict class probabilities.

        Args:
            images: uint8 (N, *image_shape), N at least 1; lines of a sequence model have the same width W.

        Returns:
            float32 (N, C); (N, T, C + 1) of a sequence model.

        Raises:
            Exception: any error of onnxruntime, unchanged.
        """
        if len(images) == 1 and self._single is not None:
            return self._single.run(images)
        if self._has_fixed_batches and not self.has_free_width:
            return self._batches.run(images)
        parts = min(self._max_parts, len(images) // MIN_PART)
        if parts < 2:
            return self._predict(images)
        own, *others = np.array_split(images, parts)
        pool = _worker_pool()
        futures = [pool.submit(self._predict, part) for part in others]
        return np.concatenate([self._predict(own), *(future.result() for future in futures)])

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Shape of one image, (H, W) or (H, W, 3); a free width is `FREE_WIDTH`."""
        return tuple(size if isinstance(size, int) else FREE_WIDTH for size in self.session.get_inputs()[0].shape[1:])

    @cached_property
    def has_free_width(self) -> bool:
        """Whether images of any width fit, as of sequence models."""
        return not all(isinstance(size, int) for size in self.session.get_inputs()[0].shape[1:])

    @cached_property
    def _batches(self) -> FixedBatches:
        return FixedBatches(self.session)

    @cached_property
    def _single(self) -> SingleImage | None:
        return SingleImage(self.session) if self._reuse_buffers and not self.has_free_width else None

    def _predict(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        size = self._max_images
        if len(images) > size:
            starts = range(0, len(images), size)
            return np.concatenate([self._predict(images[start : start + size]) for start in starts])
        probabilities: NDArray[np.float32] = self.session.run(None, {INPUT_NAME: images})[0]
        return probabilities


def _worker_pool() -> "ThreadPoolExecutor":
    """The thread pool of this process, shared by all models and callers.

    Its size is the number of threads that the process may use. Two first callers at the same time may each create a
    pool; the last one assigned is used from then on. A forked process inherits the pool without its threads, so it
    creates a new one.
    """
    global _pool, _pool_process
    pool = _pool
    if pool is None or _pool_process != os.getpid():
        from concurrent.futures import ThreadPoolExecutor  # deferred: the import takes 4 ms

        pool = ThreadPoolExecutor(available_threads(), thread_name_prefix="digits-edge")
        _pool, _pool_process = pool, os.getpid()
    return pool
