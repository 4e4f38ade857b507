"""Speed trial: measures which precision and provider are fastest for many images on this machine.

Speed cannot be predicted from names. OpenVINO can be twice as fast as the CPU provider for batches and slower for one
image, a GPU takes seconds to start, and int8 is 1.7× faster than fp32 on one processor without VNNI and slower on
another. Therefore each candidate is timed for a number of threads, a machine and its installed versions. The result is
stored in the user's cache and is valid for a week. The trial runs in this process, which keeps the libraries of the
rejected providers loaded until it ends: about 65 MB for OpenVINO.
"""

import contextlib
import hashlib
import json
import math
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from digits_edge.runtime.errors import DigitsEdgeError, InputError, ModelError, ProviderError
from digits_edge.runtime.files import atomic_write, user_cache
from digits_edge.runtime.json_record import as_record, read_json
from digits_edge.runtime.model.model_file import recorded_digest
from digits_edge.runtime.session.bound_session import BoundSession
from digits_edge.runtime.session.machine import processor
from digits_edge.runtime.session.plugins import installed_versions
from digits_edge.runtime.session.precision import Way, open_first

BATCH = 128
#: A candidate must cost less than this share of the expected one. Otherwise the selection among equally fast ones, and
#: with it the last digits of the probabilities, would vary from day to day.
MARGIN = 0.9
_GOOD_FOR_S = 7 * 86400.0
#: Shorter if a provider could not be bound: a new driver or path can fix that without changing an installed version.
_GOOD_FOR_S_WITH_FAILURES = 3600.0
_MAX_S, _MIN_CALLS, _MAX_CALLS, _WARM_UP = 0.05, 3, 30, 2
#: Trials of this process by key, for machines whose cache is not writable.
_trials_by_key: dict[str, "SpeedTrial"] = {}


@dataclass(frozen=True)
class Timing:
    """Measured speed of one way to run a model, in seconds.

    Attributes:
        provider: short name of the provider.
        model: file name without suffix; for bundled models it ends in the precision.
        open_s: time to import the provider and open the model.
        one_s: time for a batch of one image.
        each_s: time per image in a batch of `BATCH` images.

    Example:
        >>> Timing("cpu", "edge-int8", open_s=0.01, one_s=4e-4, each_s=1e-4).cost_s
        0.0002
    """

    provider: str
    model: str
    open_s: float
    one_s: float
    each_s: float

    @property
    def cost_s(self) -> float:
        """Geometric mean of `one_s` and `each_s`, by which candidates are compared."""
        return math.sqrt(self.one_s * self.each_s)


@dataclass(frozen=True)
class SpeedTrial:
    """Result of a speed trial.

    Attributes:
        timings: of the candidates that could be opened; the expected one is first.
        failed: short name of each provider that could open no candidate → error message.
        made_at: Unix time of the trial, in seconds.
        failed_models: other candidates that could not be opened, such as "edge-int8 on cpu" → error message.

    Example:
        >>> cpu = Timing("cpu", "edge-int8", open_s=0.01, one_s=4e-4, each_s=1e-4)
        >>> openvino = Timing("openvino", "edge-int8", open_s=0.2, one_s=4e-4, each_s=5e-5)
        >>> SpeedTrial((cpu, openvino), {}, made_at=0.0).fastest().provider
        'openvino'
    """

    timings: tuple[Timing, ...]
    failed: dict[str, str]
    made_at: float
    failed_models: dict[str, str] = field(default_factory=dict)

    def fastest(self) -> Timing:
        """The timing with the lowest cost; the expected one if no other is clearly faster (`MARGIN`)."""
        expected, *others = self.timings
        best = min(others, key=lambda timing: timing.cost_s, default=expected)
        return best if best.cost_s < MARGIN * expected.cost_s else expected


def choose(bind: Callable[[Way], BoundSession], ways: Sequence[Way], threads: int) -> tuple[Path, BoundSession]:
    """Open a model in the way that is fastest for many images; runs a trial if none is stored.

    Args:
        bind: opens a way; raises ProviderError if the provider cannot be bound or cannot open the file.
        ways: the candidates, the expected one first.
        threads: number of threads that share a batch.

    Returns:
        The opened file and its session.

    Raises:
        ModelError: no way can be opened.
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
        # the device is no longer available: discard the trial, so that it is tried again later
        _trials_by_key.pop(key := trial_key(ways, threads), None)
        with contextlib.suppress(OSError):
            _path(trials_folder(), key).unlink(missing_ok=True)
        return open_first(bind, ways)


def known_trial(ways: Sequence[Way], threads: int) -> SpeedTrial | None:
    """The valid trial of this process or the cache; None if there is none."""
    return _trials_by_key.get(key := trial_key(ways, threads)) or stored_trial(trials_folder(), key, ways)


def keep_trial(trial: SpeedTrial, ways: Sequence[Way], threads: int) -> None:
    """Store a trial for this process and, if the user's cache is writable, for later processes."""
    key = trial_key(ways, threads)
    _trials_by_key[key] = trial
    with contextlib.suppress(InputError):
        store_trial(trial, trials_folder(), key)


