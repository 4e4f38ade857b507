"""Diagnosis of this machine and installation: `examine`."""

import os
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from digits_edge.runtime.datasets.catalogue import CATALOGUE
from digits_edge.runtime.datasets.loading import ENVIRONMENT as DATA_ENVIRONMENT
from digits_edge.runtime.datasets.loading import data_folders
from digits_edge.runtime.errors import DigitsEdgeError, ModelError
from digits_edge.runtime.model.bundled import MODELS, bundled_models, is_intact
from digits_edge.runtime.model.model_file import read_model_file
from digits_edge.runtime.packages import (
    DISTRIBUTION,
    EXTRAS,
    install_command,
    missing_packages,
    requirements,
    versions_of,
)
from digits_edge.runtime.session.bound_session import BoundSession
from digits_edge.runtime.session.ep_devices import plugin_devices
from digits_edge.runtime.session.int8_kernels import are_fast, saturate
from digits_edge.runtime.session.library import installed_wheels, load_onnxruntime, outdated
from digits_edge.runtime.session.machine import processor
from digits_edge.runtime.session.plugins import installed_plugins
from digits_edge.runtime.session.precision import Way, find_model, ways_to_run
from digits_edge.runtime.session.provider_names import available_providers, short_name
from digits_edge.runtime.session.providers import open_session
from digits_edge.runtime.session.threads import ENVIRONMENT, affinity, available_threads, cgroup_quota
from digits_edge.runtime.session.trial import SpeedTrial, clear_trials, keep_trial, time_ways, trial_of

#: State of a provider that runs the default model.
OK = "ok"


@dataclass(frozen=True)
class Threads:
    """Number of threads that this process may use, and why.

    Attributes:
        allowed: number used by default.
        affinity: number of processors that this process may run on.
        cgroup_quota: CPU limit of its cgroups, in processors; None without a limit.
        environment: value of DIGITS_EDGE_THREADS; None if it is not set.
    """

    allowed: int
    affinity: int
    cgroup_quota: float | None
    environment: str | None


@dataclass(frozen=True)
class Processor:
    """Processor name and int8 support.

    Attributes:
        name: as reported by the system.
        int8_is_fast: whether it has instructions for int8, so that int8 is selected without a trial.
        int8_saturates: whether onnxruntime's default int8 kernels can overflow on it with files that are not
            overflow-free, which then use slower kernels; None if onnxruntime does not run.
    """

    name: str
    int8_is_fast: bool
    int8_saturates: bool | None


