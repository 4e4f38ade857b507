"""How many threads this process may use: affinity, cgroup quota, or what `DIGITS_EDGE_THREADS` says."""

import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from digits_edge.runtime.errors import UsageError

ENVIRONMENT = "DIGITS_EDGE_THREADS"
#: More is a slip of the finger, and a process that the system ends.
MAX_THREADS = 1024


def available_threads() -> int:
    """Threads worth starting here, at least 1.

    The processors this process may run on, or fewer where its cgroup allows it less time than that; a part of a
    processor counts as one. The environment variable DIGITS_EDGE_THREADS goes before both.

    Raises:
        UsageError: DIGITS_EDGE_THREADS is not a whole number from 1 to `MAX_THREADS`.
    """
    if (wanted := os.environ.get(ENVIRONMENT)) is not None:
        if not wanted.isdecimal() or not 1 <= int(wanted) <= MAX_THREADS:
            raise UsageError(f"{ENVIRONMENT} is {wanted!r}; set it to a number from 1 to {MAX_THREADS}, or unset it")
        return int(wanted)
    quota = cgroup_quota()
    return max(1, affinity() if quota is None else min(affinity(), math.ceil(quota)))


def thread_count(asked: int | None) -> int:
    """So many threads as are asked for; without a number, all that are available.

    Raises:
        UsageError: fewer than one, or more than `MAX_THREADS`.
    """
    if asked is not None and not 1 <= asked <= MAX_THREADS:
        raise UsageError(f"{asked} threads cannot compute; name 1 to {MAX_THREADS}")
    return available_threads() if asked is None else asked


def affinity() -> int:
    """Processors this process may run on."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cgroup_quota(root: Path = Path("/")) -> float | None:
    """Processors' worth of time this process's cgroups allow; None without a limit, and where there are no cgroups.

    Args:
        root: the folder in which `proc` and `sys` are.
    """
    return min(_quotas(root), default=None)


def _quotas(root: Path) -> Iterator[float]:
    """The limits of the cgroups this process is in and of all above them, each of which holds."""
    mounts = root / "sys/fs/cgroup"
    for line in (_text(root / "proc/self/cgroup") or "").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:  # version 2; beside version 1 it is mounted as "unified"
            yield from _upwards(mounts, path, _quota_v2)
            yield from _upwards(mounts / "unified", path, _quota_v2)
        elif "cpu" in controllers.split(","):
            yield from _upwards(mounts / controllers, path, _quota_v1)


def _upwards(top: Path, path: str, quota_of: Callable[[Path], float | None]) -> Iterator[float]:
    """The limits of one cgroup and of those it is in, up to the mount.

    In a container `path` may be the host's and not exist here; the mount's top is then the container's own cgroup.
    """
    group = top / path.lstrip("/")
    for folder in (group, *group.parents):
        if (quota := quota_of(folder)) is not None:
            yield quota
        if folder == top:
            return


def _quota_v2(folder: Path) -> float | None:
    quota, _, period = (_text(folder / "cpu.max") or "max").partition(" ")
    return None if quota == "max" else int(quota) / int(period)


def _quota_v1(folder: Path) -> float | None:
    quota, period = _text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us")
    return None if quota is None or period is None or int(quota) <= 0 else int(quota) / int(period)


def _text(path: Path) -> str | None:
    """What stands in a file; None if it cannot be read."""
    try:
        return path.read_text().strip()
    except OSError:
        return None