def trial_key(ways: Sequence[Way], threads: int) -> str:
    """Key of a trial: providers, names and checksums of the files, number of threads, machine, and installed versions.

    Raises:
        ModelError: a file cannot be read.
    """
    candidates = [[way.provider, way.file.stem, recorded_digest(way.file)] for way in ways]
    return json.dumps([candidates, threads, platform.node(), processor(), sorted(installed_versions().items())])


def trials_folder() -> Path:
    """The folder of stored trials."""
    return user_cache() / "trials"


def clear_trials() -> None:
    """Remove all stored trials, so that they run again when needed."""
    _trials_by_key.clear()
    with contextlib.suppress(OSError):
        for path in trials_folder().glob("*.json"):
            path.unlink(missing_ok=True)


def make_trial(bind: Callable[[Way], BoundSession], ways: Sequence[Way]) -> SpeedTrial:
    """Time each candidate, for about 0.1 s in addition to opening it; skip those that cannot be opened.

    Raises:
        ModelError: no candidate can be opened or run; the error is that of the expected one.
    """
    timings, failures = time_ways(bind, ways)
    if not timings:
        raise ProviderError(failures[ways[0]])
    return trial_of(timings, failures)


def time_ways(bind: Callable[[Way], BoundSession], ways: Sequence[Way]) -> tuple[tuple[Timing, ...], dict[Way, str]]:
    """Time each candidate.

    Returns:
        The timings in the order of the candidates, and the error message of each candidate that cannot be opened.

    Raises:
        DigitsEdgeError: the file of the expected candidate is damaged, or the settings are invalid.
    """
    timings, failures = [], dict[Way, str]()
    for way in ways:
        try:
            timings.append(_timed(way, bind))
        except DigitsEdgeError as error:
            if way == ways[0] and not isinstance(error, ProviderError):
                raise
            failures[way] = str(error)
    return tuple(timings), failures


def trial_of(timings: tuple[Timing, ...], failures: dict[Way, str]) -> SpeedTrial:
    """Build a trial from the results of `time_ways`, made now."""
    usable = {timing.provider for timing in timings}
    failed = {way.provider: reason for way, reason in reversed(failures.items()) if way.provider not in usable}
    others = {str(way): reason for way, reason in failures.items() if way.provider in usable}
    return SpeedTrial(timings, failed, time.time(), others)


def stored_trial(folder: Path, key: str, ways: Sequence[Way]) -> SpeedTrial | None:
    """The stored trial; None if there is none, or it is too old, malformed, or of other candidates."""
    try:
        stored = read_json(_path(folder, key))
        trial = as_record(SpeedTrial, stored)
        timed = [(timing.provider, timing.model) for timing in trial.timings]
        expected = [
            (way.provider, way.file.stem)
            for way in ways
            if way.provider not in trial.failed and str(way) not in trial.failed_models
        ]
        is_valid = (
            stored["key"] == key
            and len(timed) > 0
            and timed == expected
            and {*trial.failed} <= {way.provider for way in ways}
            and all(min(timing.open_s, timing.one_s, timing.each_s) > 0 for timing in trial.timings)
        )
    except (OSError, ValueError, KeyError):
        return None
    good_for_s = _GOOD_FOR_S_WITH_FAILURES if trial.failed or trial.failed_models else _GOOD_FOR_S
    return trial if is_valid and 0 <= time.time() - trial.made_at < good_for_s else None


def store_trial(trial: SpeedTrial, folder: Path, key: str) -> None:
    """Store a trial in a folder, and remove expired ones from it.

    Raises:
        InputError: it could not be written.
    """
    path = _path(folder, key)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path.parent} could not be created: {error.strerror or error}") from error
    with atomic_write(path) as stream:
        stream.write(json.dumps({"key": key, **asdict(trial)}).encode())
    for stored in folder.glob("*.json"):
        with contextlib.suppress(OSError):  # another process may have removed it
            if stored.stat().st_mtime < time.time() - _GOOD_FOR_S:
                stored.unlink()


def _path(folder: Path, key: str) -> Path:
    return folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"


def _timed(way: Way, bind: Callable[[Way], BoundSession]) -> Timing:
    started = time.perf_counter()
    session = bind(way)
    open_s = time.perf_counter() - started
    one_s, batch_s = (_call_s(session, size) for size in (1, BATCH))
    return Timing(way.provider, way.file.stem, open_s, one_s, batch_s / BATCH)


def _call_s(session: BoundSession, size: int) -> float:
    """Median time in seconds of a warm call with `size` images; the first call can take a second on a GPU."""
    images = np.random.default_rng(0).integers(0, 256, (size, *session.image_shape), np.uint8)
    samples: list[float] = []
    try:
        for _ in range(_WARM_UP):
            session.run(images)
        while len(samples) < _MIN_CALLS or (len(samples) < _MAX_CALLS and sum(samples) < _MAX_S):
            started = time.perf_counter()
            session.run(images)
            samples.append(time.perf_counter() - started)
    except Exception as error:
        raise ProviderError(f"the provider cannot run the model: {error}") from error
    return sorted(samples)[len(samples) // 2]
