"""Time limits of many tasks that share one timer: `Deadlines`."""

import asyncio
from typing import Any

Task = asyncio.Task[Any]


class Deadlines:
    """Cancels tasks whose time is over.

    One timer checks all tasks. `asyncio.timeout` would start one for each, which takes a tenth of the time of a request
    with one image.

    Args:
        interval_s: time between two checks, by which a task may be cancelled too late, in seconds.

    Example:
        >>> async def wait():
        ...     task, deadlines = asyncio.current_task(), Deadlines(0.001)
        ...     deadlines.set(task, 0.01)
        ...     try:
        ...         await asyncio.sleep(60)
        ...     except asyncio.CancelledError:
        ...         return deadlines.is_over(task)
        >>> asyncio.run(wait())
        True
    """

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._ends: dict[Task, float] = {}  # tasks → times on the clock of the event loop; 0 after the end
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None  # that of the timer

    def set(self, task: Task, seconds: float) -> None:
        """Give a task so many seconds from now."""
        loop = asyncio.get_running_loop()
        self._ends[task] = loop.time() + seconds
        if self._timer is None or self._loop is not loop:
            self._loop, self._timer = loop, loop.call_later(self._interval_s, self._check)

    def remove(self, task: Task) -> None:
        """Forget a task."""
        self._ends.pop(task, None)

    def is_over(self, task: Task) -> bool:
        """Whether a task was cancelled because its time is over, and not for another reason, too."""
        return self._ends.get(task) == 0 and task.uncancel() == 0

    def _check(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for task, end in self._ends.items():
            if 0 < end <= now:
                self._ends[task] = 0
                task.cancel()
        self._timer = loop.call_later(self._interval_s, self._check) if self._ends else None
