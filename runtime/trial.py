"""Which provider "auto" is: the one that a short trial here found quickest, kept in the user's cache.

A provider's name tells nothing of its speed: OpenVINO may be twice as quick as the CPU provider for batches and slower
for one image, and a GPU takes seconds to start. So each that is installed is timed once for a model, a number of
threads, a machine and its versions; a week later again.
"""

import contextlib
import hashlib
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from digits_edge.runtime.errors import DigitsEdgeError, InputError, ModelError
from digits_edge.runtime.files import user_cache, written_whole
from digits_edge.runtime.model_file import INPUT_NAME, recorded_digest
from digits_edge.runtime.providers import BoundSession, available_providers, installed_wheels, plugin_versions

BATCH = 128
#: Others must be so much quicker: a choice between equals would differ from day to day, and answers in the last digit.
MARGIN = 0.9
#: Fewer images than these are answered before a trial is over.
FEW_IMAGES = 5000
_GOOD_FOR_S = 7 * 86400.0
_LONGEST_S, _MOST_CALLS, _WARM_UP = 0.05, 30, 3


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

    def cost_s(self, images: int | None) -> float:
        """What so many images cost one by one, opening included; without a number, an image of either kind."""
        return (self.one_s * self.each_s) ** 0.5 if images is None else self.open_s + images * self.one_s


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

    def quickest(self, images: int | None) -> str:
        """The provider that costs least; the CPU's where no other is clearly cheaper.

        Args:
            images: how many will be answered, one by one; None if that is not known.
        """
        cpu, *others = self.timings
        best = min(others, key=lambda timing: timing.cost_s(images), default=cpu)
        return best.provider if best.cost_s(images) < MARGIN * cpu.cost_s(images) else cpu.provider


def choose(
    bind: Callable[[str], tuple[Path, BoundSession]], model: Callable[[], Path], threads: int, images: int | None
) -> tuple[Path, BoundSession]:
    """Open a model by the provider that suits it.

    Args:
        bind: opens it by a provider's short name; raises ModelError where that cannot be bound.
        model: says which file the CPU provider would open.
        threads: how many compute one operator together.
        images: how many will be answered, one by one; None if that is not known. Few are not worth a trial.

    Raises:
        ModelError: not even the CPU provider can open it.
    """
    names = available_providers()
    if names == ["cpu"]:
        return bind("cpu")
    cache, key = trials_folder(), trial_key(recorded_digest(model()), threads)
    trial = kept_trial(cache, key, names)
    if trial is None:
        if images is not None and images < FEW_IMAGES:
            return bind("cpu")
        trial = make_trial(lambda name: bind(name)[1], names)
        with contextlib.suppress(InputError):  # a machine without a writable home measures at every start
            keep_trial(trial, cache, key)
    quickest = trial.quickest(images)
    try:
        return bind(quickest)
    except ModelError:
        if quickest == "cpu":
            raise
        _path(cache, key).unlink(missing_ok=True)  # a device that was lost: it is tried again when it is back
        return bind("cpu")


def trial_key(digest: str, threads: int) -> str:
    """What a trial holds for: a model by its digest, so many threads, this machine and its versions."""
    wheels = installed_wheels() | plugin_versions() | {"digits-edge": version("digits-edge")}
    return json.dumps([digest, threads, platform.node(), _processor(), sorted(wheels.items())])


def trials_folder() -> Path:
    """Where trials are kept."""
    return user_cache() / "trials"


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


def kept_trial(cache: Path, key: str, names: list[str]) -> Trial | None:
    """The trial that was kept; None if there is none, an old one, or one of other providers."""
    try:
        kept: dict[str, Any] = json.loads(_path(cache, key).read_text("utf-8"))
        timings = tuple(Timing(**timing) for timing in kept["timings"])
        trial = Trial(timings, dict(kept["failed"]), float(kept["made_at"]))
        tried = {timing.provider for timing in timings} | set(trial.failed)
        is_whole = kept["key"] == key and timings[0].provider == "cpu" and all(t.cost_s(None) > 0 for t in timings)
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None
    is_new = 0 <= time.time() - trial.made_at < _GOOD_FOR_S
    return trial if is_whole and is_new and tried == set(names) else None


def keep_trial(trial: Trial, cache: Path, key: str) -> None:
    """Keep a trial for the next start.

    Raises:
        InputError: it could not be written.
    """
    path = _path(cache, key)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path.parent} could not be made: {error.strerror or error}") from error
    with written_whole(path) as stream:
        stream.write(json.dumps({"key": key, **asdict(trial)}).encode())


def _path(cache: Path, key: str) -> Path:
    return cache / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"


def _timed(name: str, bind: Callable[[str], BoundSession]) -> Timing:
    started = time.perf_counter()
    session = bind(name).session
    open_s = time.perf_counter() - started
    one_s, batch_s = (_call_s(session, size) for size in (1, BATCH))
    return Timing(name, open_s, one_s, batch_s / BATCH)


def _call_s(session: Any, size: int) -> float:
    """The median time of a call with so many images."""
    images = np.random.default_rng(0).integers(0, 256, (size, 28, 28), np.uint8)
    samples: list[float] = []
    try:
        while len(samples) < _WARM_UP + _MOST_CALLS and sum(samples) < _LONGEST_S:
            started = time.perf_counter()
            session.run(None, {INPUT_NAME: images})
            samples.append(time.perf_counter() - started)
    except Exception as error:
        raise ModelError(f"it does not run the model: {error}") from error
    return statistics.median(samples[_WARM_UP:] or samples)


def _processor() -> str:
    """The processor's name; on Linux `platform` knows none."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:  # noqa: PTH123 - pathlib would read a page for each core
            return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), os.name)
    except OSError:
        return platform.processor()
