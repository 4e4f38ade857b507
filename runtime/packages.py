"""Installed packages, and the extras of this package: what they need, what is missing, and the install command.

The requirements are those of the installed distribution, so `pyproject.toml` is the only place that lists them.
"""

import contextlib
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

DISTRIBUTION = "digits-edge"
#: Distributions that provide `import onnxruntime`; each one satisfies a requirement of another.
ONNXRUNTIME_WHEELS = (
    "onnxruntime",
    *(f"onnxruntime-{kind}" for kind in ("gpu", "directml", "openvino", "qnn", "rocm", "webgpu", "migraphx", "cann")),
)
#: The extras for users, and what each is for. `doctor` lists them in this order.
EXTRAS = {
    "cpu": "predict on a CPU",
    "openvino": "use OpenVINO on Intel processors",
    "webgpu": "use WebGPU on graphics processors of all vendors",
    "parquet": "read and write Parquet",
    "yaml": "read templates of forms in YAML",
    "ray": "predict on several machines",
    "serve": "run the HTTP service",
    "train": "train and evaluate",
    "export": "export Keras models",
    "bench": "compare with other engines",
}
#: Modules that are not named like their distribution.
_MODULE_NAMES = {"PIL": "pillow", "sklearn": "scikit-learn", "yaml": "pyyaml", "ai_edge_litert": "ai-edge-litert"}
_REQUIREMENT = re.compile(r"(?P<package>[\w.-]+)(?:\[(?P<extras>[\w,.-]+)\])?(?P<versions>[^;]*)(?:;(?P<marker>.*))?")
_ONLY_EXTRA = re.compile(r"\s*extra\s*==\s*['\"]([\w.-]+)['\"]\s*")


@dataclass(frozen=True)
class Requirement:
    """A package that an extra needs.

    Attributes:
        package: name of the distribution.
        minimum: lowest version; "" for any.
    """

    package: str
    minimum: str = ""


def versions_of(packages: Iterable[str]) -> dict[str, str]:
    """The versions of installed packages by name; packages that are not installed are omitted.

    Example:
        >>> sorted(versions_of(["numpy", "no-such-package"]))
        ['numpy']
    """
    from importlib.metadata import PackageNotFoundError, version  # deferred: the import takes 10 ms

    found = {}
    for package in packages:
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def shadowing_file(package: str) -> Path | None:
    """The user's file that Python imports instead of an installed package; None if there is none.

    Python first searches the folder of the script, or the current folder for `python -m` and `python -c`. A file
    `onnxruntime.py` in it hides the package.

    Args:
        package: name of the module to import.

    Example:
        >>> shadowing_file("numpy")
    """
    folder = Path(sys.path[0] if sys.path else "").resolve()
    try:
        spec = find_spec(package)
    except (ImportError, ValueError):  # ValueError: a module without a spec
        return None
    if spec is None or spec.origin is None or any(folder.glob("*.dist-info")):  # the folder of installed packages
        return None
    file = Path(spec.origin).resolve()
    return file if file in (folder / f"{package}.py", folder / package / "__init__.py") else None


def install_command(*extras: str, upgrade: bool = False) -> str:
    """The command that installs extras.

    Args:
        extras: names of extras; none for the base installation.
        upgrade: whether to replace packages that are installed already.

    Example:
        >>> install_command("cpu", "serve")
        "pip install 'digits-edge[cpu,serve]'"
    """
    words = ["pip install", *(["--upgrade"] if upgrade else [])]
    return " ".join([*words, f"'{DISTRIBUTION}[{','.join(extras)}]'" if extras else DISTRIBUTION])


@cache
def requirements(extra: str) -> tuple[Requirement, ...]:
    """The packages that an extra needs, also through other extras; "" for the base installation.

    Packages that only some platforms need are omitted. Empty if the package is not installed but on the path only.

    Example:
        >>> [each.package for each in requirements("parquet")]
        ['pyarrow']
    """
    from importlib.metadata import PackageNotFoundError, requires

    try:
        lines = requires(DISTRIBUTION) or []
    except PackageNotFoundError:
        return ()
    found: list[Requirement] = []
    for line in lines:
        parts = _REQUIREMENT.match(line)
        if parts is None or not _is_of(parts["marker"], extra):
            continue
        if parts["package"] == DISTRIBUTION:
            for other in (parts["extras"] or "").split(","):
                found += requirements(other)
        else:
            minimum = re.search(r">=\s*([\w.]+)", parts["versions"])
            found.append(Requirement(parts["package"], minimum[1] if minimum else ""))
    return tuple(dict.fromkeys(found))


def missing_packages(extra: str) -> list[str]:
    """What an extra lacks: names of packages, with both versions if an older one is installed.

    Any version of onnxruntime will do here: `digits_edge.runtime.session.library.outdated` has the remedy for each of
    its distributions.

    Example:
        >>> missing_packages("")
        []
    """
    missing = []
    for needed in requirements(extra):
        if needed.package in ONNXRUNTIME_WHEELS:
            missing += [] if versions_of(ONNXRUNTIME_WHEELS) else [needed.package]
            continue
        version = versions_of([needed.package]).get(needed.package)
        if version is None:
            missing.append(needed.package)
        elif is_older(version, needed.minimum):
            missing.append(f"{needed.package} {needed.minimum} or later (installed: {version})")
    return missing


def is_older(version: str, minimum: str) -> bool:
    """Whether a version is lower than a minimum, by their numbers; suffixes such as "rc1" are ignored.

    Example:
        >>> is_older("1.9.2", "1.28"), is_older("1.28.0rc1", "1.28"), is_older("2.0", "")
        (True, False, False)
    """
    return _numbers(version) < _numbers(minimum)


def needs_message(subject: str, extras: Iterable[str]) -> str:
    """The error message for something that needs extras which are not installed.

    Args:
        subject: what needs them, such as the name of a command.
        extras: names of the extras.

    Example:
        >>> print(needs_message("serve", ["serve"]))
        serve needs the extra "serve": pip install 'digits-edge[serve]'
    """
    extras = tuple(extras)
    names = " and ".join(f'"{extra}"' for extra in extras)
    return f"{subject} needs the extra{'s' if len(extras) > 1 else ''} {names}: {install_command(*extras)}"


def extra_of_module(module: str) -> str | None:
    """The first extra that installs a module; None if no extra does.

    Args:
        module: name of a module, also of a submodule.

    Example:
        >>> extra_of_module("pyarrow.parquet"), extra_of_module("sklearn"), extra_of_module("no_such_module")
        ('parquet', 'train', None)
    """
    top = module.partition(".")[0]
    package = _MODULE_NAMES.get(top, top.replace("_", "-")).lower()
    return next(
        (extra for extra in EXTRAS if package in {each.package.lower() for each in requirements(extra)}),
        None,
    )


def _is_of(marker: str | None, extra: str) -> bool:
    """Whether a requirement with this marker belongs to the extra on all platforms."""
    if marker is None:
        return not extra
    only_extra = _ONLY_EXTRA.fullmatch(marker)
    return only_extra is not None and only_extra[1] == extra


def _numbers(version: str) -> tuple[int, ...]:
    release = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in release[0].split(".")) if release else ()
