"""Dynamic micro-batching: the images of several requests in one call of a model: `MicroBatcher`."""

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


@dataclass(frozen=True, eq=False)
class _Waiting:
    """Images of one request, when they came, and where their answer goes."""

    images: Images
    since_s: float
    answer: "asyncio.Future[Probabilities]"


class MicroBatcher:
    """Collects what arrives while the model is busy, and answers it in one call.

    An idle model answers at once, or after `delay_s` if more may come; a busy one finds a batch when it is done. It
    holds what has arrived and no limit of its own: who admits requests bounds them.
    """

    def __init__(
        self,
        predict: Callable[[Images], Probabilities],
        executor: Executor,
        *,
        largest: int,
        delay_s: float = 0.0,
        observe: Callable[[int], None] = lambda images: None,
    ) -> None:
        """Prepare; `start` begins.

        Args:
            predict: uint8 (N, 28, 28) → float32 (N, C); runs in `executor`, one call at a time.
            executor: with one thread at least.
            largest: images in a call at most, but for a request that has more; 1 answers every request on its own.
            delay_s: how long an image may wait for others before its call begins, beside the call before it.
            observe: called with the number of images of every call.
        """
        self._predict, self._executor, self._largest = predict, executor, largest
        self._delay_s, self._observe = delay_s, observe
        self._waiting: deque[_Waiting] = deque()
        self._arrived = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to answer, in the running event loop."""
        self._task = asyncio.get_running_loop().create_task(self._answer_all())

    async def stop(self) -> None:
        """Answer no more; who still waits is cancelled."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        while self._waiting:
            self._waiting.popleft().answer.cancel()

    async def predict(self, images: Images) -> Probabilities:
        """The answers to the images of one request.

        Args:
            images: uint8, (N, 28, 28).

        Returns:
            float32, (N, C).

        Raises:
            Exception: whatever `predict` raised for the batch they were in.
            ModelError: it was stopped.
        """
        if self._task is None or self._task.done():
            raise ModelError("the service is ending")
        loop = asyncio.get_running_loop()
        waiting = _Waiting(images, loop.time(), loop.create_future())
        self._waiting.append(waiting)
        self._arrived.set()
        try:
            return await waiting.answer
        except asyncio.CancelledError:
            with suppress(ValueError):  # it may be at work already
                self._waiting.remove(waiting)
            raise

    async def _answer_all(self) -> None:
        while True:
            await self._arrived.wait()
            await self._more()
            if batch := self._next_batch():
                await self._answer(batch)
            if not self._waiting:
                self._arrived.clear()

    async def _more(self) -> None:
        """Wait until a call is full, or the oldest request has waited long enough."""
        now_s = asyncio.get_running_loop().time
        while self._waiting and sum(len(waiting.images) for waiting in self._waiting) < self._largest:
            left_s = self._waiting[0].since_s + self._delay_s - now_s()
            if left_s <= 0:
                return
            self._arrived.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._arrived.wait(), left_s)

    def _next_batch(self) -> list[_Waiting]:
        """The oldest requests that fit into one call, without those that nobody waits for any more."""
        batch: list[_Waiting] = []
        count = 0
        while self._waiting and (not batch or count + len(self._waiting[0].images) <= self._largest):
            waiting = self._waiting.popleft()
            if not waiting.answer.done():
                batch.append(waiting)
                count += len(waiting.images)
        return batch

    async def _answer(self, batch: list[_Waiting]) -> None:
        try:
            images = batch[0].images if len(batch) == 1 else np.concatenate([waiting.images for waiting in batch])
            self._observe(len(images))
            answers = await asyncio.get_running_loop().run_in_executor(self._executor, self._predict, images)
        except Exception as error:
            for waiting in batch:
                if not waiting.answer.done():
                    waiting.answer.set_exception(error)
            return
        except asyncio.CancelledError:
            for waiting in batch:
                waiting.answer.cancel()
            raise
        start = 0
        for waiting in batch:
            end = start + len(waiting.images)
            if not waiting.answer.done():  # its request was given up meanwhile
                waiting.answer.set_result(answers[start:end])
            start = end
