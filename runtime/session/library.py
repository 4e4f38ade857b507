"""onnxruntime itself: import it, or say how to install it; the installed versions."""

import contextlib
from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import cast

from digits_edge.runtime.errors import ModelError, one_line

_WHEELS = ("onnxruntime", *(f"onnxruntime-{kind}" for kind in ("gpu", "directml", "openvino", "qnn", "rocm")))


def installed_wheels() -> dict[str, str]:
    """The installed wheels that bring `import onnxruntime`, and their versions; more than one is a clash."""
    return versions_of(_WHEELS)


@cache
def load_onnxruntime() -> ModuleType:
    """Import onnxruntime.

    Raises:
        ModelError: it is not installed, does not start, or two of its wheels have overwritten each other.
    """
    if _may_clash() and len(wheels := sorted(installed_wheels(), reverse=True)) > 1:
        remedy = f"`pip uninstall -y {' '.join(wheels)} && pip install {wheels[0]}`"
        raise ModelError(f"{' and '.join(wheels)} are both installed and overwrite each other; {remedy}")
    try:
        import onnxruntime

        onnxruntime.InferenceSession  # noqa: B018 - of a wheel half removed an empty folder is left, which imports
    except ModuleNotFoundError as error:
        raise ModelError(f"onnxruntime is not installed; {_how_to_add()}") from error
    except Exception as error:  # a broken installation fails in many ways
        remedy = "`pip install --force-reinstall onnxruntime`"
        raise ModelError(f"onnxruntime is broken ({one_line(error)}); {remedy}") from error
    return cast(ModuleType, onnxruntime)


def _how_to_add() -> str:
    from digits_edge.runtime.session.machine import platform_without_onnxruntime

    if without := platform_without_onnxruntime():
        return (
            f"it has no wheel for {without}: build it yourself for a model's operators, which "
            "`digits-edge export MODEL --format ort` lists on another machine, or run the model in a browser, from "
            "the site that `digits-edge export --target web` makes"
        )
    return "`pip install 'digits-edge[cpu]'`, or [gpu] for NVIDIA, adds it"


def _may_clash() -> bool:
    """Whether onnxruntime's folder may hold the files of two wheels, by the names of what lies beside it.

    Cheaper at every start than importlib.metadata, which answers exactly.
    """
    spec = find_spec("onnxruntime")
    if spec is None or not spec.submodule_search_locations:
        return True
    beside = {
        path.name.partition("-")[0] for path in Path(spec.submodule_search_locations[0]).parent.glob("*.dist-info")
    }
    return len(beside & {wheel.replace("-", "_") for wheel in _WHEELS}) != 1


def installed_versions() -> dict[str, str]:
    """The installed packages that decide how a model is computed, and their versions: wheels, plug-ins and this one."""
    return versions_of([*_WHEELS, "onnxruntime-ep-openvino", "digits-edge"])


def versions_of(packages: Iterable[str]) -> dict[str, str]:
    """The versions of those packages that are installed, by name."""
    from importlib.metadata import PackageNotFoundError, version  # takes ten milliseconds; see `_may_clash`

    found = {}
    for package in packages:
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found
