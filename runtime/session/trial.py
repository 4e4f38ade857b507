"""Which precision and provider are taken for many images: those that a short trial here found fastest.

Names say nothing about speed. OpenVINO may be twice as fast as the CPU provider for batches and slower for one image,
a GPU takes seconds to start, and int8 is 1.7 times faster than fp32 on one processor without VNNI and slower on
another. So each way to run a model is timed once for a number of threads, a machine and its versions, and a week later
again; the result is stored in the user's cache. The trial is made in this process, which keeps the libraries of those
that were not chosen until it ends: some 65 MB for OpenVINO.
"""

import contextlib
import hashlib
import json
import math
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from digits_edge.runtime.errors import DigitsEdgeError, InputError, ModelError
from digits_edge.runtime.files import atomic_write, user_cache
from digits_edge.runtime.json_record import as_record, read_json
from digits_edge.runtime.model.model_file import recorded_digest
from digits_edge.runtime.session.bound_session import BoundSession
from digits_edge.runtime.session.library import installed_versions
from digits_edge.runtime.session.machine import processor
from digits_edge.runtime.session.precision import Way

BATCH = 128
#: Others must be so much faster: a choice between equals would differ from day to day, and answers in the last digit.
MARGIN = 0.9
_GOOD_FOR_S = 7 * 86400.0
#: A provider that could not be bound may be made to work by what no version tells: a driver, a path.
_GOOD_FOR_S_WITH_FAILURES = 3600.0
_MAX_S, _MIN_CALLS, _MAX_CALLS, _WARM_UP = 0.05, 3, 30, 2
#: By key, for a machine whose cache cannot be written.
_made: dict[str, "SpeedTrial"] = {}


@dataclass(frozen=True)
class Timing:
    """How fast a way to run a model is, in seconds.

    Attributes:
        provider: its short name.
        model: the file's name without its ending, which for bundled models ends in the precision.
        open_s: to import what it needs and open the model.
        one_s: to answer one image.
        each_s: to answer an image among `BATCH`.
    """

    provider: str
    model: str
    open_s: float
    one_s: float
    each_s: float

    @property
    def cost_s(self) -> float:
        """Of an image, be it alone or one of many: the geometric mean."""
        return math.sqrt(self.one_s * self.each_s)


@dataclass(frozen=True)
class SpeedTrial:
    """What was tried.

    Attributes:
        timings: of the ways whose provider can be bound, the expected one first.
        failed: of the other providers, why.
        made_at: when, in seconds since 1970.
    """

    timings: tuple[Timing, ...]
    failed: dict[str, str]
    made_at: float

    def fastest(self) -> Timing:
        """The way that costs least; the expected one where no other is clearly cheaper."""
        expected, *others = self.timings
        best = min(others, key=lambda timing: timing.cost_s, default=expected)
        return best if best.cost_s < MARGIN * expected.cost_s else expected


def choose(bind: Callable[[Way], BoundSession], ways: Sequence[Way], threads: int) -> tuple[Path, BoundSession]:
    """Open a model in the way that is fastest for many images.

    Args:
        bind: opens it; raises ModelError where a provider cannot be bound.
        ways: to run the model, the expected one first.
        threads: how many compute a batch together.

    Returns:
        The file that was opened, and the session.

    Raises:
        ModelError: not even the expected way works.
    """
    trial = known_trial(ways, threads)
    if trial is None:
        trial = make_trial(bind, ways)
        keep_trial(trial, ways, threads)
    fastest = trial.fastest()
    way = next(way for way in ways if (way.provider, way.file.stem) == (fastest.provider, fastest.model))
    try:
        return way.file, bind(way)
    except ModelError:
        # a device that was lost: it is tried again when it is back
        _made.pop(key := trial_key(ways, threads), None)
        with contextlib.suppress(OSError):
            _path(trials_folder(), key).unlink(missing_ok=True)
        return ways[0].file, bind(ways[0])


def known_trial(ways: Sequence[Way], threads: int) -> SpeedTrial | None:
    """The trial that was made here before and still holds; None without one."""
    return _made.get(key := trial_key(ways, threads)) or stored_trial(trials_folder(), key, ways)


