"""Plug-in execution providers: packages with a library for onnxruntime's plug-in interface, found and registered.

Every installed package `onnxruntime_ep_*` is a plug-in if it states the path of its library and the names of its
providers: OpenVINO, WebGPU, NVIDIA's TensorRT for RTX, MLX, Qualcomm's QNN (`onnxruntime_qnn`).
They are all used in the same way.
"""

import re
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from digits_edge.runtime.errors import ProviderError, one_line
from digits_edge.runtime.packages import DISTRIBUTION, ONNXRUNTIME_WHEELS, versions_of
from digits_edge.runtime.session.ep_devices import devices
from digits_edge.runtime.session.library import installed_wheels
from digits_edge.runtime.session.quiet import silenced_stderr

#: Names of the modules. Qualcomm's is named differently; its package replaced onnxruntime before it was a plug-in.
PATTERNS = ("onnxruntime_ep_*", "onnxruntime_qnn")
#: Functions of the modules, the usual name first; onnxruntime-ep-mlx has the other ones.
_LIBRARY_FUNCTIONS = ("get_library_path", "library_path")
_NAME_FUNCTIONS = ("get_ep_names", "get_ep_name", "ep_name")
#: Messages of the dynamic linker about a library of the system, such as NVIDIA's driver.
_MISSING_LIBRARY = re.compile(r"([\w.+-]+): cannot open shared object file|Library not loaded: (\S+)")

_lock = threading.Lock()
_registered: set[str] = set()


@dataclass(frozen=True)
class PlugIn:
    """An installed plug-in.

    Attributes:
        module: name of its module, such as "onnxruntime_ep_openvino".
        providers: full names of its providers.
        library: path of its library.
    """

    module: str
    providers: tuple[str, ...]
    library: str


def plugin_modules() -> dict[str, Path]:
    """Names and paths of the installed modules that may be plug-ins; none of them is imported.

    Searches the folders of `sys.path`, not the import hooks of editable installations.

    Example:
        >>> all(name.startswith("onnxruntime_") for name in plugin_modules())
        True
    """
    found: dict[str, Path] = {}
    for folder in dict.fromkeys(sys.path):
        for pattern in PATTERNS:
            for path in sorted(Path(folder or ".").glob(pattern)):
                if (path / "__init__.py").is_file():
                    found.setdefault(path.name, path)
    return found


def installed_plugins() -> tuple[dict[str, PlugIn], dict[str, str]]:
    """The installed plug-ins by the full names of their providers, and why other modules cannot be used.

    Returns:
        Full name of each provider → plug-in; name of each module that is no plug-in → reason and remedy, one line.

    Example:
        >>> plugins, unusable = installed_plugins()
        >>> all(name in plugin.providers for name, plugin in plugins.items())
        True
    """
    plugins: dict[str, PlugIn] = {}
    unusable: dict[str, str] = {}
    for module in plugin_modules():
        try:
            plugin = _load(module)
        except ProviderError as error:
            unusable[module] = str(error)
            continue
        for provider in plugin.providers:
            plugins.setdefault(provider, plugin)
    return plugins, unusable


def plugin_versions(provider: str | None = None) -> dict[str, str]:
    """The names of the distributions of the installed plug-ins, and their versions.

    A distribution may add a suffix to the name of its module: onnxruntime-ep-nv-tensorrt-rtx-cu13.

    Args:
        provider: full name of a provider, for its plug-in only; empty if it is built in.

    Example:
        >>> all(name.startswith("onnxruntime-") for name in plugin_versions())
        True
    """
    modules = plugin_modules()
    if provider is not None:
        plugin = installed_plugins()[0].get(provider)
        modules = {} if plugin is None else {plugin.module: modules[plugin.module]}
    return dict(pair for module, path in modules.items() for pair in _distributions(module, path))


def installed_versions() -> dict[str, str]:
    """Versions of the installed packages that affect how a model is computed: onnxruntime, plug-ins, digits-edge.

    Example:
        >>> "digits-edge" in installed_versions()
        True
    """
    return versions_of([*ONNXRUNTIME_WHEELS, DISTRIBUTION]) | plugin_versions()


def register(ort: ModuleType, plugin: PlugIn) -> None:
    """Register a plug-in with onnxruntime, once per process.

    Raises:
        ProviderError: onnxruntime cannot load its library.
    """
    with _lock:
        if plugin.module in _registered or _is_registered_by_the_caller(ort, plugin):
            return
        try:
            with silenced_stderr():  # warnings of the library about its environment variables
                ort.register_execution_provider_library(f"digits_edge.{plugin.module}", plugin.library)
        except Exception as error:  # onnxruntime's errors have no common base class
            raise ProviderError(_cannot_load(ort, plugin, one_line(error))) from error
        _registered.add(plugin.module)


def _is_registered_by_the_caller(ort: ModuleType, plugin: PlugIn) -> bool:
    """Whether the program has registered this library itself; a second registration would list its devices twice."""
    return any(device.ep_metadata.get("library_path") == plugin.library for device in devices(ort))


def _cannot_load(ort: ModuleType, plugin: PlugIn, reason: str) -> str:
    found = dict(_distributions(plugin.module, Path(plugin.library).parent))
    name = next(iter(found), plugin.module.replace("_", "-"))
    subject = f"onnxruntime {ort.__version__} cannot load {' '.join([name, found.get(name, '')]).strip()}"
    if missing := _MISSING_LIBRARY.search(reason):
        library = missing[1] or missing[2]
        if library not in (plugin.library, Path(plugin.library).name):
            return f"{subject}: {library} is missing; install the driver or package that contains it"
    wheel = next(iter(installed_wheels()), "onnxruntime")
    return f"{subject}: {reason}; update both with `pip install --upgrade {wheel} {name}`"


def _load(module: str) -> PlugIn:
    """Import a module and read its library and providers; ProviderError if it is no usable plug-in."""
    distribution = module.replace("_", "-")
    remedy = f"reinstall it with `pip install --force-reinstall {distribution}`, or uninstall it"
    try:
        imported = import_module(module)
        library = _function(imported, _LIBRARY_FUNCTIONS)()
        names = _function(imported, _NAME_FUNCTIONS)()
    except Exception as error:  # a broken package may raise anything
        raise ProviderError(
            f"{distribution} is not a usable plug-in of onnxruntime ({one_line(error)}); {remedy}"
        ) from error
    providers = (names,) if isinstance(names, str) else tuple(names)
    if not providers or not all(isinstance(name, str) and name for name in providers):
        raise ProviderError(f"{distribution} is not a usable plug-in of onnxruntime (no provider names); {remedy}")
    return PlugIn(module, providers, str(library))


def _function(module: ModuleType, names: tuple[str, ...]) -> Callable[[], Any]:
    for name in names:
        if callable(function := getattr(module, name, None)):
            found: Callable[[], Any] = function
            return found
    raise AttributeError(f"{module.__name__} has no function {names[0]}")


def _distributions(module: str, path: Path) -> Iterator[tuple[str, str]]:
    """Names and versions of the distributions of a module, from the metadata folders next to it.

    `importlib.metadata.packages_distributions` reads the list of files of all installed packages.
    """
    for folder in sorted(path.parent.glob(f"{module}*.dist-info")):
        name, _, version = folder.name.removesuffix(".dist-info").rpartition("-")
        yield name.replace("_", "-"), version
