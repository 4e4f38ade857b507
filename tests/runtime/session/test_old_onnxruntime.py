"""An onnxruntime that cannot open a bundled model: the error names the update, `auto` and `doctor` go on without it.

The int8 models of `edge` begin with SpaceToDepth of uint8, which onnxruntime's CPU provider has since 1.28.
"""

import numpy as np
import onnxruntime
import pytest

from digits_edge.runtime import Classifier, ProviderError
from digits_edge.runtime.checks.doctor import OK, examine
from digits_edge.runtime.classifier import FEW_IMAGES
from digits_edge.runtime.packages import ONNXRUNTIME_WHEELS
from digits_edge.runtime.session import int8_kernels, library, provider_names
from digits_edge.runtime.session.library import update_for
from digits_edge.runtime.session.trial import clear_trials

IMAGES = np.zeros((300, 28, 28), np.uint8)
NOT_IMPLEMENTED = "[ONNXRuntimeError] : 9 : NOT_IMPLEMENTED : Could not find an implementation for SpaceToDepth(13)"


@pytest.fixture
def old(monkeypatch):
    """Make onnxruntime behave like 1.27 does with these models."""
    session = onnxruntime.InferenceSession

    def open_as_before(model, *arguments, **options):
        if b"SpaceToDepth" in model and b"QuantizeLinear" in model:
            raise RuntimeError(NOT_IMPLEMENTED)
        return session(model, *arguments, **options)

    monkeypatch.setattr(onnxruntime, "InferenceSession", open_as_before)
    monkeypatch.setattr(onnxruntime, "__version__", "1.27.0")
    monkeypatch.setattr(int8_kernels, "are_fast", lambda: True)
    monkeypatch.setattr(provider_names, "installed_plugins", lambda: ({}, {}))
    clear_trials()
    yield
    clear_trials()


@pytest.mark.parametrize("images", [None, 1, FEW_IMAGES])
def test_auto_uses_the_precision_that_opens(old, images):
    with Classifier(images=images) as classifier:
        assert classifier.predict_batch(IMAGES).shape == (300, 10)
        assert (classifier.metadata.name, classifier.provider) == ("edge-fp32", "cpu")


def test_model_that_does_not_open_names_the_update(old):
    with pytest.raises(ProviderError, match="SpaceToDepth") as caught:
        Classifier("edge-int8", provider="cpu")
    assert str(caught.value).endswith("update it with `pip install --upgrade 'digits-edge[cpu]'`")
    assert "onnxruntime 1.27.0 is older than 1.28" in str(caught.value)


def test_doctor_reports_the_models_that_do_not_open_and_goes_on(old):
    found = examine()
    assert (found.problems, found.providers["cpu"]) == ((), OK)
    assert [timing.model for timing in found.trial.timings] == ["edge-fp32"]
    assert found.findings[0].startswith("onnxruntime 1.27.0 is older than 1.28")
    assert {line.split()[0] for line in found.findings[1:]} - {"provider"} == {"edge-int8", "edge-ensemble-int8"}


def test_doctor_has_no_findings_about_a_current_onnxruntime():
    assert not [line for line in examine().findings if "older" in line or "opened by provider cpu" in line]


@pytest.mark.parametrize(
    ("wheel", "command"),
    [
        ("onnxruntime", "pip install --upgrade 'digits-edge[cpu]'"),
        ("onnxruntime-gpu", "pip install --upgrade 'digits-edge[gpu]'"),
        ("onnxruntime-webgpu", "pip uninstall -y onnxruntime-webgpu && pip install 'digits-edge[cpu]'"),
    ],
)
def test_update_fits_the_installed_distribution(monkeypatch, wheel, command):
    assert wheel in ONNXRUNTIME_WHEELS
    monkeypatch.setattr(onnxruntime, "__version__", "1.24.4")
    monkeypatch.setattr(library, "installed_wheels", lambda: {wheel: "1.24.4"})
    assert f"{wheel} 1.24.4 is older than 1.28" in update_for(NOT_IMPLEMENTED)
    assert command in update_for(NOT_IMPLEMENTED)


def test_current_onnxruntime_is_updated_for_a_newer_file_format_only():
    assert "needs a newer release" in update_for("Unsupported model IR version: 99, max supported IR version: 13")
    assert update_for("Failed to get a WebGPU adapter: No supported adapters") is None


def test_release_without_plugins_lists_its_providers(monkeypatch):
    monkeypatch.delattr(onnxruntime, "get_ep_devices")
    with Classifier("edge-fp32", provider="cpu") as classifier:
        assert classifier.provider == "cpu"
