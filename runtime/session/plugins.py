"""Plug-in execution providers of onnxruntime: their devices and options, and registration of OpenVINO."""

import json
import threading
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from digits_edge.runtime.errors import ProviderError

OPENVINO = "OpenVINOExecutionProvider"

_lock = threading.Lock()
_openvino_is_registered = False


def devices(ort: ModuleType) -> list[Any]:
    """The devices of all providers; empty for releases of onnxruntime before 1.23, which have no plug-ins."""
    return list(ort.get_ep_devices()) if hasattr(ort, "get_ep_devices") else []


def openvino_is_installed() -> bool:
    """Whether the OpenVINO plug-in can be imported."""
    return find_spec("onnxruntime_ep_openvino") is not None


def register_openvino(ort: ModuleType) -> None:
    """Register the OpenVINO plug-in once per process.

    Raises:
        ImportError: it is not installed.
        ProviderError: onnxruntime cannot load it.
    """
    global _openvino_is_registered
    with _lock:
        if _openvino_is_registered:
            return
        import onnxruntime_ep_openvino as plugin

        try:
            ort.register_execution_provider_library("digits_edge.openvino", plugin.get_library_path())
        except Exception as error:  # onnxruntime's errors have no common base class
            raise ProviderError(
                f"onnxruntime {ort.__version__} cannot load the OpenVINO plug-in; update both with "
                "`pip install --upgrade onnxruntime onnxruntime-ep-openvino`"
            ) from error
        _openvino_is_registered = True


def plugin_device(ort: ModuleType, provider: str) -> Any | None:
    """The device of a plug-in provider; None if it has none.

    Raises:
        ProviderError: the provider is OpenVINO, and the processor is not supported.
    """
    found = devices(ort)
    for device in found:
        # OpenVINO also lists GPUs and NPUs
        if device.ep_name == provider and (provider != OPENVINO or device.device.type == ort.OrtHardwareDeviceType.CPU):
            return device
    if provider == OPENVINO:  # as of 1.8, see onnxruntime#31981
        vendor = next((device.device.vendor for device in found if device.ep_name.startswith("CPU")), "another vendor")
        raise ProviderError(
            f"provider openvino supports Intel processors only, this one is from {vendor}; use --provider cpu"
        )
    return None


def openvino_options(threads: int) -> dict[str, str]:
    """Options of OpenVINO. By default it uses all processors, and bfloat16 if the processor supports it."""
    return {"load_config": json.dumps({"CPU": {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}})}
