"""Tasks are cancelled when their time is over, and only then."""

import asyncio

import pytest

from digits_edge.runtime.service.deadlines import Deadlines, Task


def current_task() -> Task:
    task = asyncio.current_task()
    assert task is not None
    return task


async def waits(deadlines: Deadlines, seconds: float, wait_s: float) -> bool:
    """Wait with a time limit; return whether it ended the wait."""
    task = current_task()
    deadlines.set(task, seconds)
    try:
        await asyncio.sleep(wait_s)
    except asyncio.CancelledError:
        if not deadlines.is_over(task):
            raise
        return True
    finally:
        deadlines.remove(task)
    return False


def test_only_tasks_whose_time_is_over_are_cancelled() -> None:
    async def body() -> list[bool]:
        deadlines = Deadlines(0.001)
        limits = ((0.01, 60), (60, 0.05), (0.02, 60), (60, 0))
        return await asyncio.gather(*(waits(deadlines, limit, wait) for limit, wait in limits))

    assert asyncio.run(body()) == [True, False, True, False]


def test_times_are_checked_again_after_a_pause_without_tasks() -> None:
    async def body() -> list[bool]:
        deadlines = Deadlines(0.001)
        first = await waits(deadlines, 60, 0)
        await asyncio.sleep(0.02)
        return [first, await waits(deadlines, 0.01, 60)]

    assert asyncio.run(body()) == [False, True]


def test_new_limit_replaces_the_first() -> None:
    async def body() -> bool:
        deadlines = Deadlines(0.001)
        deadlines.set(current_task(), 0.001)
        return await waits(deadlines, 60, 0.05)

    assert not asyncio.run(body())


def test_cancelling_for_another_reason_is_not_a_time_limit() -> None:
    async def body() -> None:
        task = asyncio.create_task(waits(Deadlines(0.001), 60, 60))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(body())


def test_times_are_checked_in_a_new_event_loop() -> None:
    deadlines = Deadlines(0.001)

    async def start_only() -> None:
        deadlines.set(current_task(), 60)

    asyncio.run(start_only())  # ends while its timer waits
    assert asyncio.run(waits(deadlines, 0.01, 60))
