"""Which of a model's precisions to run: by the processor's features, or by a trial of several ways."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from digits_edge.runtime.errors import ModelError, did_you_mean
from digits_edge.runtime.model.bundled import MODELS, SUFFIXES, bundled_models
from digits_edge.runtime.model.model_file import Precision
from digits_edge.runtime.session import int8_kernels

_SMALLEST_FIRST: tuple[Precision, ...] = ("int8", "fp32", "fp16")
_FLOAT_FIRST_ON_CPU: tuple[Precision, ...] = ("fp32", "int8", "fp16")
#: On accelerators int8 is computed in float, with more steps.
_FLOAT_FIRST: tuple[Precision, ...] = ("fp32", "fp16", "int8")
#: Those for which a model is tried in all its precisions.
CPU_PROVIDERS = ("cpu", "openvino")
#: In place of a provider: the machine that will run the model is not this one, so the smallest file is taken.
ANOTHER_MACHINE = "another machine"


@dataclass(frozen=True)
class Way:
    """A way to run a model.

    Attributes:
        file: of the model, in one of its precisions.
        provider: short name of a provider.
    """

    file: Path
    provider: str


def find_model(model: str | os.PathLike[str] | None, provider: str, *, folder: Path = MODELS) -> Path:
    """The file of a model: the first of `find_precisions`, so that no time is spent on a trial.

    Args:
        model: as `find_precisions` takes it.
        provider: short name of the provider that is to run it, or `ANOTHER_MACHINE`.
        folder: of the bundled models.

    Raises:
        ModelError: no such model is bundled; lists the names.
    """
    return find_precisions(model, provider, folder=folder)[0]


def find_precisions(model: str | os.PathLike[str] | None, provider: str, *, folder: Path = MODELS) -> list[Path]:
    """The files of a model in all its precisions, the one first that is expected to be fastest.

    On CPUs that is int8 where the processor has instructions for it (`digits_edge.runtime.session.int8_kernels`) and else fp32,
    on accelerators fp32.

    Args:
        model: a bundled name, with its precision (`edge-int8`), which is one file, or without (`edge`); a path:
            whatever is a `PathLike`, has a separator, ends in `.onnx` or `.ort` or is a file here; None for the
            default model.
        provider: short name of the provider that is to run it, or `ANOTHER_MACHINE`.
        folder: of the bundled models.

    Raises:
        ModelError: no such model is bundled; lists the names.
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
        raise ModelError(_unknown(model, list(files)))
    if len(found) > 1:  # or there is nothing to look at the processor for
        order = _order(provider)
        found.sort(key=lambda name: order.index(cast(Precision, name.rpartition("-")[2])))
    return [files[name] for name in found]


def ways_to_run(model: str | os.PathLike[str] | None, providers: Sequence[str], *, folder: Path = MODELS) -> list[Way]:
    """The ways to run a model that are worth a trial, the expected one first: the CPU provider's, where it is named.

    Args:
        model: as `find_precisions` takes it.
        providers: short names. On accelerators the first precision alone comes into question.
        folder: of the bundled models.

    Raises:
        ModelError: no such model is bundled; lists the names.
    """
    ways = []
    for provider in sorted(providers, key=lambda name: name != "cpu"):
        files = find_precisions(model, provider, folder=folder)
        ways += [Way(file, provider) for file in (files if provider in CPU_PROVIDERS else files[:1])]
    return ways


def _order(provider: str) -> tuple[Precision, ...]:
    if provider == ANOTHER_MACHINE:
        return _SMALLEST_FIRST
    if provider not in CPU_PROVIDERS:
        return _FLOAT_FIRST
    return _SMALLEST_FIRST if int8_kernels.are_fast() else _FLOAT_FIRST_ON_CPU


def _is_path(model: str) -> bool:
    return os.sep in model or "/" in model or model.endswith(SUFFIXES) or Path(model).is_file()


def _unknown(model: str | None, names: list[str]) -> str:
    if not names:
        return "no model is bundled with this installation; name a file, or install digits-edge again"
    if model is None:
        return f"the index names no default; name one of {', '.join(names)}"
    meant = did_you_mean(model, names)
    return f"there is no model {model!r}.{meant} Bundled are {', '.join(names)}; for a file name its path"
