"""Devices of execution providers: their names, and selection of one with `provider:device`."""

from types import ModuleType
from typing import Any

from digits_edge.runtime.errors import ProviderError

#: Built-in providers that select a device by the number in their option `device_id`.
NUMBERED = ("cuda", "tensorrt", "rocm", "migraphx", "directml", "cann")
#: The kind of device that a provider uses if none is named. Other providers use the first one that they list.
_DEFAULT_KIND = {"OpenVINOExecutionProvider": "cpu"}


def devices(ort: ModuleType) -> list[Any]:
    """The devices of all providers; empty for releases of onnxruntime before 1.23, which have no plug-ins.

    Virtual devices are omitted: they compile models for another machine and run nothing.
    """
    if not hasattr(ort, "get_ep_devices"):
        return []
    return [device for device in ort.get_ep_devices() if "is_virtual" not in device.device.metadata]


def plugged_in(ort: ModuleType) -> list[str]:
    """The full names of the plug-in providers that are registered and have a device."""
    return list(dict.fromkeys(device.ep_name for device in devices(ort) if "library_path" in device.ep_metadata))


def device_names(ort: ModuleType, provider: str) -> dict[str, Any]:
    """The devices of a registered plug-in provider by name, in its order.

    Args:
        ort: the module onnxruntime.
        provider: full name of the provider.

    Returns:
        "cpu", "gpu" or "npu" → device; the second device of a kind is "gpu.1".

    Example:
        >>> import onnxruntime
        >>> list(device_names(onnxruntime, "CPUExecutionProvider"))
        ['cpu']
    """
    named: dict[str, Any] = {}
    counts: dict[str, int] = {}
    for device in devices(ort):
        if device.ep_name == provider:
            kind = device.device.type.name.lower()
            count = counts[kind] = counts.get(kind, -1) + 1
            named[f"{kind}.{count}" if count else kind] = device
    return named


def plugin_devices(ort: ModuleType) -> dict[str, list[str]]:
    """The full name of each registered plug-in provider → names of its devices."""
    return {provider: list(device_names(ort, provider)) for provider in plugged_in(ort)}


def select_device(ort: ModuleType, provider: str, short: str, device: str | None) -> tuple[str, Any]:
    """Select a device of a registered plug-in provider.

    Args:
        ort: the module onnxruntime.
        provider: full name of the provider.
        short: its short name, for messages.
        device: name or number of the device; None for the provider's default.

    Returns:
        The name of the device, and onnxruntime's object.

    Raises:
        ProviderError: the provider has no such device.
    """
    named = device_names(ort, provider)
    if device is None:
        default = _DEFAULT_KIND.get(provider)
        found = next(((name, each) for name, each in named.items() if default in (None, name)), None)
        if found is None:
            raise ProviderError(_no_device(ort, provider, short))
        return found
    if not named:
        raise ProviderError(_no_device(ort, provider, short))
    names = list(named)
    name = names[int(device)] if device.isdecimal() and int(device) < len(names) else device
    if name not in named:
        choices = ", ".join(f"{short}:{each}" for each in names)
        raise ProviderError(f"provider {short} has no device {device!r}; available: {choices}")
    return name, named[name]


def _no_device(ort: ModuleType, provider: str, short: str) -> str:
    """Why a plug-in that is installed and loads has no device here, and the remedy."""
    if provider == "OpenVINOExecutionProvider":  # as of 1.8, see onnxruntime#31981
        vendor = next((each.device.vendor for each in devices(ort) if each.ep_name.startswith("CPU")), "another vendor")
        return f"provider {short} supports Intel processors only, this one is from {vendor}; use --provider cpu"
    if provider == "WebGpuExecutionProvider":
        return (
            f"provider {short} has no device: onnxruntime found no graphics processor (on Linux it looks in "
            "/sys/class/drm); set ORT_WEBGPU_EP_ALLOW_SOFTWARE_ADAPTER=1 to use any Vulkan device"
        )
    return f"provider {short} is installed but supports no device of this machine; use --provider cpu"