@dataclass(frozen=True)
class Examination:
    """Diagnosis of a machine and installation.

    Attributes:
        python: version of Python.
        platform: operating system and machine.
        processor: its name and int8 support.
        packages: package → version of the base installation and of all extras; packages that are not installed are
            omitted.
        extras: name of each extra → whether all its packages are installed in the versions that it needs.
        wheels: installed distributions that provide onnxruntime → version; two or more conflict.
        providers: short name → "ok", or why it cannot run the default model.
        devices: short name of each plug-in provider that could be loaded → names of its devices, which
            `--provider NAME:DEVICE` selects.
        trial: speed of each precision of the default model with each provider and all threads; None if no model can be
            opened.
        threads: number of threads; None if DIGITS_EDGE_THREADS is invalid.
        models: name of each bundled model → whether its file is intact.
        data: name of each data set found → its folder.
        missing: what is not installed or not found, also if optional, with the command to add it; one line each.
        findings: providers and models that are installed but cannot be used, with the reason and the remedy, one line
            each; the default model runs without them.
        problems: what is wrong and how to fix it, one line each; empty if the default model runs.
    """

    python: str
    platform: str
    processor: Processor
    packages: dict[str, str]
    extras: dict[str, bool]
    wheels: dict[str, str]
    providers: dict[str, str]
    devices: dict[str, list[str]]
    trial: SpeedTrial | None
    threads: Threads | None
    models: dict[str, bool]
    data: dict[str, str]
    missing: tuple[str, ...]
    findings: tuple[str, ...]
    problems: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Convert to a dictionary that can be serialized as JSON."""
        return asdict(self)


def examine() -> Examination:
    """Examine this machine and installation.

    Returns:
        The diagnosis. Everything that is wrong is listed in `problems`; no `DigitsEdgeError` is raised.

    Example:
        >>> found = examine()  # doctest: +SKIP
        >>> found.problems  # doctest: +SKIP
        ()
    """
    problems: list[str] = []
    lacking = {extra: missing_packages(extra) for extra in EXTRAS}
    threads = _threads(problems)
    models = _models(problems)
    sessions = _opened(problems, models, None if threads is None else threads.allowed)
    data = _data()
    return Examination(
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.release()} {platform.machine()}",
        processor=_processor(),
        packages=versions_of(
            [DISTRIBUTION, *(each.package for extra in ("", *EXTRAS) for each in requirements(extra))]
        ),
        extras={extra: not packages for extra, packages in lacking.items()},
        wheels=installed_wheels(),
        providers=sessions.providers,
        devices=_devices(),
        trial=sessions.trial,
        threads=threads,
        models=models,
        data=data,
        missing=tuple(_missing(lacking, data)),
        findings=sessions.findings,
        problems=tuple(problems),
    )


def _processor() -> Processor:
    try:
        return Processor(processor(), are_fast(), saturate())
    except ModelError:  # no onnxruntime: `_opened` reports it
        return Processor(processor(), int8_is_fast=False, int8_saturates=None)


def _threads(problems: list[str]) -> Threads | None:
    try:
        return Threads(available_threads(), affinity(), cgroup_quota(), os.environ.get(ENVIRONMENT))
    except DigitsEdgeError as error:
        problems.append(str(error))
        return None


def _models(problems: list[str]) -> dict[str, bool]:
    try:
        models = {model.name: is_intact(model) for model in bundled_models()}
    except ModelError as error:
        problems.append(str(error))
        return {}
    problems += [f"{MODELS / name}.onnx is damaged; reinstall digits-edge" for name, ok in models.items() if not ok]
    return models


@dataclass(frozen=True)
class _Sessions:
    """Results of opening the bundled models: the trial, the state of each provider, and what does not work."""

    trial: SpeedTrial | None = None
    providers: dict[str, str] = field(default_factory=dict)
    findings: tuple[str, ...] = ()


def _opened(problems: list[str], models: dict[str, bool], threads: int | None) -> _Sessions:
    """Run a speed trial of the default model, and open each other model with the CPU provider.

    Stored trials are removed first, because users run the doctor after changing something; the new one is stored.
    """
    clear_trials()

    def bind(way: Way) -> BoundSession:
        return open_session(read_model_file(way.file), way.provider, threads, origin=way.file.stem)

    try:
        names = available_providers()
        if threads is None or not any(models.values()):
            return _Sessions(providers=dict.fromkeys(names, "not tested: no model can be opened"))
        ways = ways_to_run(None, names)
        timings, failures = time_ways(bind, ways)
    except DigitsEdgeError as error:
        problems.append(str(error))
        return _Sessions()
    trial = trial_of(timings, failures)
    providers = {timing.provider: OK for timing in timings} | trial.failed
    if not timings:
        problems.append(f"no provider can open the default model: {failures[ways[0]]}")
        return _Sessions(providers=providers)
    keep_trial(trial, ways, threads)
    old = outdated()
    findings = [] if old is None else [old]
    findings += installed_plugins()[1].values()
    findings += [f"provider {name} is skipped by auto: {reason}" for name, reason in trial.failed.items()]
    return _Sessions(trial, providers, (*findings, *_closed_models(bind, models)))


def _closed_models(bind: Callable[[Way], BoundSession], models: dict[str, bool]) -> list[str]:
    """Error messages of the intact bundled models that the CPU provider cannot open."""
    found = []
    for name, intact in models.items():
        try:
            if intact:
                bind(Way(find_model(name, "cpu"), "cpu"))
        except DigitsEdgeError as error:
            found.append(str(error))
    return found


def _devices() -> dict[str, list[str]]:
    """Devices of the plug-in providers, which the speed trial has registered."""
    try:
        found = plugin_devices(load_onnxruntime())
    except ModelError:  # no onnxruntime: `_opened` reports it
        return {}
    return {short_name(name): names for name, names in found.items() if short_name(name) in available_providers()}


def _data() -> dict[str, str]:
    """Name of each data set found in the folders that `load` searches → folder."""
    found: dict[str, str] = {}
    for folder in reversed(data_folders()):
        # a failed download leaves an empty folder
        found |= {name: str(folder) for name in CATALOGUE if any((folder / name).glob("*"))}
        found |= {name: str(folder) for name in CATALOGUE if (folder / f"{name}.npz").is_file()}
    return found


def _missing(lacking: dict[str, list[str]], data: dict[str, str]) -> list[str]:
    missing = [_missing_extra(extra, packages) for extra, packages in lacking.items() if packages]
    if "mnist" not in data:
        missing.append(f"mnist: download it with `digits-edge verify --data mnist`, or set {DATA_ENVIRONMENT}")
    return missing


def _missing_extra(extra: str, packages: list[str]) -> str:
    """A line for an extra that is not installed, or that has a package which is too old."""
    outdated = [package for package in packages if " " in package]
    reason = f"; it needs {', '.join(outdated)}" if outdated else ""
    return f'extra "{extra}" ({EXTRAS[extra]}){reason}: {install_command(extra, upgrade=bool(outdated))}'
