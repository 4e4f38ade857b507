"""Execution providers: their names, binding a session to one, and saying which one was bound.

`open_session` never falls back: the provider asked for runs the model, or there is an error that says what is missing.
"""

import contextlib
import io
import json
import threading
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from digits_edge.runtime.errors import ModelError, UsageError, one_line
from digits_edge.runtime.model.model_file import BATCH_AXIS, METADATA_KEY, Metadata
from digits_edge.runtime.session import int8_kernels
from digits_edge.runtime.session.bound_session import BoundSession
from digits_edge.runtime.session.library import load_onnxruntime
from digits_edge.runtime.session.threads import thread_count

AUTO = "auto"
_SUFFIX = "ExecutionProvider"
_OPENVINO = "OpenVINOExecutionProvider"
#: The names that are not onnxruntime's own in lower case and without the suffix.
_RENAMED = {"directml": "DmlExecutionProvider"}
_NVIDIA = ("cuda", "tensorrt")

_GPU = "`pip uninstall -y onnxruntime && pip install 'digits-edge[gpu]'`"
_REMEDIES = {
    "cuda": _GPU,
    "tensorrt": _GPU,
    "openvino": "`pip install 'digits-edge[openvino]'`",
    "directml": "`pip uninstall -y onnxruntime && pip install onnxruntime-directml` on Windows",
    "coreml": "`pip install 'digits-edge[cpu]'` on macOS",
}

