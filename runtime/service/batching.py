"""Dynamic micro-batching, which runs the images of several requests in one call of a model: `MicroBatcher`."""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.errors import ModelError

Images = NDArray[np.uint8]
Probabilities = NDArray[np.float32]


@dataclass(eq=False, slots=True)
class _QueuedRequest:
    """A request in the queue.

    Attributes:
        images: uint8, (N, H, W) or (N, H, W, 3).
        queued_s: time of arrival on the clock of the event loop, in seconds.
        result: gets the probabilities, float32, (N, C).
    """

    images: Images
    queued_s: float
    result: "asyncio.Future[Probabilities]"


class MicroBatcher:
    """Queue of requests to a model, which are run in batches.

    If the model is idle, a request runs immediately, or after `delay_s` if the batch is not full. Requests that arrive
    while the model runs form the next batch. The queue has no limit; callers have to limit the number of requests.

    Example:
        >>> from concurrent.futures import ThreadPoolExecutor
        >>> async def classify():
        ...     with ThreadPoolExecutor(1) as executor:
        ...         batcher = MicroBatcher(lambda images: images[:, 0, :10] / np.float32(255), executor, largest=64)
        ...         batcher.start()
        ...         probabilities = await batcher.predict(np.zeros((3, 28, 28), np.uint8))
        ...         await batcher.stop()
        ...         return probabilities.shape
        >>> asyncio.run(classify())
        (3, 10)
    """

    def __init__(
        self,
        predict: Callable[[Images], Probabilities],
        executor: Executor,
        *,
        largest: int,
        delay_s: float = 0.0,
        inline: int = 0,
        observe: Callable[[int], None] = lambda images: None,
    ) -> None:
        """Create a queue; `start` starts it.

        Args:
            predict: uint8 (N, H, W) or (N, H, W, 3) → float32 (N, C); runs in `executor`, one call at a time.
            executor: executor with at least one thread.
            largest: maximum number of images in a batch; a request with more images is a batch of its own. With 1,
                every request is a batch of its own.
            delay_s: time that a request may wait for others to fill the batch, in seconds.
            inline: batches of at most this many images run in the event loop: they take less time than the change to
                another thread and back.
            observe: called with the number of images of each batch.
        """
        self._predict, self._executor, self._largest = predict, executor, largest
        self._delay_s, self.inline, self._observe = delay_s, inline, observe
        self._queue: deque[_QueuedRequest] = deque()
        self._arrived = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        #: Whether the latest batch failed, for example because the device of the provider was lost.
        self.has_failed = False

    def start(self) -> None:
        """Start to run requests in the current event loop."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Stop, and cancel the requests in the queue."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        while self._queue:
            self._queue.popleft().result.cancel()

    async def predict(self, images: Images) -> Probabilities:
        """Compute the class probabilities of the images of one request.

        Args:
            images: uint8, (N, H, W) or (N, H, W, 3).

        Returns:
            float32, (N, C).

        Raises:
            Exception: an error of `predict` for the batch.
            ModelError: the queue is stopped.
        """
        if self._task is None or self._task.done():
            raise ModelError("the service is shutting down")
        loop = asyncio.get_running_loop()
        request = _QueuedRequest(images, loop.time(), loop.create_future())
        self._queue.append(request)
        self._arrived.set()
        try:
            return await request.result
        except asyncio.CancelledError:
            with suppress(ValueError):  # the batch may be running already
                self._queue.remove(request)
            raise

    async def _run(self) -> None:
        while True:
            await self._arrived.wait()
            await self._fill()
            if batch := self._next_batch():
                await self._run_batch(batch)
            if not self._queue:
                self._arrived.clear()
            else:  # a batch in the event loop does not wait: let it respond between two of them
                await asyncio.sleep(0)

    async def _fill(self) -> None:
        """Wait until a batch is full or the oldest request has waited `delay_s`."""
        now_s = asyncio.get_running_loop().time
        while self._queue and sum(len(request.images) for request in self._queue) < self._largest:
            left_s = self._queue[0].queued_s + self._delay_s - now_s()
            if left_s <= 0:
                return
            self._arrived.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._arrived.wait(), left_s)

    def _next_batch(self) -> list[_QueuedRequest]:
        """Remove the oldest requests that fit into a batch from the queue; drop those that were cancelled."""
        batch: list[_QueuedRequest] = []
        count = 0
        while self._queue and (not batch or count + len(self._queue[0].images) <= self._largest):
            request = self._queue.popleft()
            if not request.result.done():
                batch.append(request)
                count += len(request.images)
        return batch

    async def _run_batch(self, batch: list[_QueuedRequest]) -> None:
        try:
            images = batch[0].images if len(batch) == 1 else np.concatenate([request.images for request in batch])
            self._observe(len(images))
            if len(images) <= self.inline:
                probabilities = self._predict(images)
            else:
                loop = asyncio.get_running_loop()
                probabilities = await loop.run_in_executor(self._executor, self._predict, images)
            self.has_failed = False
        except Exception as error:
            self.has_failed = True
            for request in batch:
                if not request.result.done():
                    request.result.set_exception(error)
            return
        except asyncio.CancelledError:
            for request in batch:
                request.result.cancel()
            raise
        start = 0
        for request in batch:
            end = start + len(request.images)
            if not request.result.done():  # cancelled while the batch ran
                request.result.set_result(probabilities[start:end])
            start = end
