"""Plug-in providers: every installed package of the right form is found, listed, tried, bound or refused."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from digits_edge.runtime import Classifier, ProviderError, UsageError
from digits_edge.runtime.checks.doctor import OK, examine
from digits_edge.runtime.classifier import FEW_IMAGES
from digits_edge.runtime.session import library, plugins
from digits_edge.runtime.session.plugins import (
    PlugIn,
    installed_plugins,
    installed_versions,
    plugin_modules,
    plugin_versions,
    register,
)
from digits_edge.runtime.session.provider_names import available_providers, full_name, parse_provider
from digits_edge.runtime.session.providers import open_session
from digits_edge.runtime.session.trial import clear_trials

USUAL = """
def get_library_path():
    return __file__

def get_ep_name():
    return "FakeExecutionProvider"
"""
SEVERAL = (
    "get_library_path = lambda: __file__\nget_ep_names = lambda: ['FakeExecutionProvider', 'Fake2ExecutionProvider']"
)
OTHER_SPELLING = "library_path = lambda: __file__\nep_name = lambda: 'FakeExecutionProvider'"
BROKEN = {
    "cannot import name": "from os import no_such_name",
    "has no function get_library_path": "get_ep_name = lambda: 'FakeExecutionProvider'",
    "has no function get_ep_names": "get_library_path = lambda: __file__",
    "no provider names": "get_library_path = lambda: __file__\nget_ep_names = lambda: []",
    "library is lost": "def get_library_path():\n    raise FileNotFoundError('library is lost')",
}


@pytest.fixture
def install(tmp_path, monkeypatch):
    """A function that installs a package onnxruntime_ep_fake with a given module."""
    site = tmp_path / "site"

    def install_here(source: str, *, module: str = "onnxruntime_ep_fake", distribution: str = "") -> Path:
        (site / module).mkdir(parents=True)
        (site / module / "__init__.py").write_text(source)
        name = distribution or module
        (site / f"{name}-1.2.dist-info").mkdir()
        (site / f"{name}-1.2.dist-info" / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
        monkeypatch.syspath_prepend(str(site))
        monkeypatch.delitem(sys.modules, module, raising=False)
        return site / module

    clear_trials()
    yield install_here
    for name in [name for name in sys.modules if name.startswith("onnxruntime_ep_fake")]:
        del sys.modules[name]
    clear_trials()


@pytest.mark.parametrize("source", [USUAL, SEVERAL, OTHER_SPELLING])
def test_installed_package_is_found_and_listed(install, source):
    assert "fake" not in available_providers()
    folder = install(source)
    assert plugin_modules()["onnxruntime_ep_fake"] == folder
    plugin = installed_plugins()[0]["FakeExecutionProvider"]
    assert (plugin.module, Path(plugin.library).parent) == ("onnxruntime_ep_fake", folder)
    assert "fake" in available_providers() and ("fake2" in available_providers()) == (source == SEVERAL)
    assert full_name("FAKE") == "FakeExecutionProvider"
    assert parse_provider("fake:GPU.1").name == "fake:gpu.1"


def test_package_is_not_imported_to_use_the_cpu(install):
    install("raise SystemExit('imported')")
    assert open_session(Path(library.__file__).parents[1].joinpath("models/edge-fp32.onnx").read_bytes(), "cpu")


def test_library_that_does_not_load_is_refused_with_the_reason(install, model_path):
    install(USUAL)
    for _ in range(2):  # it is not remembered as registered
        with pytest.raises(ProviderError, match=r"cannot load onnxruntime-ep-fake 1\.2: ") as caught:
            Classifier(model_path, provider="fake")
    assert caught.value.exit_code == 3 and "\n" not in str(caught.value)
    assert "update both with `pip install --upgrade onnxruntime onnxruntime-ep-fake`" in str(caught.value)


def test_auto_skips_a_plug_in_that_does_not_load_and_doctor_names_the_reason(install):
    install(USUAL)
    with Classifier("edge-fp32", images=FEW_IMAGES) as classifier:
        assert classifier.provider != "fake"
    found = examine()
    assert found.providers["cpu"] == OK and "cannot load onnxruntime-ep-fake 1.2" in found.providers["fake"]
    assert [line for line in found.findings if line.startswith("provider fake is skipped by auto: onnxruntime ")]
    assert found.problems == ()


@pytest.mark.parametrize("reason", BROKEN)
def test_package_that_is_no_plug_in_is_a_finding_and_not_a_provider(install, model_path, reason):
    install(BROKEN[reason])
    plugins_found, unusable = installed_plugins()
    assert "FakeExecutionProvider" not in plugins_found and "fake" not in available_providers()
    assert reason in unusable["onnxruntime_ep_fake"]
    assert "pip install --force-reinstall onnxruntime-ep-fake" in unusable["onnxruntime_ep_fake"]
    assert [line for line in examine().findings if reason in line]
    with pytest.raises(UsageError, match="unknown provider 'fake'"):
        Classifier(model_path, provider="fake")


def test_known_provider_with_a_broken_package_is_refused_with_the_reason_of_the_package(install, model_path):
    if "webgpu" in available_providers():
        pytest.skip("this installation has WebGPU")
    install("raise OSError('its files are lost')", module="onnxruntime_ep_webgpu")
    with pytest.raises(ProviderError, match="its files are lost"):
        Classifier(model_path, provider="webgpu")


def test_missing_provider_names_the_extra(model_path):
    if "webgpu" in available_providers():
        pytest.skip("this installation has WebGPU")
    with pytest.raises(ProviderError, match=r"pip install 'digits-edge\[webgpu\]'"):
        Classifier(model_path, provider="webgpu")


def test_versions_are_those_of_the_distribution(install):
    before = installed_versions()
    install(USUAL, distribution="onnxruntime_ep_fake_cu13")
    assert plugin_versions("FakeExecutionProvider") == {"onnxruntime-ep-fake-cu13": "1.2"}
    assert installed_versions() == before | {"onnxruntime-ep-fake-cu13": "1.2"}
    assert plugin_versions("CPUExecutionProvider") == {}


class Runtime:
    """Replacement of onnxruntime: records registrations, and lists the devices of registered libraries."""

    __version__ = "1.99"

    def __init__(self, *kinds: str, error: str | None = None, virtual: bool = False) -> None:
        self.kinds, self.error, self.virtual = kinds, error, virtual
        self.names: list[str] = []
        self.libraries: list[str] = []

    def register_execution_provider_library(self, name: str, path: str) -> None:
        if self.error:
            raise RuntimeError(self.error)
        self.names.append(name)
        self.libraries.append(path)

    def get_ep_devices(self) -> list:
        hardware = {"is_virtual": "1"} if self.virtual else {}
        return [
            SimpleNamespace(
                ep_name="FakeExecutionProvider",
                ep_metadata={"library_path": path},
                device=SimpleNamespace(type=SimpleNamespace(name=kind), metadata=hardware, vendor=""),
            )
            for path in self.libraries
            for kind in self.kinds
        ]


@pytest.fixture
def plugin(monkeypatch) -> PlugIn:
    monkeypatch.setattr(plugins, "_registered", set())
    return PlugIn("onnxruntime_ep_fake", ("FakeExecutionProvider",), "/site/onnxruntime_ep_fake/lib.so")


def test_plug_in_is_registered_once(plugin):
    ort = Runtime()  # without a device, so that the list of devices does not show it
    register(ort, plugin)
    register(ort, plugin)
    assert ort.libraries == [plugin.library]
    assert not ort.names[0].endswith(".virtual")  # onnxruntime would list devices that run nothing


def test_library_that_the_program_registered_is_not_registered_again(plugin):
    ort = Runtime("GPU")
    ort.register_execution_provider_library("own", plugin.library)
    register(ort, plugin)
    assert ort.names == ["own"]


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (
            "Failed to load library /a/lib.so with error: libcuda.so.1: cannot open shared object file: No such file",
            "libcuda.so.1 is missing; install the driver or package that contains it",
        ),
        (
            "dlopen(/a/lib.dylib): Library not loaded: @rpath/libmlx.dylib",
            "@rpath/libmlx.dylib is missing; install the driver or package that contains it",
        ),
        (
            "/site/onnxruntime_ep_fake/lib.so: cannot open shared object file: No such file or directory",
            "update both with `pip install --upgrade ",
        ),
        ("EP needs API version 31", "EP needs API version 31; update both with `pip install --upgrade "),
    ],
)
def test_remedy_fits_the_reason(plugin, reason, expected):
    with pytest.raises(ProviderError) as caught:
        register(Runtime(error=reason), plugin)
    assert str(caught.value).startswith("onnxruntime 1.99 cannot load onnxruntime-ep-fake: ")
    assert expected in str(caught.value)


def test_plug_in_of_qualcomm_does_not_clash_with_onnxruntime(monkeypatch):
    versions = {"onnxruntime": "1.32.0", "onnxruntime-qnn": "2.7.0"}
    monkeypatch.setattr(library, "versions_of", lambda names: versions)
    assert library.installed_wheels() == {"onnxruntime": "1.32.0"}
    versions["onnxruntime-qnn"] = "1.24.4"
    assert len(library.installed_wheels()) == 2


def test_devices_of_a_real_plug_in_are_listed_once_if_the_program_registered_it_too():
    plugins_found = installed_plugins()[0]
    if not plugins_found:
        pytest.skip("no plug-in is installed")
    program = (
        "import onnxruntime as ort\n"
        "from digits_edge.runtime.session.plugins import installed_plugins, register\n"
        "for plugin in installed_plugins()[0].values():\n"
        "    try:\n"
        "        ort.register_execution_provider_library('own', plugin.library)\n"
        "    except Exception:\n"
        "        continue\n"
        "    before = len(ort.get_ep_devices())\n"
        "    if before > 1:\n"
        "        register(ort, plugin)\n"
        "        assert len(ort.get_ep_devices()) == before\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_plug_in_is_registered_although_standard_error_is_closed():
    program = (
        "import os\n"
        "from types import SimpleNamespace\n"
        "from digits_edge.runtime.session.plugins import PlugIn, register\n"
        "os.close(2)\n"
        "names = []\n"
        "ort = SimpleNamespace(register_execution_provider_library=lambda name, path: names.append(name))\n"
        "register(ort, PlugIn('onnxruntime_ep_fake', ('FakeExecutionProvider',), 'lib.so'))\n"
        "print(names)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout == "['digits_edge.onnxruntime_ep_fake']\n"