_OPTIONS: dict[str, dict[str, str]] = {
    # TF32 would round products to 10 bits, and fp32 no longer be Keras's; an exhaustive search costs seconds per shape
    "CUDAExecutionProvider": {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"},
}

#: It would quantize, at every start and without regard to overflow, layers that the file leaves float.
_DISABLED_OPTIMIZERS = ["WeightBiasQuantization"]

_plugin_lock = threading.Lock()
_openvino_is_registered = False


def full_name(name: str) -> str:
    """The name onnxruntime has for a provider: `CPUExecutionProvider` for "cpu".

    Args:
        name: short or whole, in any case.

    Raises:
        UsageError: onnxruntime knows no such provider; lists those it has here.
    """
    ort = load_onnxruntime()
    names: list[str] = [*ort.get_all_providers(), *(device.ep_name for device in ort.get_ep_devices())]
    known = {_short(whole): whole for whole in names} | _RENAMED
    provider = known.get(_short(name))
    if provider is None:
        raise UsageError(f"there is no provider {name!r}; here are {', '.join([AUTO, *available_providers()])}")
    return provider


def short_name(provider: str) -> str:
    """The name of ours for a provider: "cpu" for `CPUExecutionProvider`."""
    return {whole: short for short, whole in _RENAMED.items()}.get(provider, _short(provider))


def _short(provider: str) -> str:
    return provider.lower().removesuffix(_SUFFIX.lower())


def available_providers() -> list[str]:
    """Short names of the providers that this installation has; whether one can be bound, only binding it tells."""
    ort = load_onnxruntime()
    plugged_in = [device.ep_name for device in ort.get_ep_devices()]
    openvino = [_OPENVINO] if find_spec("onnxruntime_ep_openvino") else []
    # "Azure" is in every wheel and calls a service; it runs no operator
    built_in = [name for name in ort.get_available_providers() if not name.startswith("Azure")]
    # OpenVINO registers "….AUTO" besides, which chooses among its devices
    names = (name for name in built_in + plugged_in + openvino if name.endswith(_SUFFIX))
    return [short_name(name) for name in dict.fromkeys(names)]


def open_session(
    model: bytes,
    provider: str,
    threads: int | None = None,
    *,
    single_image: bool = False,
    origin: str = "the model",
) -> BoundSession:
    """Open a model with the provider asked for, and no other.

    Args:
        model: a serialized ONNX model.
        provider: short or whole name.
        threads: how many compute a batch together; None for `available_threads()`.
        single_image: fix the batch's size at one image, for which OpenVINO then takes 0.88 of the time (Intel Xeon); the
            CPU's provider gains nothing.
        origin: what to call the model in an error, such as its path.

    Raises:
        ModelError: the provider cannot be bound, or onnxruntime cannot load the model.
        UsageError: no such provider, or fewer than one thread.
    """
    name, count = short_name(full_name(provider)), thread_count(threads)
    session = _bind(model, name, count, single_image, origin)
    exact_kernels = name == "cpu" and _needs_exact_kernels(session)
    if exact_kernels:
        session = _bind(model, name, count, single_image, origin, exact_kernels=True)
    return BoundSession(session, name, count, single_image=single_image, exact_kernels=exact_kernels)


def _needs_exact_kernels(session: Any) -> bool:
    """Whether this processor's int8 kernels may overflow with the weights of a model file; older ones did not care."""
    try:
        properties: dict[str, str] = session.get_modelmeta().custom_metadata_map
        metadata = Metadata.from_json(properties[METADATA_KEY])
    except (KeyError, UnicodeDecodeError, ModelError):  # who opens it as a classifier is told
        return False
    return metadata.may_overflow and int8_kernels.saturate()


def _bind(
    model: bytes, name: str, threads: int, single_image: bool, origin: str, *, exact_kernels: bool = False
) -> Any:
    """Open a session and look at what it was really bound to."""
    ort, provider = load_onnxruntime(), full_name(name)
    options = _session_options(ort, name, threads)
    if exact_kernels:
        # unsigned weights, whose kernels are exact, and 4 to 44 % slower; processors with VNNI would lose its speed
        options.add_session_config_entry("session.x64quantprecision", "1")
    if single_image:
        options.add_free_dimension_override_by_name(BATCH_AXIS, 1)
    chosen: dict[str, Any] = {}
    try:
        if _is_built_in(ort, provider):
            _preload(ort, name)
            chosen = {"providers": [(provider, _OPTIONS.get(provider, {}))]}
        else:
            options.add_provider_for_devices([_plugin_device(ort, provider)], _plugin_options(provider, threads))
        # left to itself, onnxruntime answers a provider's failure with a message on stdout and the CPU
        session = ort.InferenceSession(
            model, options, enable_fallback=0, disabled_optimizers=_DISABLED_OPTIMIZERS, **chosen
        )
    except ModelError:
        raise
    except Exception as error:  # onnxruntime's have no base of their own
        raise ModelError(f"{origin} could not be opened by provider {name}: {one_line(error)}") from error
    if session.get_providers()[0] != provider:
        remedy = (
            "`pip install 'onnxruntime-gpu[cuda,cudnn]'` adds CUDA's" if name in _NVIDIA else "see its documentation"
        )
        raise ModelError(f"provider {name} was not bound: its driver or libraries are missing or do not fit; {remedy}")
    if name != "cpu" and not _computes(session, provider):
        raise ModelError(f"provider {name} was bound but runs no part of {origin}; use --provider cpu")
    return session


def _is_built_in(ort: ModuleType, provider: str) -> bool:
    """Whether a provider is bound by its name; plug-ins are not, though onnxruntime lists them once registered."""
    plugged_in = {device.ep_name for device in ort.get_ep_devices() if "library_path" in device.ep_metadata}
    return provider in ort.get_available_providers() and provider not in plugged_in


def _session_options(ort: ModuleType, name: str, threads: int) -> Any:
    options = ort.SessionOptions()
    # set always: left at 0, onnxruntime pins its threads, which fails under cpusets (onnxruntime#8313); on the CPU
    # `BoundSession` shares a batch among them
    options.intra_op_num_threads = 1 if name == "cpu" else threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # waiting threads sleep: spinning would burn the time of a shared machine or of a cgroup
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # a model file is whole: weights in other files, which its sum does not cover, are looked for where there are none
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", __file__)
    if name == "directml":  # asks for it
        options.enable_mem_pattern = False
    if name != "cpu":
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    return options


def _computes(session: Any, provider: str) -> bool:
    """Whether a provider runs any node; older releases of onnxruntime do not say."""
    if not hasattr(session, "get_provider_graph_assignment_info"):
        return True
    return any(part.ep_name == provider for part in session.get_provider_graph_assignment_info())


def _preload(ort: ModuleType, name: str) -> None:
    """Load CUDA and cuDNN from NVIDIA's wheels; what it prints where they are missing, binding says again."""
    if name in _NVIDIA and hasattr(ort, "preload_dlls"):
        with contextlib.redirect_stdout(io.StringIO()):
            ort.preload_dlls()


def _plugin_device(ort: ModuleType, provider: str) -> Any:
    """The device of a provider that is no part of onnxruntime's wheel but registered with it."""
    if provider == _OPENVINO:
        _register_openvino(ort)
    devices = ort.get_ep_devices()
    for device in devices:
        # OpenVINO's may be graphics or neural processors too
        if device.ep_name == provider and (
            provider != _OPENVINO or device.device.type == ort.OrtHardwareDeviceType.CPU
        ):
            return device
    if provider == _OPENVINO:  # as of 1.8, see onnxruntime#31981
        vendor = next((device.device.vendor for device in devices if device.ep_name.startswith("CPU")), "another's")
        raise ModelError(
            f"provider openvino takes Intel's processors only, and this one is {vendor}; use --provider cpu"
        )
    raise ModelError(_missing(short_name(provider)))


def _register_openvino(ort: ModuleType) -> None:
    """Register the plug-in, once per process."""
    global _openvino_is_registered
    with _plugin_lock:
        if _openvino_is_registered:
            return
        try:
            import onnxruntime_ep_openvino as plugin
        except ImportError as error:
            raise ModelError(_missing("openvino")) from error
        ort.register_execution_provider_library("digits_edge.openvino", plugin.get_library_path())
        _openvino_is_registered = True


def _plugin_options(provider: str, threads: int) -> dict[str, str]:
    if provider != _OPENVINO:
        return _OPTIONS.get(provider, {})
    # left to itself, OpenVINO takes all processors, and computes in bfloat16 where the processor can
    return {"load_config": json.dumps({"CPU": {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}})}


def _missing(name: str) -> str:
    remedy = _REMEDIES.get(name, "an onnxruntime built with it")
    return f"provider {name} is not installed; it needs {remedy} (here are {', '.join(available_providers())})"
