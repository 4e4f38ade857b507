"""Names of execution providers: short and full, `provider:device`, and those of this installation."""

from dataclasses import dataclass
from types import ModuleType

from digits_edge.runtime.errors import UsageError
from digits_edge.runtime.session.ep_devices import devices, plugged_in
from digits_edge.runtime.session.library import load_onnxruntime
from digits_edge.runtime.session.plugins import installed_plugins

AUTO = "auto"
#: Providers that run on the processor. They need no fixed batch shapes, and int8 may be faster on them than float.
ON_PROCESSOR = ("cpu", "openvino", "openvino:cpu", "xnnpack", "dnnl")
#: Short names of ONNX Runtime's own GPU providers, which Ray counts as GPUs.
NVIDIA = ("cuda", "tensorrt", "nvtensorrtrtx")
_SUFFIX = "ExecutionProvider"
#: Short names that are not the lower-case name of onnxruntime without the suffix.
_RENAMED = {"directml": "DmlExecutionProvider"}


@dataclass(frozen=True)
class Selection:
    """A provider and, if named, one of its devices.

    Attributes:
        provider: full name of the provider.
        device: name or number of the device, in lower case; None for the default one.

    Example:
        >>> Selection("OpenVINOExecutionProvider", "gpu").name
        'openvino:gpu'
    """

    provider: str
    device: str | None = None

    @property
    def name(self) -> str:
        """Short name, with the device if one is named."""
        short = short_name(self.provider)
        return short if self.device is None else f"{short}:{self.device}"


def parse_provider(text: str) -> Selection:
    """Parse `provider` or `provider:device`.

    Args:
        text: short or full name of a provider, in upper or lower case, and optionally a device.

    Raises:
        UsageError: onnxruntime has no such provider, or the device is empty.

    Example:
        >>> parse_provider("CPU")
        Selection(provider='CPUExecutionProvider', device=None)
    """
    name, colon, device = text.partition(":")
    if colon and not device:
        raise UsageError(f"{text!r} names no device; write it after the colon, or omit the colon")
    return Selection(full_name(name), device.lower() or None)


def full_name(name: str) -> str:
    """The full name of a provider in onnxruntime.

    Args:
        name: short or full name, in upper or lower case.

    Raises:
        UsageError: onnxruntime has no such provider; the message lists those available on this machine.

    Example:
        >>> full_name("cpu")
        'CPUExecutionProvider'
    """
    ort = load_onnxruntime()
    wanted = _without_suffix(name)
    names: list[str] = [*ort.get_all_providers(), *(device.ep_name for device in devices(ort))]
    provider = ({_without_suffix(full): full for full in names} | _RENAMED).get(wanted)
    if provider is None:  # plug-ins of others, which onnxruntime does not know before they are registered
        provider = {_without_suffix(full): full for full in installed_plugins()[0]}.get(wanted)
    if provider is None:
        raise UsageError(f"unknown provider {name!r}; available: {', '.join([AUTO, *available_providers()])}")
    return provider


def short_name(provider: str) -> str:
    """The short name of a provider.

    Args:
        provider: full name, as onnxruntime spells it.

    Example:
        >>> short_name("CPUExecutionProvider"), short_name("DmlExecutionProvider")
        ('cpu', 'directml')
    """
    return {full: short for short, full in _RENAMED.items()}.get(provider, _without_suffix(provider))


def _without_suffix(provider: str) -> str:
    return provider.lower().removesuffix(_SUFFIX.lower())


def built_in_providers(ort: ModuleType) -> list[str]:
    """Full names of the providers in the installed wheel of onnxruntime, without plug-ins that are registered."""
    registered = plugged_in(ort)
    # "Azure" is in every wheel, but calls a web service and runs no operator
    return [name for name in ort.get_available_providers() if name not in registered and not name.startswith("Azure")]


def available_providers() -> list[str]:
    """Short names of the providers of this installation: built in, then plug-ins. Binding one may still fail.

    Example:
        >>> "cpu" in available_providers()
        True
    """
    ort = load_onnxruntime()
    names = [*built_in_providers(ort), *plugged_in(ort), *installed_plugins()[0]]
    # OpenVINO also registers "….AUTO", which selects one of its devices
    return [short_name(name) for name in dict.fromkeys(names) if name.endswith(_SUFFIX)]
