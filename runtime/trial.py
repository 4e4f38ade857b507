"""Which provider "auto" is for many images: the one that a short trial here found quickest, kept in the user's cache.

A provider's name tells nothing of its speed: OpenVINO may be twice as quick as the CPU provider for batches and slower
for one image, and a GPU takes seconds to start. So each that is installed is timed once for a model, a number of
threads, a machine and its versions; a week later again. The trial is made in this process, which keeps the libraries
of those that were not chosen until it ends: some 65 MB for OpenVINO.
"""

import contextlib
import hashlib
import json
import math
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from digits_edge.runtime.bound_session import BoundSession
from digits_edge.runtime.errors import DigitsEdgeError, InputError, ModelError
from digits_edge.runtime.files import user_cache, written_whole
from digits_edge.runtime.json_record import as_record, read_json
from digits_edge.runtime.machine import processor
from digits_edge.runtime.model_file import recorded_digest
from digits_edge.runtime.providers import installed_versions

BATCH = 128
#: Others must be so much quicker: a choice between equals would differ from day to day, and answers in the last digit.
MARGIN = 0.9
_GOOD_FOR_S = 7 * 86400.0
#: What could not be bound may be mended by what no version tells: a driver, a path.
_GOOD_FOR_S_WITH_FAILURES = 3600.0
_LONGEST_S, _FEWEST_CALLS, _MOST_CALLS, _WARM_UP = 0.05, 3, 30, 2
#: By key, for a machine whose cache cannot be written.
_made: dict[str, "Trial"] = {}


@dataclass(frozen=True)
class Timing:
    """How quick a provider is, in seconds.

    Attributes:
        provider: its short name.
        open_s: to import what it needs and open the model.
        one_s: to answer one image.
        each_s: to answer an image among `BATCH`.
    """

    provider: str
    open_s: float
    one_s: float
    each_s: float

    @property
    def cost_s(self) -> float:
        """Of an image, be it alone or one of many: the geometric mean."""
        return math.sqrt(self.one_s * self.each_s)


@dataclass(frozen=True)
class Trial:
    """What was tried.

    Attributes:
        timings: of the providers that can be bound, the CPU's first.
        failed: of the others, why.
        made_at: when, in seconds since 1970.
    """

    timings: tuple[Timing, ...]
    failed: dict[str, str]
    made_at: float

    def quickest(self) -> str:
        """The provider that costs least; the CPU's where no other is clearly cheaper."""
        cpu, *others = self.timings
        best = min(others, key=lambda timing: timing.cost_s, default=cpu)
        return best.provider if best.cost_s < MARGIN * cpu.cost_s else cpu.provider


def choose(
    bind: Callable[[str], tuple[Path, BoundSession]], names: list[str], model: Path, threads: int
) -> tuple[Path, BoundSession]:
    """Open a model by the provider that is quickest for many images.

    Args:
        bind: opens it by a provider's short name; raises ModelError where that cannot be bound.
        names: the providers of this installation.
        model: the file that the CPU provider would open.
        threads: how many compute a batch together.

    Raises:
        ModelError: not even the CPU provider can open it.
    """
    folder, key = trials_folder(), trial_key(recorded_digest(model), threads)
    trial = _made.get(key) or kept_trial(folder, key, names)
    if trial is None:
        trial = _made[key] = make_trial(lambda name: bind(name)[1], names)
        with contextlib.suppress(InputError):
            keep_trial(trial, folder, key)
    try:
        return bind(trial.quickest())
    except ModelError:
        # a device that was lost: it is tried again when it is back
        _made.pop(key, None)
        with contextlib.suppress(OSError):
            _path(folder, key).unlink(missing_ok=True)
        return bind("cpu")


def trial_key(digest: str, threads: int) -> str:
    """What a trial holds for: a model by its digest, so many threads, this machine and its versions."""
    return json.dumps([digest, threads, platform.node(), processor(), sorted(installed_versions().items())])


def trials_folder() -> Path:
    """Where trials are kept."""
    return user_cache() / "trials"


def forget_trials() -> None:
    """Remove all that are kept, so that each is made again when it is needed."""
    _made.clear()
    with contextlib.suppress(OSError):
        for path in trials_folder().glob("*.json"):
            path.unlink(missing_ok=True)


def make_trial(bind: Callable[[str], BoundSession], names: list[str]) -> Trial:
    """Time providers, each for about a tenth of a second besides opening.

    Raises:
        ModelError: the CPU provider cannot be bound.
    """
    timings, failed = [_timed("cpu", bind)], {}
    for name in names:
        if name != "cpu":
            try:
                timings.append(_timed(name, bind))
            except DigitsEdgeError as error:
                failed[name] = str(error)
    return Trial(tuple(timings), failed, time.time())


def kept_trial(folder: Path, key: str, names: list[str]) -> Trial | None:
    """The trial that was kept; None if there is none, an old one, or one of other providers."""
    try:
        kept = read_json(_path(folder, key))
        trial = as_record(Trial, kept)
        providers = [timing.provider for timing in trial.timings]
        holds = kept["key"] == key and providers[:1] == ["cpu"] and {*providers, *trial.failed} == set(names)
        holds = holds and all(min(one.open_s, one.one_s, one.each_s) > 0 for one in trial.timings)
    except (OSError, ValueError, KeyError):
        return None
    good_for_s = _GOOD_FOR_S_WITH_FAILURES if trial.failed else _GOOD_FOR_S
    return trial if holds and 0 <= time.time() - trial.made_at < good_for_s else None


def keep_trial(trial: Trial, folder: Path, key: str) -> None:
    """Keep a trial for the next start, and remove those that are too old to hold.

    Raises:
        InputError: it could not be written.
    """
    path = _path(folder, key)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path.parent} could not be made: {error.strerror or error}") from error
    with written_whole(path) as stream:
        stream.write(json.dumps({"key": key, **asdict(trial)}).encode())
    for kept in folder.glob("*.json"):
        with contextlib.suppress(OSError):  # another process may have removed it
            if kept.stat().st_mtime < time.time() - _GOOD_FOR_S:
                kept.unlink()


def _path(folder: Path, key: str) -> Path:
    return folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"


def _timed(name: str, bind: Callable[[str], BoundSession]) -> Timing:
    started = time.perf_counter()
    session = bind(name)
    open_s = time.perf_counter() - started
    one_s, batch_s = (_call_s(session, size) for size in (1, BATCH))
    return Timing(name, open_s, one_s, batch_s / BATCH)


def _call_s(session: BoundSession, size: int) -> float:
    """The median time of a call with so many images, once it is warm: the first may take a second on a GPU."""
    images = np.random.default_rng(0).integers(0, 256, (size, 28, 28), np.uint8)
    samples: list[float] = []
    try:
        for _ in range(_WARM_UP):
            session.run(images)
        while len(samples) < _FEWEST_CALLS or (len(samples) < _MOST_CALLS and sum(samples) < _LONGEST_S):
            started = time.perf_counter()
            session.run(images)
            samples.append(time.perf_counter() - started)
    except Exception as error:
        raise ModelError(f"it does not run the model: {error}") from error
    return sorted(samples)[len(samples) // 2]
