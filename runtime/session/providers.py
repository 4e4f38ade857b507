"""Execution providers of onnxruntime: names, availability, and binding a session to exactly one.

`open_session` has no fallback: the requested provider runs the model, or an error says what is missing.
"""

import contextlib
import io
from types import ModuleType
from typing import Any

from digits_edge.runtime.errors import ModelError, ProviderError, UsageError, one_line
from digits_edge.runtime.model.model_file import BATCH_AXIS, METADATA_KEY, Metadata
from digits_edge.runtime.session import int8_kernels
from digits_edge.runtime.session.bound_session import BoundSession
from digits_edge.runtime.session.library import load_onnxruntime, update_for
from digits_edge.runtime.session.plugins import (
    OPENVINO,
    devices,
    openvino_is_installed,
    openvino_options,
    plugin_device,
    register_openvino,
)
from digits_edge.runtime.session.threads import thread_count

AUTO = "auto"
_SUFFIX = "ExecutionProvider"
#: Short names that are not the lower-case name of onnxruntime without the suffix.
_RENAMED = {"directml": "DmlExecutionProvider"}
_NVIDIA = ("cuda", "tensorrt")

_GPU = "install it with `pip uninstall -y onnxruntime && pip install 'digits-edge[gpu]'`"
_REMEDIES = {
    "cuda": _GPU,
    "tensorrt": _GPU,
    "openvino": "install it with `pip install 'digits-edge[openvino]'`",
    "directml": "install it with `pip uninstall -y onnxruntime && pip install onnxruntime-directml` on Windows",
    "coreml": "install it with `pip install 'digits-edge[cpu]'` on macOS",
}

