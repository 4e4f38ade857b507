import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from digits_edge.runtime.errors import ModelError, ProviderError, UsageError
from digits_edge.runtime.model.model_file import read_model_file
from digits_edge.runtime.session import library, providers
from digits_edge.runtime.session.bound_session import BoundSession
from digits_edge.runtime.session.provider_names import available_providers, full_name, short_name
from digits_edge.runtime.session.providers import open_session
from digits_edge.runtime.session.threads import available_threads

NO_CUDA = "CUDAExecutionProvider" not in onnxruntime.get_available_providers()


@pytest.fixture
def model(model_path) -> bytes:
    return read_model_file(model_path)


@pytest.mark.parametrize("name", ["cpu", "CPU", "CPUExecutionProvider", "cpuexecutionprovider"])
def test_short_and_full_names_are_accepted_in_any_case(name):
    assert full_name(name) == "CPUExecutionProvider"


@pytest.mark.parametrize(
    ("short", "full"),
    [
        ("cuda", "CUDAExecutionProvider"),
        ("tensorrt", "TensorrtExecutionProvider"),
        ("openvino", "OpenVINOExecutionProvider"),
        ("coreml", "CoreMLExecutionProvider"),
        ("directml", "DmlExecutionProvider"),
        ("xnnpack", "XnnpackExecutionProvider"),
    ],
)
def test_short_and_full_names_correspond(short, full):
    assert (full_name(short), short_name(full)) == (full, short)


def test_unknown_name_is_a_usage_error_that_lists_the_available_providers():
    with pytest.raises(UsageError, match="auto, cpu") as caught:
        full_name("gpu")
    assert caught.value.exit_code == 2


def test_cpu_is_available_and_azure_is_not_listed():
    assert "cpu" in available_providers()
    assert "azure" not in available_providers()


def test_operators_use_one_thread_and_batches_the_requested_number(model):
    bound = open_session(model, "cpu", threads=2)
    options = bound.session.get_session_options()
    assert (bound.provider, bound.threads) == ("cpu", 2)
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (1, 1)
    assert open_session(model, "cpu").threads == available_threads()


def test_zero_threads_is_a_usage_error(model):
    with pytest.raises(UsageError, match="invalid thread count 0"):
        open_session(model, "cpu", threads=0)


@pytest.mark.skipif(not NO_CUDA, reason="this machine has CUDA")
def test_missing_cuda_is_an_error_with_a_remedy_not_a_fallback(model, capfd):
    with pytest.raises(ModelError, match=r"digits-edge\[gpu\]") as caught:
        open_session(model, "cuda")
    assert caught.value.exit_code == 3
    assert capfd.readouterr().out == ""


def test_provider_that_runs_nothing_of_the_model_is_an_error(model):
    if "AzureExecutionProvider" not in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has no Azure provider")
    with pytest.raises(ModelError, match="azure"):
        open_session(model, "azure")


def test_openvino_is_bound_or_the_error_says_what_is_missing(model):
    if reason := _error_of(lambda: open_session(model, "openvino")):
        assert "supports Intel processors only" in reason or "digits-edge[openvino]" in reason
        pytest.skip(reason)
    bound = open_session(model, "openvino", threads=1)
    assert bound.session.get_providers()[0] == "OpenVINOExecutionProvider"
    for size in (1, 2, 7, 64, 1000):
        probabilities = bound.session.run(None, {"image": np.zeros((size, 28, 28), np.uint8)})[0]
        assert probabilities.shape == (size, 10)


def test_openvino_can_be_opened_twice(model):
    """After registration, onnxruntime lists the plug-in like built-in providers, but cannot bind it by name."""
    first, second = [_error_of(lambda: open_session(model, "openvino")) for _ in range(2)]
    assert first == second
    assert second is None or "was not bound" not in second
    assert all("." not in name for name in available_providers())


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x08"])
def test_load_error_is_one_line_that_names_the_file(content):
    with pytest.raises(ModelError, match=r"^my\.onnx could not be opened by provider cpu: ") as caught:
        open_session(content, "cpu", origin="my.onnx")
    assert "\n" not in str(caught.value)
    assert "ONNXRuntimeError" not in str(caught.value)


def test_two_installed_wheels_are_an_error_with_the_command_to_fix_it(tmp_path):
    found = _import_error_with(tmp_path, {"onnxruntime": "1.24", "onnxruntime-gpu": "1.24"})
    assert "pip uninstall -y onnxruntime-gpu onnxruntime && pip install onnxruntime-gpu" in found["error"]
    assert found["exit_code"] == 3


def test_two_wheels_that_share_a_folder_are_an_error(tmp_path):
    (tmp_path / "onnxruntime").mkdir()
    (tmp_path / "onnxruntime/__init__.py").write_text("InferenceSession = None")
    found = _import_error_with(tmp_path, {"onnxruntime": "1.24", "onnxruntime-gpu": "1.24"})
    assert "overwrite each other" in found["error"]


def test_missing_onnxruntime_is_an_error_with_the_install_command(tmp_path):
    found = _import_error_with(tmp_path, {})
    assert "digits-edge[cpu]" in found["error"]
    assert found["exit_code"] == 3


def test_empty_package_of_an_uninstalled_wheel_is_an_error(tmp_path):
    (tmp_path / "onnxruntime" / "capi").mkdir(parents=True)
    assert "broken" in _import_error_with(tmp_path, {})["error"]


def _import_error_with(site: Path, wheels: dict[str, str]) -> dict:
    """Error of `load_onnxruntime` in a Python that has only the runtime and the given wheels installed."""
    for wheel, version in wheels.items():
        folder = site / f"{wheel.replace('-', '_')}-{version}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {wheel}\nVersion: {version}\n")
    (site / "digits_edge").mkdir()
    (site / "digits_edge" / "runtime").symlink_to(Path(library.__file__).parents[1])
    program = f"""
import json, sys
sys.path.insert(0, {str(site)!r})
from digits_edge.runtime.errors import ModelError
from digits_edge.runtime.session.library import load_onnxruntime
try:
    load_onnxruntime()
except ModelError as error:
    print(json.dumps({{"error": str(error), "exit_code": error.exit_code}}))
"""
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def _error_of(call: Callable[[], object]) -> str | None:
    try:
        call()
    except ModelError as error:
        return str(error)
    return None


@pytest.mark.parametrize("reason", ["Program Cast requires f16 but the device does not support it.", None])
def test_accelerator_that_cannot_run_the_model_is_refused_when_it_is_opened(model, monkeypatch, reason):
    """WebGPU opens some fp16 models on devices without fp16 and fails when they run."""
    images = []

    def run(self, image):
        images.append(image.shape)
        if reason:
            raise RuntimeError(reason)

    def bind(model, selection, *arguments, **options):
        return onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(providers, "_bind", bind)
    monkeypatch.setattr(BoundSession, "run", run)
    open_session(model, "cpu")
    assert images == []
    if reason is None:
        open_session(model, "webgpu")
    else:
        with pytest.raises(ProviderError, match=r"^my\.onnx could not be run by provider webgpu: .*requires f16"):
            open_session(model, "webgpu", origin="my.onnx")
    assert images == [(1, 28, 28)]
