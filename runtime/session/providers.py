"""Binding of a session to exactly one execution provider of onnxruntime: `open_session`.

There is no fallback: the requested provider and device run the model, or an error says what is missing.
"""

import contextlib
import io
from types import ModuleType
from typing import Any

import numpy as np

from digits_edge.runtime.errors import ModelError, ProviderError, one_line
from digits_edge.runtime.model.model_file import (
    BATCH_AXIS,
    COLUMNS_NAME,
    INPUT_NAME,
    METADATA_KEY,
    OUTPUT_NAME,
    Metadata,
)
from digits_edge.runtime.session import int8_kernels
from digits_edge.runtime.session.bound_session import BoundSession
from digits_edge.runtime.session.ep_devices import NUMBERED, plugged_in, select_device
from digits_edge.runtime.session.library import load_onnxruntime, update_for
from digits_edge.runtime.session.plugins import installed_plugins, register
from digits_edge.runtime.session.provider_names import (
    ON_PROCESSOR,
    Selection,
    available_providers,
    built_in_providers,
    parse_provider,
    short_name,
)
from digits_edge.runtime.session.provider_options import REMEDIES, provider_options
from digits_edge.runtime.session.threads import thread_count

#: Would quantize, at every start, layers that the file has as float, and ignores overflow.
_DISABLED_OPTIMIZERS = ["WeightBiasQuantization"]
#: Providers of the wheel onnxruntime-gpu.
_NVIDIA_WHEEL = ("cuda", "tensorrt")
_OUTPUT_NAMES = (OUTPUT_NAME, COLUMNS_NAME)


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
        provider: short or full name, optionally with a device: "cpu", "openvino:gpu", "cuda:1".
        threads: number of threads that share a batch; None for `available_threads()`.
        single_image: fix the batch size to one image. OpenVINO is then 1.1× faster for one image (Intel Xeon); the CPU
            provider is not.
        origin: name of the model in error messages, such as its path.

    Raises:
        ModelError: onnxruntime is not installed.
        ProviderError: the provider cannot be bound, or cannot load or run the model.
        UsageError: the provider is unknown, or `threads` is out of range.
    """
    selection, count = parse_provider(provider), thread_count(threads)
    session = _bind(model, selection, count, single_image, origin)
    exact_kernels = selection.name == "cpu" and _needs_exact_kernels(session)
    if exact_kernels:
        session = _bind(model, selection, count, single_image, origin, exact_kernels=True)
    bound = BoundSession(
        session,
        selection.name,
        count,
        single_image=single_image,
        exact_kernels=exact_kernels,
        reuse_buffers=selection.name == "cpu",
    )
    if selection.name not in ON_PROCESSOR:
        _run_once(bound, origin)
    return bound


def _run_once(bound: BoundSession, origin: str) -> None:
    """Run one image on an accelerator, which may find only then that its device lacks an operation, such as fp16.

    Raises:
        ProviderError: the provider cannot run the model.
    """
    if bound.session.get_inputs()[0].name != INPUT_NAME or bound.session.get_outputs()[0].name not in _OUTPUT_NAMES:
        return  # `Classifier` reports that this is another model
    try:
        bound.run(np.zeros((1, *bound.image_shape), np.uint8))
    except Exception as error:  # onnxruntime's errors have no common base class
        raise ProviderError(f"{origin} could not be run by provider {bound.provider}: {one_line(error)}") from error


def _needs_exact_kernels(session: Any) -> bool:
    """Whether this processor's int8 kernels can overflow with the model's weights; true for some older files."""
    try:
        properties: dict[str, str] = session.get_modelmeta().custom_metadata_map
        metadata = Metadata.from_json(properties[METADATA_KEY])
    except (KeyError, UnicodeDecodeError, ModelError):  # `Classifier` reports these errors
        return False
    return metadata.may_overflow and int8_kernels.saturate()


def _bind(
    model: bytes, selection: Selection, threads: int, single_image: bool, origin: str, *, exact_kernels: bool = False
) -> Any:
    """Open an onnxruntime session and check that it is bound to the requested provider."""
    ort, provider, name = load_onnxruntime(), selection.provider, selection.name
    options = _session_options(ort, name, threads)
    if exact_kernels:
        # unsigned weights: their kernels are exact and 4 to 44 % slower; with VNNI they would lose its speed
        options.add_session_config_entry("session.x64quantprecision", "1")
    if single_image:
        options.add_free_dimension_override_by_name(BATCH_AXIS, 1)
    try:
        chosen = _choose(ort, selection, threads, options)
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
            if short_name(provider) in _NVIDIA_WHEEL
            else "see its documentation"
        )
        raise ProviderError(
            f"provider {name} was not bound: its driver or libraries are missing or incompatible; {remedy}"
        )
    if name != "cpu" and not _computes(session, provider):
        raise ProviderError(f"provider {name} was bound but cannot run any part of {origin}; use --provider cpu")
    return session


def _choose(ort: ModuleType, selection: Selection, threads: int, options: Any) -> dict[str, Any]:
    """Choose a provider for a session: by the returned argument if it is built in, in the options if it is a plug-in.

    Raises:
        ProviderError: the provider is not installed, its plug-in cannot be loaded, or it has no such device.
    """
    provider, short = selection.provider, short_name(selection.provider)
    if provider in built_in_providers(ort):
        if selection.device is not None and not (short in NUMBERED and selection.device.isdecimal()):
            known = f"numbers, such as {short}:0" if short in NUMBERED else "none to choose from"
            raise ProviderError(f"provider {short} has no device {selection.device!r}; its devices: {known}")
        _preload(ort, short)
        return {"providers": [(provider, provider_options(provider, selection.device, threads))]}
    if provider not in plugged_in(ort):
        plugins, unusable = installed_plugins()
        if provider not in plugins:
            broken = (reason for module, reason in unusable.items() if short in module.replace("_", ""))
            raise ProviderError(next(broken, _missing(short)))
        register(ort, plugins[provider])
    name, device = select_device(ort, provider, short, selection.device)
    options.add_provider_for_devices([device], provider_options(provider, name, threads))
    return {}


def _session_options(ort: ModuleType, name: str, threads: int) -> Any:
    options = ort.SessionOptions()
    # always set: with 0 onnxruntime pins its threads, which fails under cpusets (onnxruntime#8313). With the CPU
    # provider, `BoundSession` distributes a batch over threads
    options.intra_op_num_threads = 1 if name == "cpu" else threads
    options.inter_op_num_threads = 1
    # errors are raised too; those of GPU providers would be printed in addition
    options.log_severity_level = 3 if name == "cpu" else 4
    # idle threads sleep: spinning would use CPU time of a shared machine or of the cgroup's quota
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # the checksum does not cover weights in external files, so make onnxruntime search them where there are none
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", __file__)
    if name.startswith("directml"):  # required by DirectML
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
    if name in _NVIDIA_WHEEL and hasattr(ort, "preload_dlls"):
        with contextlib.redirect_stdout(io.StringIO()):
            ort.preload_dlls()


def _missing(name: str) -> str:
    remedy = REMEDIES.get(name, "install an onnxruntime that is built with it")
    return f"provider {name} is not installed; {remedy} (available: {', '.join(available_providers())})"