_OPTIONS: dict[str, dict[str, str]] = {
    # TF32 rounds products to 10 bits, so fp32 would differ from Keras; an exhaustive search takes seconds per shape
    "CUDAExecutionProvider": {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"},
}

#: Would quantize, at every start, layers that the file has as float, and ignores overflow.
_DISABLED_OPTIMIZERS = ["WeightBiasQuantization"]


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
    names: list[str] = [*ort.get_all_providers(), *(device.ep_name for device in devices(ort))]
    known = {_without_suffix(full): full for full in names} | _RENAMED
    provider = known.get(_without_suffix(name))
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


def available_providers() -> list[str]:
    """Short names of the providers of this installation; binding one may still fail.

    Example:
        >>> "cpu" in available_providers()
        True
    """
    ort = load_onnxruntime()
    plugged_in = [device.ep_name for device in devices(ort)]
    openvino = [OPENVINO] if openvino_is_installed() else []
    # "Azure" is in every wheel, but calls a web service and runs no operator
    built_in = [name for name in ort.get_available_providers() if not name.startswith("Azure")]
    # OpenVINO also registers "….AUTO", which selects one of its devices
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
    """Open a model with the requested provider, without a fallback to another.

    Args:
        model: serialized ONNX model.
        provider: short or full name.
        threads: number of threads that share a batch; None for `available_threads()`.
        single_image: fix the batch size to one image. OpenVINO is then 1.1× faster for one image (Intel Xeon); the CPU
            provider is not.
        origin: name of the model in error messages, such as its path.

    Raises:
        ModelError: onnxruntime is not installed.
        ProviderError: the provider cannot be bound, or cannot load the model.
        UsageError: the provider is unknown, or `threads` is out of range.
    """
    name, count = short_name(full_name(provider)), thread_count(threads)
    session = _bind(model, name, count, single_image, origin)
    exact_kernels = name == "cpu" and _needs_exact_kernels(session)
    if exact_kernels:
        session = _bind(model, name, count, single_image, origin, exact_kernels=True)
    return BoundSession(session, name, count, single_image=single_image, exact_kernels=exact_kernels)


def _needs_exact_kernels(session: Any) -> bool:
    """Whether this processor's int8 kernels can overflow with the model's weights; true for some older files."""
    try:
        properties: dict[str, str] = session.get_modelmeta().custom_metadata_map
        metadata = Metadata.from_json(properties[METADATA_KEY])
    except (KeyError, UnicodeDecodeError, ModelError):  # `Classifier` reports these errors
        return False
    return metadata.may_overflow and int8_kernels.saturate()


def _bind(
    model: bytes, name: str, threads: int, single_image: bool, origin: str, *, exact_kernels: bool = False
) -> Any:
    """Open an onnxruntime session and check that it is bound to the requested provider."""
    ort, provider = load_onnxruntime(), full_name(name)
    options = _session_options(ort, name, threads)
    if exact_kernels:
        # unsigned weights: their kernels are exact and 4 to 44 % slower; with VNNI they would lose its speed
        options.add_session_config_entry("session.x64quantprecision", "1")
    if single_image:
        options.add_free_dimension_override_by_name(BATCH_AXIS, 1)
    chosen: dict[str, Any] = {}
    try:
        if _is_built_in(ort, provider):
            _preload(ort, name)
            chosen = {"providers": [(provider, _OPTIONS.get(provider, {}))]}
        else:
            chosen_options = openvino_options(threads) if provider == OPENVINO else _OPTIONS.get(provider, {})
            options.add_provider_for_devices([_plugin_device(ort, provider)], chosen_options)
        # by default onnxruntime reports a provider's failure on stdout and falls back to the CPU
        session = ort.InferenceSession(
            model, options, enable_fallback=0, disabled_optimizers=_DISABLED_OPTIMIZERS, **chosen
        )
    except ModelError:
        raise
    except Exception as error:  # onnxruntime's errors have no common base class
        reason = one_line(error)
        remedy = update_for(reason)
        reason += f"; {remedy}" if remedy else ""
        raise ProviderError(f"{origin} could not be opened by provider {name}: {reason}") from error
    if session.get_providers()[0] != provider:
        remedy = (
            "install CUDA's with `pip install 'onnxruntime-gpu[cuda,cudnn]'`"
            if name in _NVIDIA
            else "see its documentation"
        )
        raise ProviderError(
            f"provider {name} was not bound: its driver or libraries are missing or incompatible; {remedy}"
        )
    if name != "cpu" and not _computes(session, provider):
        raise ProviderError(f"provider {name} was bound but cannot run any part of {origin}; use --provider cpu")
    return session


def _is_built_in(ort: ModuleType, provider: str) -> bool:
    """Whether a provider is bound by name. Plug-ins are not, although onnxruntime lists them once registered."""
    plugged_in = {device.ep_name for device in devices(ort) if "library_path" in device.ep_metadata}
    return provider in ort.get_available_providers() and provider not in plugged_in


def _session_options(ort: ModuleType, name: str, threads: int) -> Any:
    options = ort.SessionOptions()
    # always set: with 0 onnxruntime pins its threads, which fails under cpusets (onnxruntime#8313). With the CPU
    # provider, `BoundSession` distributes a batch over threads
    options.intra_op_num_threads = 1 if name == "cpu" else threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # idle threads sleep: spinning would use CPU time of a shared machine or of the cgroup's quota
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # the checksum does not cover weights in external files, so make onnxruntime search them where there are none
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", __file__)
    if name == "directml":  # required by DirectML
        options.enable_mem_pattern = False
    if name != "cpu":
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    return options


def _computes(session: Any, provider: str) -> bool:
    """Whether a provider runs any node; True if this release of onnxruntime does not report it."""
    if not hasattr(session, "get_provider_graph_assignment_info"):
        return True
    return any(part.ep_name == provider for part in session.get_provider_graph_assignment_info())


def _preload(ort: ModuleType, name: str) -> None:
    """Load CUDA and cuDNN from NVIDIA's wheels. Its output is discarded: binding reports missing libraries."""
    if name in _NVIDIA and hasattr(ort, "preload_dlls"):
        with contextlib.redirect_stdout(io.StringIO()):
            ort.preload_dlls()


def _plugin_device(ort: ModuleType, provider: str) -> Any:
    """The device of a plug-in provider."""
    if provider == OPENVINO:
        try:
            register_openvino(ort)
        except ImportError as error:
            raise ProviderError(_missing("openvino")) from error
    device = plugin_device(ort, provider)
    if device is None:
        raise ProviderError(_missing(short_name(provider)))
    return device


def _missing(name: str) -> str:
    remedy = _REMEDIES.get(name, "install an onnxruntime that is built with it")
    return f"provider {name} is not installed; {remedy} (available: {', '.join(available_providers())})"
