"""What this machine has, and what is missing: `examine`."""

import os
import platform
from dataclasses import asdict, dataclass
from typing import Any

from digits_edge.runtime.datasets.catalogue import CATALOGUE
from digits_edge.runtime.datasets.loading import ENVIRONMENT as DATA_ENVIRONMENT
from digits_edge.runtime.datasets.loading import data_folders
from digits_edge.runtime.errors import DigitsEdgeError, ModelError
from digits_edge.runtime.model.bundled import MODELS, bundled_models, is_intact
from digits_edge.runtime.model.model_file import read_model_file
from digits_edge.runtime.session.int8_kernels import are_fast, saturate
from digits_edge.runtime.session.library import installed_wheels, versions_of
from digits_edge.runtime.session.machine import processor
from digits_edge.runtime.session.precision import ways_to_run
from digits_edge.runtime.session.providers import available_providers, open_session
from digits_edge.runtime.session.threads import ENVIRONMENT, affinity, available_threads, cgroup_quota
from digits_edge.runtime.session.trial import SpeedTrial, clear_trials, keep_trial, make_trial

#: By extra, what it brings.
_EXTRAS = {
    "": ("digits-edge", "numpy", "pillow", "click", "platformdirs"),
    "openvino": ("onnxruntime-ep-openvino",),
    "parquet": ("pyarrow",),
    "train": ("tensorflow", "keras", "matplotlib"),
    "export": ("tf2onnx", "onnx", "onnx-ir"),
}


@dataclass(frozen=True)
class Threads:
    """How many threads are allowed, and why.

    Attributes:
        allowed: what is used where no number is given.
        affinity: processors this process may run on.
        cgroup_quota: processors' worth of time its cgroups allow; None without a limit.
        environment: what DIGITS_EDGE_THREADS says; None if it is not set.
    """

    allowed: int
    affinity: int
    cgroup_quota: float | None
    environment: str | None


@dataclass(frozen=True)
class Processor:
    """What matters here of the processor.

    Attributes:
        name: as the system gives it.
        int8_is_fast: whether it has instructions for int8, so that int8 is taken without a trial.
        int8_saturates: whether onnxruntime's int8 kernels overflow here with the weights of files that are not
            overflow-free, which are therefore run by slower ones; None where onnxruntime does not run.
    """

    name: str
    int8_is_fast: bool
    int8_saturates: bool | None


@dataclass(frozen=True)
class Examination:
    """What was found.

    Attributes:
        python: its version.
        platform: system and machine.
        processor: its name and what it has for int8.
        packages: name → version; None if it is not installed.
        wheels: those that bring onnxruntime → version; they clash if there are two.
        providers: short name → "ok", or why it does not read digits here.
        trial: how fast each precision of the default model is on each of them with all threads; None where no model
            can be opened.
        threads: how many are allowed; None where the environment asks for nonsense.
        models: bundled name → whether its file is whole.
        data: data set's name → the folder it was found in.
        missing: what is missing and the command that adds it, one line each; optional things too.
        problems: what is wrong and what mends it, one line each; empty on a machine that can read digits.
    """

    python: str
    platform: str
    processor: Processor
    packages: dict[str, str | None]
    wheels: dict[str, str]
    providers: dict[str, str]
    trial: SpeedTrial | None
    threads: Threads | None
    models: dict[str, bool]
    data: dict[str, str]
    missing: tuple[str, ...]
    problems: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def examine() -> Examination:
    """Look at this machine and installation; whatever is wrong is part of the answer, never an error."""
    problems: list[str] = []
    asked = [name for names in _EXTRAS.values() for name in names]
    packages = dict.fromkeys(asked) | versions_of(asked)
    threads = _threads(problems)
    models = _models(problems)
    trial, providers = _tried(
        problems, can_open=any(models.values()), threads=None if threads is None else threads.allowed
    )
    data = _data()
    return Examination(
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.release()} {platform.machine()}",
        processor=_processor(),
        packages=packages,
        wheels=installed_wheels(),
        providers=providers,
        trial=trial,
        threads=threads,
        models=models,
        data=data,
        missing=tuple(_missing(packages, data)),
        problems=tuple(problems),
    )


def _processor() -> Processor:
    try:
        return Processor(processor(), are_fast(), saturate())
    except ModelError:  # no onnxruntime: `_tried` says so
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
    problems += [f"{MODELS / name}.onnx is damaged; install digits-edge again" for name, ok in models.items() if not ok]
    return models


def _tried(problems: list[str], *, can_open: bool, threads: int | None) -> tuple[SpeedTrial | None, dict[str, str]]:
    """The providers timed with the default model, and which of them read digits.

    Stored trials are removed: users run the doctor after they have changed something. The one made here is stored.
    """
    clear_trials()
    try:
        names = available_providers()
        if threads is None or not can_open:
            return None, dict.fromkeys(names, "not tried: no model can be opened")
        ways = ways_to_run(None, names)
        trial = make_trial(
            lambda way: open_session(read_model_file(way.file), way.provider, threads, origin=str(way.file)), ways
        )
        keep_trial(trial, ways, threads)
    except ModelError as error:
        problems.append(str(error))
        return None, {}
    return trial, {timing.provider: "ok" for timing in trial.timings} | trial.failed


def _data() -> dict[str, str]:
    """The sets by name that lie where `load` looks first."""
    found: dict[str, str] = {}
    for folder in reversed(data_folders()):
        # a download that failed leaves an empty folder
        found |= {name: str(folder) for name in CATALOGUE if any((folder / name).glob("*"))}
        found |= {name: str(folder) for name in CATALOGUE if (folder / f"{name}.npz").is_file()}
    return found


def _missing(packages: dict[str, str | None], data: dict[str, str]) -> list[str]:
    missing = []
    for extra, names in _EXTRAS.items():
        command = f"`pip install 'digits-edge[{extra}]'`" if extra else "`pip install digits-edge`"
        missing += [f"{name}: {command}" for name in names if packages[name] is None]
    if "mnist" not in data:
        missing.append(f"mnist: `digits-edge train` or `verify --data mnist` downloads it, or set {DATA_ENVIRONMENT}")
    return missing
