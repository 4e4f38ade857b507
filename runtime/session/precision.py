"""Resolution of model names to files, and candidate combinations of precision and provider."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, cast

from digits_edge.runtime.errors import ModelError, ProviderError, did_you_mean
from digits_edge.runtime.model.bundled import MODELS, SUFFIXES, bundled_models
from digits_edge.runtime.model.model_file import Precision
from digits_edge.runtime.session import int8_kernels
from digits_edge.runtime.session.provider_names import ON_PROCESSOR

_SMALLEST_FIRST: tuple[Precision, ...] = ("int8", "fp32", "fp16")
_FLOAT_FIRST_ON_CPU: tuple[Precision, ...] = ("fp32", "int8", "fp16")
#: Accelerators compute int8 in float, with additional steps.
_FLOAT_FIRST: tuple[Precision, ...] = ("fp32", "fp16", "int8")
#: Used instead of a provider if the model will run on another machine: selects the smallest file.
ANOTHER_MACHINE = "another machine"

Session = TypeVar("Session")


@dataclass(frozen=True)
class Way:
    """A way to run a model: a file, in one precision, and a provider.

    Attributes:
        file: path of the model file.
        provider: short name of the provider.
    """

    file: Path
    provider: str

    def __str__(self) -> str:
        return f"{self.file.stem} on {self.provider}"


def find_model(model: str | os.PathLike[str] | None, provider: str, *, folder: Path = MODELS) -> Path:
    """The file of a model in the precision that is expected to be fastest, without a speed trial.

    Args:
        model: as in `find_precisions`.
        provider: short name of the provider that will run it, or `ANOTHER_MACHINE`.
        folder: folder of the bundled models.

    Raises:
        ModelError: no bundled model has this name; the message lists the names.

    Example:
        >>> find_model("edge-int8", "cpu").name
        'edge-int8.onnx'
        >>> find_model("edge", ANOTHER_MACHINE).name
        'edge-int8.onnx'
    """
    return find_precisions(model, provider, folder=folder)[0]


def find_precisions(model: str | os.PathLike[str] | None, provider: str, *, folder: Path = MODELS) -> list[Path]:
    """The files of a model in all its precisions; the one that is expected to be fastest comes first.

    On CPUs int8 is first if the processor has instructions for it (`digits_edge.runtime.session.int8_kernels`), else
    fp32. On accelerators fp32 is first.

    Args:
        model: a bundled name with precision (`edge-int8`), which is one file, or without (`edge`); a path; None for the
            default model. A path is any `PathLike`, and a string that contains a separator, ends in `.onnx` or `.ort`,
            or is an existing file.
        provider: short name of the provider that will run it, or `ANOTHER_MACHINE`.
        folder: folder of the bundled models.

    Raises:
        ModelError: no bundled model has this name; the message lists the names.

    Example:
        >>> [file.name for file in find_precisions("edge", "cuda")]
        ['edge-fp32.onnx', 'edge-int8.onnx']
    """
    if isinstance(model, os.PathLike) or (model is not None and _is_path(model)):
        return [Path(model).expanduser()]
    models = bundled_models(folder)
    files = {entry.name: folder / entry.file for entry in models}
    if model in files:
        return [files[model]]
    name = model if model is not None else next((entry.family for entry in models if entry.default), None)
    found = [f"{name}-{precision}" for precision in _SMALLEST_FIRST if f"{name}-{precision}" in files]
    if not found:
        raise ModelError(_unknown_model(model, list(files)))
    if len(found) > 1:  # detecting the processor's features takes time
        order = _order(provider)
        found.sort(key=lambda name: order.index(cast(Precision, name.rpartition("-")[2])))
    return [files[name] for name in found]


def ways_to_run(model: str | os.PathLike[str] | None, providers: Sequence[str], *, folder: Path = MODELS) -> list[Way]:
    """The candidates for a speed trial; the expected one comes first, the CPU provider's if it is among `providers`.

    Args:
        model: as in `find_precisions`.
        providers: short names. Processors convert fp16 and accelerators convert int8 to another precision, so these are
            candidates only if the model has no other.
        folder: folder of the bundled models.

    Raises:
        ModelError: no bundled model has this name; the message lists the names.

    Example:
        >>> [(way.provider, way.file.name) for way in ways_to_run("edge", ["cuda"])]
        [('cuda', 'edge-fp32.onnx')]
    """
    ways = []
    for provider in sorted(providers, key=lambda name: name != "cpu"):
        files = find_precisions(model, provider, folder=folder)
        slow = "-fp16" if provider in ON_PROCESSOR else "-int8"
        ways += [Way(file, provider) for file in [file for file in files if not file.stem.endswith(slow)] or files[:1]]
    return ways


def open_first(bind: Callable[[Way], Session], ways: Sequence[Way]) -> tuple[Path, Session]:
    """Open a model in the first way that this machine can run.

    Args:
        bind: opens a way; raises ProviderError if the provider cannot be bound or cannot open the file.
        ways: the candidates, the expected one first.

    Returns:
        The opened file and its session.

    Raises:
        ModelError: no way can be opened; the error is that of the expected way.

    Example:
        >>> open_first(lambda way: f"session of {way}", [Way(Path("edge-int8.onnx"), "cpu")])[1]
        'session of edge-int8 on cpu'
    """
    reason: ProviderError | None = None
    for way in ways:
        try:
            return way.file, bind(way)
        except ProviderError as error:
            reason = reason or error
    raise reason or ModelError("there is no way to run the model")


def _order(provider: str) -> tuple[Precision, ...]:
    if provider == ANOTHER_MACHINE:
        return _SMALLEST_FIRST
    if provider not in ON_PROCESSOR:
        return _FLOAT_FIRST
    return _SMALLEST_FIRST if int8_kernels.are_fast() else _FLOAT_FIRST_ON_CPU


def _is_path(model: str) -> bool:
    return os.sep in model or "/" in model or model.endswith(SUFFIXES) or Path(model).is_file()


def _unknown_model(model: str | None, names: list[str]) -> str:
    if not names:
        return "no model is bundled with this installation; give the path of a file, or reinstall digits-edge"
    if model is None:
        return f"the index has no default model; choose one of {', '.join(names)}"
    suggestion = did_you_mean(model, names)
    return f"unknown model {model!r}.{suggestion} Bundled models: {', '.join(names)}; for a file, give its path"
