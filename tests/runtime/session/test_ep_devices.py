"""Names of devices, and selection of one with `provider:device`."""

from types import SimpleNamespace

import pytest

from digits_edge.runtime import Classifier, ProviderError, UsageError
from digits_edge.runtime.session.ep_devices import device_names, devices, plugin_devices, select_device
from digits_edge.runtime.session.provider_names import ON_PROCESSOR, parse_provider
from digits_edge.runtime.session.provider_options import provider_options

OPENVINO, WEBGPU, FAKE = (f"{name}ExecutionProvider" for name in ("OpenVINO", "WebGpu", "Fake"))


def runtime(*listed: tuple[str, str], virtual: bool = False):
    """Replacement of onnxruntime with devices of a provider and a kind, after the processor."""
    metadata = {"is_virtual": "1"} if virtual else {}
    found = [
        SimpleNamespace(
            ep_name=provider,
            ep_metadata={} if provider.startswith("CPU") else {"library_path": f"{provider}.so"},
            device=SimpleNamespace(type=SimpleNamespace(name=kind), metadata=metadata, vendor="AuthenticAMD"),
        )
        for provider, kind in (("CPUExecutionProvider", "CPU"), *listed)
    ]
    return SimpleNamespace(get_ep_devices=lambda: found)


def test_devices_are_named_by_their_kind_and_numbered():
    ort = runtime((OPENVINO, "GPU"), (OPENVINO, "CPU"), (OPENVINO, "GPU"), (FAKE, "NPU"))
    assert list(device_names(ort, OPENVINO)) == ["gpu", "cpu", "gpu.1"]
    assert plugin_devices(ort) == {OPENVINO: ["gpu", "cpu", "gpu.1"], FAKE: ["npu"]}


@pytest.mark.parametrize(
    ("provider", "device", "expected"),
    [
        (OPENVINO, None, "cpu"),  # its default is the processor, wherever it is in the list
        (OPENVINO, "gpu", "gpu"),
        (OPENVINO, "gpu.1", "gpu.1"),
        (OPENVINO, "2", "gpu.1"),
        (FAKE, None, "npu"),
    ],
)
def test_device_is_selected_by_name_or_number(provider, device, expected):
    ort = runtime((OPENVINO, "GPU"), (OPENVINO, "CPU"), (OPENVINO, "GPU"), (FAKE, "NPU"))
    name, selected = select_device(ort, provider, "short", device)
    assert name == expected and selected is device_names(ort, provider)[expected]


@pytest.mark.parametrize("device", ["npu", "3", "gpu.2", "-1", "²"])
def test_unknown_device_is_refused_with_the_names_of_all(device):
    ort = runtime((OPENVINO, "GPU"), (OPENVINO, "CPU"), (OPENVINO, "GPU"))
    with pytest.raises(ProviderError, match=r"available: openvino:gpu, openvino:cpu, openvino:gpu\.1$"):
        select_device(ort, OPENVINO, "openvino", device)


@pytest.mark.parametrize("device", [None, "gpu"])
@pytest.mark.parametrize(
    ("provider", "reason"),
    [
        (OPENVINO, "supports Intel processors only, this one is from AuthenticAMD"),
        (WEBGPU, "set ORT_WEBGPU_EP_ALLOW_SOFTWARE_ADAPTER=1"),
        (FAKE, "supports no device of this machine"),
    ],
)
def test_plug_in_without_a_device_is_refused_with_what_it_needs(provider, reason, device):
    with pytest.raises(ProviderError, match=reason):
        select_device(runtime(), provider, "name", device)


def test_openvino_without_a_processor_does_not_use_its_gpu_unasked():
    with pytest.raises(ProviderError, match="Intel processors only"):
        select_device(runtime((OPENVINO, "GPU")), OPENVINO, "openvino", None)


def test_virtual_devices_are_omitted():
    """They are for compiling models on a machine without the device; a session on one runs nothing."""
    ort = runtime((WEBGPU, "GPU"), virtual=True)
    assert devices(ort) == []
    with pytest.raises(ProviderError, match="no device"):
        select_device(ort, WEBGPU, "webgpu", None)


def test_release_without_plug_ins_has_no_devices():
    assert devices(SimpleNamespace()) == []


def test_empty_device_is_a_usage_error(model_path):
    with pytest.raises(UsageError, match="names no device"):
        Classifier(model_path, provider="cpu:")


@pytest.mark.parametrize("provider", ["cpu:0", "cpu:gpu"])
def test_device_of_a_provider_without_a_choice_is_refused(model_path, provider):
    with pytest.raises(ProviderError, match=r"provider cpu has no device '\w+'; its devices: none to choose from"):
        Classifier(model_path, provider=provider)


@pytest.mark.parametrize(
    ("provider", "device", "options"),
    [
        ("CPUExecutionProvider", None, {}),
        ("CUDAExecutionProvider", "1", {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC", "device_id": "1"}),
        ("DmlExecutionProvider", "2", {"device_id": "2"}),
        (WEBGPU, "gpu", {}),
        (OPENVINO, None, {"load_config": '{"CPU": {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 4}}'}),
        (OPENVINO, "gpu.1", {"load_config": '{"GPU": {"INFERENCE_PRECISION_HINT": "f32"}}'}),
        (OPENVINO, "npu", {}),
    ],
)
def test_options_of_providers_and_devices(provider, device, options):
    assert provider_options(provider, device, threads=4) == options


def test_other_devices_of_openvino_are_no_processors():
    names = {parse_provider(text).name for text in ("openvino", "OpenVINO:CPU", "cpu")}
    assert names <= set(ON_PROCESSOR)
    assert parse_provider("openvino:gpu").name not in ON_PROCESSOR
