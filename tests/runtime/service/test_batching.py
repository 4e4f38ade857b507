"""Requests share calls, and each gets its own answers."""

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


def told_apart(images: Images) -> Probabilities:
    """An answer that says which image it belongs to."""
    return images[:, 0, :2].astype(np.float32)


class SlowModel:
    """Answers when it is let go, and remembers the batches."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.batches: list[int] = []

    def __call__(self, images: Images) -> Probabilities:
        self.go.wait(10)
        self.batches.append(len(images))
        if (images == 255).all():
            raise ValueError("a model that cannot")
        return told_apart(images)


def request(count: int, number: int) -> Images:
    return np.full((count, 28, 28), number, np.uint8)


def run(
    predict: Callable[[Images], Probabilities],
    body: Callable[[MicroBatcher], Awaitable[T]],
    *,
    largest: int = 256,
    delay_s: float = 0.0,
) -> T:
    async def inside() -> T:
        with ThreadPoolExecutor(1) as executor:
            batcher = MicroBatcher(predict, executor, largest=largest, delay_s=delay_s)
            batcher.start()
            try:
                return await body(batcher)
            finally:
                await batcher.stop()

    return asyncio.run(inside())


@given(st.lists(st.integers(1, 9), min_size=1, max_size=30), st.integers(1, 20))
def test_every_request_gets_its_own_answers_however_they_are_batched(sizes: list[int], largest: int) -> None:
    batches: list[int] = []

    def predict(images: Images) -> Probabilities:
        batches.append(len(images))
        return told_apart(images)

    async def body(batcher: MicroBatcher) -> list[Probabilities]:
        return await asyncio.gather(*(batcher.predict(request(size, number)) for number, size in enumerate(sizes)))

    answers = run(predict, body, largest=largest)
    for number, (size, answer) in enumerate(zip(sizes, answers, strict=True)):
        assert answer.shape == (size, 2)
        assert (answer == number).all()
    assert sum(batches) == sum(sizes)
    assert max(batches) <= max(largest, *sizes)


def test_what_arrives_while_the_model_is_busy_is_one_call() -> None:
    model = SlowModel()

    async def body(batcher: MicroBatcher) -> None:
        first = asyncio.create_task(batcher.predict(request(1, 1)))
        await asyncio.sleep(0.05)
        others = [asyncio.create_task(batcher.predict(request(2, number))) for number in range(20)]
        await asyncio.sleep(0.05)
        model.go.set()
        await asyncio.gather(first, *others)

    run(model, body)
    assert model.batches == [1, 40]


def test_an_image_waits_for_others_where_that_is_asked() -> None:
    model = SlowModel()
    model.go.set()

    async def body(batcher: MicroBatcher) -> None:
        first = asyncio.create_task(batcher.predict(request(1, 1)))
        await asyncio.sleep(0.01)
        await asyncio.gather(first, batcher.predict(request(1, 2)))

    run(model, body, delay_s=0.3)
    assert model.batches == [2]


def test_a_full_call_waits_for_nobody() -> None:
    model = SlowModel()
    model.go.set()

    async def body(batcher: MicroBatcher) -> float:
        started = time.perf_counter()
        first = asyncio.create_task(batcher.predict(request(1, 1)))
        await asyncio.sleep(0.01)
        await asyncio.gather(first, batcher.predict(request(3, 2)))
        return time.perf_counter() - started

    assert run(model, body, largest=4, delay_s=30) < 20
    assert model.batches == [4]


def test_one_that_cannot_be_put_together_leaves_the_next_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    model = SlowModel()

    def full(*_: object) -> None:
        raise MemoryError

    async def body(batcher: MicroBatcher) -> None:
        first = asyncio.create_task(batcher.predict(request(1, 1)))
        await asyncio.sleep(0.05)
        with monkeypatch.context() as patch:
            patch.setattr(np, "concatenate", full)
            others = [asyncio.create_task(batcher.predict(request(1, 2))) for _ in range(2)]
            await asyncio.sleep(0.05)
            model.go.set()
            found = await asyncio.gather(first, *others, return_exceptions=True)
        assert [type(one) for one in found[1:]] == [MemoryError, MemoryError]
        await batcher.predict(request(1, 3))

    run(model, body)


def test_one_batch_that_fails_leaves_the_next_alone() -> None:
    model = SlowModel()
    model.go.set()

    async def body(batcher: MicroBatcher) -> Probabilities:
        with pytest.raises(ValueError, match="cannot"):
            await batcher.predict(request(1, 255))
        return await batcher.predict(request(1, 3))

    assert run(model, body)[0, 0] == 3


def test_nobody_computes_what_nobody_waits_for() -> None:
    model = SlowModel()

    async def body(batcher: MicroBatcher) -> None:
        first = asyncio.create_task(batcher.predict(request(1, 1)))
        await asyncio.sleep(0.05)
        given_up = asyncio.create_task(batcher.predict(request(5, 2)))
        await asyncio.sleep(0)
        given_up.cancel()
        last = asyncio.create_task(batcher.predict(request(1, 3)))
        await asyncio.sleep(0)
        model.go.set()
        await asyncio.gather(first, last)

    run(model, body)
    assert model.batches == [1, 1]


def test_who_still_waits_at_the_end_is_told() -> None:
    model = SlowModel()

    async def body(batcher: MicroBatcher) -> None:
        waiting = [asyncio.create_task(batcher.predict(request(1, number))) for number in range(3)]
        await asyncio.sleep(0.05)
        model.go.set()
        await batcher.stop()
        done = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 5)
        assert all(isinstance(answer, asyncio.CancelledError) for answer in done[1:])
        with pytest.raises(ModelError, match="ending"):
            await batcher.predict(request(1, 1))

    run(model, body, largest=1)
