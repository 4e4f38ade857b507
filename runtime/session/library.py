"""Import of onnxruntime, with installation advice if it fails."""

import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import cast

from digits_edge.runtime.errors import ModelError, one_line
from digits_edge.runtime.packages import (
    ONNXRUNTIME_WHEELS,
    install_command,
    is_older,
    requirements,
    shadowing_file,
    versions_of,
)

#: Reasons of onnxruntime that a later release can remove: an operator, an operator set or a file format is unknown.
_NEWER_NEEDED = re.compile(r"NOT_IMPLEMENTED|IR[_ ]version|[Oo]pset|No Op registered|not a registered function")


def installed_wheels() -> dict[str, str]:
    """The installed distributions that provide `import onnxruntime`, and their versions; two or more conflict."""
    found = versions_of(ONNXRUNTIME_WHEELS)
    if not is_older(found.get("onnxruntime-qnn", ""), "2"):  # a plug-in since 2.0, which needs onnxruntime
        found.pop("onnxruntime-qnn", None)
    return found


@cache
def load_onnxruntime() -> ModuleType:
    """Import onnxruntime.

    Raises:
        ModelError: it is not installed, the installation is broken, two distributions overwrite each other's files, or
            another file has its name.
    """
    if _may_clash() and len(wheels := sorted(installed_wheels(), reverse=True)) > 1:
        remedy = f"keep one with `pip uninstall -y {' '.join(wheels)} && pip install {wheels[0]}`"
        raise ModelError(f"{' and '.join(wheels)} are both installed and overwrite each other; {remedy}")
    try:
        import onnxruntime

        onnxruntime.InferenceSession  # noqa: B018 - a partly removed wheel leaves an empty package
    except ModuleNotFoundError as error:
        if (file := shadowing_file("onnxruntime")) is not None:
            raise ModelError(f"{file} is imported instead of onnxruntime; rename it") from error
        raise ModelError(f"onnxruntime is not installed; {_how_to_install()}") from error
    except Exception as error:  # a broken installation may raise anything
        if (file := shadowing_file("onnxruntime")) is not None:
            raise ModelError(f"{file} is imported instead of onnxruntime; rename it") from error
        remedy = "reinstall it with `pip install --force-reinstall onnxruntime`"
        raise ModelError(f"onnxruntime is broken ({one_line(error)}); {remedy}") from error
    return cast(ModuleType, onnxruntime)


def _how_to_install() -> str:
    from digits_edge.runtime.session.machine import platform_without_onnxruntime

    if without := platform_without_onnxruntime():
        return (
            f"there is no wheel for {without}: build it for the model's operators, which "
            "`digits-edge export MODEL --format ort` lists on another machine, or run the model in a browser with "
            "`digits-edge export --target web`"
        )
    return f"install it with `{install_command('cpu')}`, or [gpu] for NVIDIA"


def outdated() -> str | None:
    """What is wrong with the installed onnxruntime and how to fix it; None if it is not too old.

    The minimum is that of the extra `cpu`: an older release opens some models only, and `auto` uses those.

    Raises:
        ModelError: onnxruntime is not installed.
    """
    version = load_onnxruntime().__version__
    minimum = next((each.minimum for each in requirements("cpu") if each.package in ONNXRUNTIME_WHEELS), "")
    if not is_older(version, minimum):
        return None
    wheel = next(iter(installed_wheels()), "onnxruntime")
    return f"{wheel} {version} is older than {minimum}, which digits-edge needs; {_how_to_update()}"


def update_for(reason: str) -> str | None:
    """The remedy if onnxruntime could not open a model because a newer release is needed; None for other reasons.

    Args:
        reason: message of onnxruntime's error.

    Example:
        >>> update_for("No such file")
    """
    if not _NEWER_NEEDED.search(reason):
        return None
    return outdated() or f"the model needs a newer release than {load_onnxruntime().__version__}; {_how_to_update()}"


def _how_to_update() -> str:
    wheel = next(iter(installed_wheels()), "onnxruntime")
    extras = {"onnxruntime": "cpu", "onnxruntime-gpu": "gpu"}
    if wheel in extras:
        return f"update it with `{install_command(extras[wheel], upgrade=True)}`"
    return f"replace it with `pip uninstall -y {wheel} && {install_command('cpu')}`"


def _may_clash() -> bool:
    """Whether two distributions may share onnxruntime's folder, judged by the metadata folders next to it.

    A fast check for every start; importlib.metadata is exact but slower.
    """
    spec = find_spec("onnxruntime")
    if spec is None or not spec.submodule_search_locations:
        return True
    names = {
        path.name.partition("-")[0] for path in Path(spec.submodule_search_locations[0]).parent.glob("*.dist-info")
    }
    return len(names & {wheel.replace("-", "_") for wheel in ONNXRUNTIME_WHEELS}) != 1
