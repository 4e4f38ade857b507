"""Engines that take turns, so that whatever else the machine does slows all alike."""

from collections.abc import Callable, Sequence
from typing import Protocol

from digits_edge.export.peers.process import EngineError


class Peer(Protocol):
    """Whoever is timed."""

    @property
    def name(self) -> str:
        """Unique among those that are timed together."""

    def time_us(self, seconds: float) -> float:
        """The median time of a call, measured for at least so long; EngineError where it fails."""


def in_turns(
    peers: Sequence[Peer],
    *,
    rounds: int,
    seconds: float,
    on_turn: Callable[[str, int], None],
    on_failure: Callable[[str, EngineError], None],
) -> dict[str, list[float]]:
    """Time each peer once in every round, one at a time.

    Every round begins with another of them: what a heavy one leaves behind (a hot processor, cold caches) would else
    always fall on the same neighbour.

    Args:
        peers: who is timed.
        rounds: how often.
        seconds: of a turn, at least.
        on_turn: told who computes now, in which round (from 0).
        on_failure: told who failed; it has no more turns.

    Returns:
        The median of every round, by name, of those that have not failed.
    """
    medians_us: dict[str, list[float]] = {peer.name: [] for peer in peers}
    for number in range(rounds):
        first = number % max(len(peers), 1)
        for peer in (*peers[first:], *peers[:first]):
            if peer.name not in medians_us:
                continue
            on_turn(peer.name, number)
            try:
                medians_us[peer.name].append(peer.time_us(seconds))
            except EngineError as error:
                del medians_us[peer.name]
                on_failure(peer.name, error)
    return medians_us
