import json
import platform

import pytest

from digits_edge.runtime.checks import doctor
from digits_edge.runtime.checks.doctor import OK, examine
from digits_edge.runtime.errors import ProviderError
from digits_edge.runtime.session.providers import open_session


def test_examination_is_serializable_and_has_the_python_version():
    found = examine()
    assert json.loads(json.dumps(found.to_json()))["python"] == platform.python_version()
    assert found.packages["numpy"] is not None
    assert len(found.wheels) == 1
    assert "cpu" in found.providers


def test_working_providers_are_timed():
    found = examine()
    assert found.trial is not None
    assert {timing.provider for timing in found.trial.timings} == {
        name for name, state in found.providers.items() if state == "ok"
    }


def test_invalid_environment_variable_is_a_problem_not_an_error(monkeypatch):
    monkeypatch.setenv("DIGITS_EDGE_THREADS", "many")
    found = examine()
    assert found.threads is None
    assert [line for line in found.problems if "DIGITS_EDGE_THREADS" in line]


def test_threads_are_explained(monkeypatch):
    monkeypatch.setenv("DIGITS_EDGE_THREADS", "3")
    threads = examine().threads
    assert (threads.allowed, threads.environment) == (3, "3")
    assert threads.affinity >= 1


@pytest.mark.parametrize("form", ["mnist/train-images-idx3-ubyte", "mnist.npz"])
def test_data_is_found_in_the_folder_of_the_environment_variable(monkeypatch, tmp_path, form):
    (tmp_path / form).parent.mkdir(exist_ok=True)
    (tmp_path / form).touch()
    monkeypatch.setenv("DIGITS_EDGE_DATA", str(tmp_path))
    found = examine()
    assert found.data["mnist"] == str(tmp_path)
    assert not [line for line in found.missing if line.startswith("mnist")]


def test_missing_data_is_listed_with_the_command_to_add_it(monkeypatch, tmp_path):
    monkeypatch.setenv("DIGITS_EDGE_DATA", str(tmp_path))
    monkeypatch.setenv("DIGITS_EDGE_CACHE", str(tmp_path))
    assert [line for line in examine().missing if line.startswith("mnist: download it with `digits-edge")]


@pytest.fixture
def accelerator(monkeypatch):
    """A machine with an installed provider that cannot be opened."""

    def opened(model, provider, *arguments, **options):
        if provider == "webgpu":
            raise ProviderError("the model could not be opened by provider webgpu: Failed to get a WebGPU adapter")
        return open_session(model, provider, *arguments, **options)

    monkeypatch.setattr(doctor, "open_session", opened)
    monkeypatch.setattr(doctor, "available_providers", lambda: ["webgpu", "cpu"])


def test_provider_that_cannot_be_opened_is_a_finding_and_no_problem(accelerator):
    found = examine()
    assert (found.providers["cpu"], found.problems) == (OK, ())
    assert found.providers["webgpu"].endswith("Failed to get a WebGPU adapter")
    assert [line for line in found.findings if line.startswith("provider webgpu is skipped by auto: ")]


def test_installation_without_plug_ins_has_no_devices(monkeypatch):
    monkeypatch.setattr(doctor, "plugin_devices", lambda ort: {})
    assert examine().devices == {}


def test_default_model_that_no_provider_can_open_is_a_problem(monkeypatch):
    def refused(model, provider, *arguments, **options):
        raise ProviderError(f"provider {provider} was not bound")

    monkeypatch.setattr(doctor, "open_session", refused)
    found = examine()
    assert found.trial is None
    assert found.problems == ("no provider can open the default model: provider cpu was not bound",)
    assert found.providers["cpu"] == "provider cpu was not bound"
