"""Number of threads that this process may use, by affinity, cgroup quota or `DIGITS_EDGE_THREADS`."""

import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from digits_edge.runtime.errors import UsageError

ENVIRONMENT = "DIGITS_EDGE_THREADS"
#: Larger numbers are most likely typing errors, and can make the system kill the process.
MAX_THREADS = 1024


def available_threads() -> int:
    """The number of threads to use by default, at least 1.

    The number of processors in the process's affinity, or its cgroup quota if that is smaller, rounded up. The
    environment variable DIGITS_EDGE_THREADS overrides both.

    Raises:
        UsageError: DIGITS_EDGE_THREADS is not an integer from 1 to `MAX_THREADS`.

    Example:
        >>> available_threads() >= 1
        True
    """
    if (wanted := os.environ.get(ENVIRONMENT)) is not None:
        if not wanted.isdecimal() or not 1 <= int(wanted) <= MAX_THREADS:
            raise UsageError(
                f"invalid {ENVIRONMENT} {wanted!r}: set it to a number from 1 to {MAX_THREADS}, or unset it"
            )
        return int(wanted)
    quota = cgroup_quota()
    return max(1, affinity() if quota is None else min(affinity(), math.ceil(quota)))


def thread_count(requested: int | None) -> int:
    """Check a requested number of threads; None means `available_threads()`.

    Raises:
        UsageError: fewer than 1, or more than `MAX_THREADS`.

    Example:
        >>> thread_count(2)
        2
        >>> thread_count(0)
        Traceback (most recent call last):
        digits_edge.runtime.errors.UsageError: invalid thread count 0: use 1 to 1024
    """
    if requested is not None and not 1 <= requested <= MAX_THREADS:
        raise UsageError(f"invalid thread count {requested}: use 1 to {MAX_THREADS}")
    return available_threads() if requested is None else requested


def affinity() -> int:
    """The number of processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cgroup_quota(root: Path = Path("/")) -> float | None:
    """The CPU limit of this process's cgroups, in processors; None without a limit or without cgroups.

    Args:
        root: folder that contains `proc` and `sys`.
    """
    return min(_quotas(root), default=None)


def _quotas(root: Path) -> Iterator[float]:
    """The limits of the process's cgroups and of all their ancestors; the smallest one applies."""
    mounts = root / "sys/fs/cgroup"
    for line in (_text(root / "proc/self/cgroup") or "").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:  # version 2, which hybrid systems mount as "unified"
            yield from _with_ancestors(mounts, path, _quota_v2)
            yield from _with_ancestors(mounts / "unified", path, _quota_v2)
        elif "cpu" in controllers.split(","):
            yield from _with_ancestors(mounts / controllers, path, _quota_v1)


def _with_ancestors(top: Path, path: str, quota_of: Callable[[Path], float | None]) -> Iterator[float]:
    """The limits of a cgroup and of its ancestors, up to the mount point.

    In a container, `path` may be the host's and not exist; the mount point is then the container's own cgroup.
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
    """Content of a file without surrounding whitespace; None if it cannot be read."""
    try:
        return path.read_text().strip()
    except OSError:
        return None
