"""Round-robin timing: every subject is timed once per round, so that other load on the machine affects all equally."""

import statistics
import time
from collections.abc import Callable, Hashable, Mapping
from functools import partial
from typing import TypeVar

from digits_edge.runtime.errors import DigitsEdgeError

Key = TypeVar("Key", bound=Hashable)
Time = TypeVar("Time")


def round_robin(
    timers: Mapping[Key, Callable[[], Time]],
    *,
    rounds: int,
    on_turn: Callable[[Key, int], None] | None = None,
    on_failure: Callable[[Key, DigitsEdgeError], None] | None = None,
) -> dict[Key, list[Time]]:
    """Time each subject once in every round, one at a time.

    Every round starts with another subject, so that the after-effects of a subject (a hot processor, cold caches) do
    not always slow the same successor.

    Args:
        timers: function for each subject that measures one turn and returns its time or times, in any unit.
        rounds: number of rounds.
        on_turn: called before each turn with the subject and the number of the round, from 0.
        on_failure: called with a subject and its error; the subject has no further turns. By default the error is
            raised.

    Returns:
        The times of all rounds for each subject that did not fail.

    Example:
        >>> round_robin({"a": lambda: 1.0, "b": lambda: 2.0}, rounds=2)
        {'a': [1.0, 1.0], 'b': [2.0, 2.0]}
    """
    times: dict[Key, list[Time]] = {subject: [] for subject in timers}
    subjects = list(timers)
    for number in range(rounds):
        first = number % max(len(subjects), 1)
        for subject in (*subjects[first:], *subjects[:first]):
            if subject not in times:
                continue
            if on_turn is not None:
                on_turn(subject, number)
            try:
                times[subject].append(timers[subject]())
            except DigitsEdgeError as error:
                if on_failure is None:
                    raise
                del times[subject]
                on_failure(subject, error)
    return times


def call_us(call: Callable[[], object]) -> float:
    """Measure the time of one call, in µs.

    Example:
        >>> call_us(lambda: None) > 0
        True
    """
    started = time.perf_counter_ns()
    call()
    return (time.perf_counter_ns() - started) / 1e3


def medians_us(calls: Mapping[Key, Callable[[], object]], *, rounds: int, warm_up: int) -> dict[Key, float]:
    """Measure the median time of each call, in µs, round-robin.

    Args:
        calls: function for each subject; called once in every round.
        rounds: number of timed rounds.
        warm_up: number of rounds before them that are discarded.

    Example:
        >>> medians = medians_us({"sorted": lambda: sorted(range(99))}, rounds=3, warm_up=1)
        >>> medians["sorted"] > 0
        True
    """
    times = round_robin({subject: partial(call_us, call) for subject, call in calls.items()}, rounds=warm_up + rounds)
    return {subject: statistics.median(samples[warm_up:]) for subject, samples in times.items()}
