"""Latency comparison of engines that run the same weights, each in its own process, timed round-robin.

Example:
    >>> from pathlib import Path
    >>> from digits_edge.measure import Subject, measure_peers, write_results
    >>> subject = Subject.of("edge-int8")
    >>> rows = measure_peers(subject, threads=[1], batch_sizes=[1], rounds=3, seconds=1)  # doctest: +SKIP
    >>> write_results(rows, Path("peers.csv"))  # doctest: +SKIP
"""

from typing import TYPE_CHECKING

from digits_edge.runtime.lazy import lazy_exports

if TYPE_CHECKING:
    from digits_edge.measure.peers import Subject, measure_peers
    from digits_edge.measure.regression import Change, changes
    from digits_edge.measure.results import PeerRow, SkippedEngine, read_results, write_results

__all__ = [
    "Change",
    "PeerRow",
    "SkippedEngine",
    "Subject",
    "changes",
    "measure_peers",
    "read_results",
    "write_results",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "peers": ("Subject", "measure_peers"),
        "regression": ("Change", "changes"),
        "results": ("PeerRow", "SkippedEngine", "read_results", "write_results"),
    },
)