def keep_trial(trial: SpeedTrial, ways: Sequence[Way], threads: int) -> None:
    """Store a trial for this process and, where the user's cache can be written, for the next one."""
    key = trial_key(ways, threads)
    _made[key] = trial
    with contextlib.suppress(InputError):
        store_trial(trial, trials_folder(), key)


def trial_key(ways: Sequence[Way], threads: int) -> str:
    """What a trial holds for: providers and files by their digests, so many threads, this machine and its versions.

    Raises:
        ModelError: a file cannot be read.
    """
    tried = [[way.provider, recorded_digest(way.file)] for way in ways]
    return json.dumps([tried, threads, platform.node(), processor(), sorted(installed_versions().items())])


def trials_folder() -> Path:
    """Where trials are kept."""
    return user_cache() / "trials"


def clear_trials() -> None:
    """Remove all that are kept, so that each is made again when it is needed."""
    _made.clear()
    with contextlib.suppress(OSError):
        for path in trials_folder().glob("*.json"):
            path.unlink(missing_ok=True)


def make_trial(bind: Callable[[Way], BoundSession], ways: Sequence[Way]) -> SpeedTrial:
    """Time each way, for about a tenth of a second besides opening.

    Raises:
        ModelError: the first one, which is the expected one, does not work.
    """
    timings, failed = [_timed(ways[0], bind)], dict[str, str]()
    for way in ways[1:]:
        if way.provider not in failed:
            try:
                timings.append(_timed(way, bind))
            except DigitsEdgeError as error:
                failed[way.provider] = str(error)
    return SpeedTrial(tuple(timing for timing in timings if timing.provider not in failed), failed, time.time())


def stored_trial(folder: Path, key: str, ways: Sequence[Way]) -> SpeedTrial | None:
    """The trial that was stored; None if there is none, an old one, or one of other ways."""
    try:
        kept = read_json(_path(folder, key))
        trial = as_record(SpeedTrial, kept)
        timed = [(timing.provider, timing.model) for timing in trial.timings]
        expected = [(way.provider, way.file.stem) for way in ways]
        holds = kept["key"] == key and timed[:1] == expected[:1]
        holds = holds and {*timed} == {one for one in expected if one[0] not in trial.failed}
        holds = holds and {*trial.failed} <= {way.provider for way in ways}
        holds = holds and all(min(one.open_s, one.one_s, one.each_s) > 0 for one in trial.timings)
    except (OSError, ValueError, KeyError):
        return None
    good_for_s = _GOOD_FOR_S_WITH_FAILURES if trial.failed else _GOOD_FOR_S
    return trial if holds and 0 <= time.time() - trial.made_at < good_for_s else None


def store_trial(trial: SpeedTrial, folder: Path, key: str) -> None:
    """Keep a trial for the next start, and remove those that are too old to hold.

    Raises:
        InputError: it could not be written.
    """
    path = _path(folder, key)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path.parent} could not be made: {error.strerror or error}") from error
    with atomic_write(path) as stream:
        stream.write(json.dumps({"key": key, **asdict(trial)}).encode())
    for kept in folder.glob("*.json"):
        with contextlib.suppress(OSError):  # another process may have removed it
            if kept.stat().st_mtime < time.time() - _GOOD_FOR_S:
                kept.unlink()


def _path(folder: Path, key: str) -> Path:
    return folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"


def _timed(way: Way, bind: Callable[[Way], BoundSession]) -> Timing:
    started = time.perf_counter()
    session = bind(way)
    open_s = time.perf_counter() - started
    one_s, batch_s = (_call_s(session, size) for size in (1, BATCH))
    return Timing(way.provider, way.file.stem, open_s, one_s, batch_s / BATCH)


def _call_s(session: BoundSession, size: int) -> float:
    """The median time of a call with so many images, once it is warm: the first may take a second on a GPU."""
    images = np.random.default_rng(0).integers(0, 256, (size, 28, 28), np.uint8)
    samples: list[float] = []
    try:
        for _ in range(_WARM_UP):
            session.run(images)
        while len(samples) < _MIN_CALLS or (len(samples) < _MAX_CALLS and sum(samples) < _MAX_S):
            started = time.perf_counter()
            session.run(images)
            samples.append(time.perf_counter() - started)
    except Exception as error:
        raise ModelError(f"it does not run the model: {error}") from error
    return sorted(samples)[len(samples) // 2]
