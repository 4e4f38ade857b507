"""Import of onnxruntime, with installation advice if it fails, and versions of installed packages."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import cast

from digits_edge.runtime.errors import ModelError, one_line
from digits_edge.runtime.packages import DISTRIBUTION, ONNXRUNTIME_WHEELS, install_command, versions_of


def installed_wheels() -> dict[str, str]:
    """The installed distributions that provide `import onnxruntime`, and their versions; two or more conflict."""
    return versions_of(ONNXRUNTIME_WHEELS)


@cache
def load_onnxruntime() -> ModuleType:
    """Import onnxruntime.

    Raises:
        ModelError: it is not installed, the installation is broken, or two distributions overwrite each other's files.
    """
    if _may_clash() and len(wheels := sorted(installed_wheels(), reverse=True)) > 1:
        remedy = f"keep one with `pip uninstall -y {' '.join(wheels)} && pip install {wheels[0]}`"
        raise ModelError(f"{' and '.join(wheels)} are both installed and overwrite each other; {remedy}")
    try:
        import onnxruntime

        onnxruntime.InferenceSession  # noqa: B018 - a partly removed wheel leaves an empty package
    except ModuleNotFoundError as error:
        raise ModelError(f"onnxruntime is not installed; {_how_to_install()}") from error
    except Exception as error:  # a broken installation may raise anything
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


def installed_versions() -> dict[str, str]:
    """Versions of the installed packages that affect how a model is computed: onnxruntime, plug-ins, digits-edge."""
    return versions_of([*ONNXRUNTIME_WHEELS, "onnxruntime-ep-openvino", DISTRIBUTION])
