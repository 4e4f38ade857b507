"""Requests share batches, and each gets its own results."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digits_edge.runtime.errors import ModelError
from digits_edge.runtime.service.batching import Images, MicroBatcher, Probabilities

T = TypeVar("T")


def first_pixels(images: Images) -> Probabilities:
    """Return results that identify the image they belong to."""
    return images[:, 0, :2].astype(np.float32)


class BlockingModel:
    """Model that waits for `go` and records the sizes of its batches."""

    def __init__(self) -> None:
        self.started, self.go = threading.Event(), threading.Event()
        self.batches: list[int] = []

    def __call__(self, images: Images) -> Probabilities:
        self.started.set()
        assert self.go.wait(10)
        self.batches.append(len(images))
        if (images == 255).all():
            raise ValueError("model failed")
        return first_pixels(images)

    async def until_started(self) -> None:
        """Wait until the first batch runs."""
        assert await asyncio.to_thread(self.started.wait, 10)


def request(count: int, number: int) -> Images:
    return np.full((count, 28, 28), number, np.uint8)


async def run_ready_tasks() -> None:
    """Let every task run until it waits."""
    for _ in range(10):
        await asyncio.sleep(0)


def run(
    predict: Callable[[Images], Probabilities],
    body: Callable[[MicroBatcher], Awaitable[T]],
    *,
    largest: int = 256,
    delay_s: float = 0.0,
    inline: int = 0,
) -> T:
    async def inside() -> T:
        with ThreadPoolExecutor(1) as executor:
            batcher = MicroBatcher(predict, executor, largest=largest, delay_s=delay_s, inline=inline)
            batcher.start()
            try:
                return await body(batcher)
            finally:
                await batcher.stop()

    return asyncio.run(inside())


@given(st.lists(st.integers(1, 9), min_size=1, max_size=30), st.integers(1, 20), st.integers(0, 20))
def test_every_request_gets_its_own_results_in_any_batches(sizes: list[int], largest: int, inline: int) -> None:
    batches: list[int] = []

    def predict(images: Images) -> Probabilities:
        batches.append(len(images))
        return first_pixels(images)

    async def body(batcher: MicroBatcher) -> list[Probabilities]:
        return await asyncio.gather(*(batcher.predict(request(size, number)) for number, size in enumerate(sizes)))

    results = run(predict, body, largest=largest, inline=inline)
    for number, (size, result) in enumerate(zip(sizes, results, strict=True)):
        assert result.shape == (size, 2)
        assert (result == number).all()
    assert sum(batches) == sum(sizes)
    assert max(batches) <= max(largest, *sizes)


@pytest.mark.parametrize(("images", "is_inline"), [(3, True), (4, False)])
def test_only_small_batches_run_in_the_event_loop(images: int, is_inline: bool) -> None:
    threads: list[int] = []

    def predict(batch: Images) -> Probabilities:
        threads.append(threading.get_ident())
        return first_pixels(batch)

    run(predict, lambda batcher: batcher.predict(request(images, 1)), inline=3)
    assert (threads == [threading.get_ident()]) == is_inline


def test_batches_in_the_event_loop_let_others_run_between_them() -> None:
    order: list[str] = []

    def predict(images: Images) -> Probabilities:
        order.append("batch")
        return first_pixels(images)

    async def body(batcher: MicroBatcher) -> None:
        async def ask() -> None:
            await batcher.predict(request(1, 1))
            order.append("response")

        await asyncio.gather(*(ask() for _ in range(5)))

    run(predict, body, largest=1, inline=1)
    assert order.index("response") < len(order) - 1 - order[::-1].index("batch")


def test_requests_that_arrive_while_the_model_runs_share_a_batch() -> None:
    model = BlockingModel()

    async def body(batcher: MicroBatcher) -> None:
        first = asyncio.create_task(batcher.predict(request(1, 1)))
        await model.until_started()
        others = [asyncio.create_task(batcher.predict(request(2, number))) for number in range(20)]
        await run_ready_tasks()
        model.go.set()
        await asyncio.gather(first, *others)

    run(model, body)
    assert model.batches == [1, 40]


def test_request_waits_for_others_during_the_delay() -> None:
    model = BlockingModel()
    model.go.set()

    async def body(batcher: MicroBatcher) -> None:
        first = asyncio.create_task(batcher.predict(request(1, 1)))
        await run_ready_tasks()
        await asyncio.gather(first, batcher.predict(request(1, 2)))

    run(model, body, delay_s=0.3)
    assert model.batches == [2]


def test_full_batch_runs_without_the_delay() -> None:
    model = BlockingModel()
    model.go.set()

    async def body(batcher: MicroBatcher) -> float:
        started = time.perf_counter()
        first = asyncio.create_task(batcher.predict(request(1, 1)))
        await run_ready_tasks()
        await asyncio.gather(first, batcher.predict(request(3, 2)))
        return time.perf_counter() - started

    assert run(model, body, largest=4, delay_s=30) < 20
    assert model.batches == [4]


def test_batch_that_cannot_be_concatenated_does_not_affect_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    model = BlockingModel()

    def raise_memory_error(*_: object) -> None:
        raise MemoryError

    async def body(batcher: MicroBatcher) -> None:
        first = asyncio.create_task(batcher.predict(request(1, 1)))
        await model.until_started()
        with monkeypatch.context() as patch:
            patch.setattr(np, "concatenate", raise_memory_error)
            others = [asyncio.create_task(batcher.predict(request(1, 2))) for _ in range(2)]
            await run_ready_tasks()
            model.go.set()
            results = await asyncio.gather(first, *others, return_exceptions=True)
        assert [type(result) for result in results[1:]] == [MemoryError, MemoryError]
        await batcher.predict(request(1, 3))

    run(model, body)


def test_batch_that_fails_does_not_affect_the_next() -> None:
    model = BlockingModel()
    model.go.set()

    async def body(batcher: MicroBatcher) -> Probabilities:
        assert not batcher.has_failed
        with pytest.raises(ValueError, match="model failed"):
            await batcher.predict(request(1, 255))
        assert batcher.has_failed
        probabilities = await batcher.predict(request(1, 3))
        assert not batcher.has_failed
        return probabilities

    assert run(model, body)[0, 0] == 3


def test_cancelled_requests_are_not_computed() -> None:
    model = BlockingModel()

    async def body(batcher: MicroBatcher) -> None:
        first = asyncio.create_task(batcher.predict(request(1, 1)))
        await model.until_started()
        cancelled = asyncio.create_task(batcher.predict(request(5, 2)))
        await run_ready_tasks()
        cancelled.cancel()
        last = asyncio.create_task(batcher.predict(request(1, 3)))
        await run_ready_tasks()
        model.go.set()
        await asyncio.gather(first, last)

    run(model, body)
    assert model.batches == [1, 1]


def test_stop_cancels_the_requests_in_the_queue() -> None:
    model = BlockingModel()

    async def body(batcher: MicroBatcher) -> None:
        requests = [asyncio.create_task(batcher.predict(request(1, number))) for number in range(3)]
        await model.until_started()
        model.go.set()
        await batcher.stop()
        results = await asyncio.wait_for(asyncio.gather(*requests, return_exceptions=True), 5)
        assert all(isinstance(result, asyncio.CancelledError) for result in results[1:])
        with pytest.raises(ModelError, match="shutting down"):
            await batcher.predict(request(1, 1))

    run(model, body, largest=1)
