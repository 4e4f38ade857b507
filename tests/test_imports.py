"""Lightweight modules import no heavy libraries, and the layers of the package are respected."""

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TRAINING_SIDE = {"tensorflow", "keras", "onnx", "onnx_ir", "tf2onnx", "matplotlib", "pandas", "jax", "torch"}


def imported_by(*modules: str) -> dict[str, set[str]]:
    """Import modules of digits_edge one after another in a new Python process.

    Returns:
        For each module, the top-level modules that its import adds; for "", those of the interpreter.
    """
    program = (
        "import json, sys\n"
        "from importlib import import_module\n"
        "loaded = [('', list(sys.modules))]\n"
        "for name in sys.argv[1:]:\n"
        "    import_module(f'digits_edge.{name}')\n"
        "    loaded.append((name, list(sys.modules)))\n"
        "print(json.dumps(loaded))"
    )
    done = subprocess.run([sys.executable, "-c", program, *modules], capture_output=True, text=True, check=True)
    found, earlier = {}, set()
    for module, names in json.loads(done.stdout.splitlines()[-1]):
        found[module] = {name.partition(".")[0] for name in names} - earlier
        earlier |= found[module]
    return found


def forbidden_imports(modules: list[str], forbidden: set[str]) -> dict[str, set[str]]:
    """Modules of digits_edge whose import loads forbidden libraries, and these libraries."""
    return {module: found & forbidden for module, found in imported_by(*modules).items() if found & forbidden}


@pytest.mark.parametrize("module", ["runtime", "runtime.errors"])
def test_runtime_and_its_errors_import_only_the_standard_library(module):
    assert imported_by(module)[module] - sys.stdlib_module_names == {"digits_edge"}


def test_modules_without_arrays_do_not_import_numpy():
    modules = ["session.threads", "files", "session.library", "model.bundled", "model.model_file"]
    forbidden = {"numpy", "onnxruntime", "PIL", *TRAINING_SIDE}
    assert forbidden_imports([f"runtime.{module}" for module in modules], forbidden) == {}


def test_runtime_imports_no_training_libraries():
    modules = ["classifier", "checks.verify", "checks.latency", "checks.doctor", "batch.table", "datasets.loading"]
    assert forbidden_imports([f"runtime.{module}" for module in modules], {"onnxruntime", *TRAINING_SIDE}) == {}


def test_classifier_does_not_import_pillow():
    assert forbidden_imports(["runtime.classifier"], {"PIL"}) == {}


def test_tables_import_no_other_data_sets():
    """Only what a table needs: `batch-predict` would start 40 ms later."""
    program = "import sys, digits_edge.runtime.batch.table; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    datasets = {name.split(".")[3] for name in done.stdout.split() if name.startswith("digits_edge.runtime.datasets.")}
    assert datasets == {"dataset", "opening", "tables"}


def test_reports_and_graph_tools_do_not_import_keras():
    pytest.importorskip("sklearn", reason="needs the extra [train]")
    pytest.importorskip("onnx", reason="needs the extra [export]")
    modules = [
        "train.evaluation.evaluation",
        "train.data.report",
        "train.report.evaluation_page",
        "export.graph.nodes",
    ]
    assert forbidden_imports(modules, {"keras", "tensorflow", "tf2onnx"}) == {}


@pytest.mark.parametrize("package", ["train", "export", "runtime.datasets"])
def test_all_lazy_names_exist(package):
    pytest.importorskip("keras_tuner", reason="needs the extra [train]")
    pytest.importorskip("tf2onnx", reason="needs the extra [export]")
    module = import_module(f"digits_edge.{package}")
    assert all(hasattr(module, name) for name in module.__all__)
    assert not hasattr(module, "nothing")


def test_all_public_names_exist():
    import digits_edge.runtime as runtime

    for name in runtime.__all__:
        assert getattr(runtime, name).__module__.startswith("digits_edge.runtime.")
    assert set(runtime.__all__) <= set(dir(runtime))
    assert not hasattr(runtime, "Clasifier")


def test_import_contracts_hold():
    importlinter = pytest.importorskip("importlinter.cli")
    assert importlinter.lint_imports(config_filename=str(ROOT / "pyproject.toml"), cache_dir=None) == 0


@pytest.mark.skipif(sys.platform == "win32", reason="HOME is not the home folder on Windows")
@pytest.mark.parametrize("module", ["digits_edge.export.precision.quantize", "digits_edge.export.targets.ort"])
def test_onnxruntime_writes_nothing_to_the_home_folder(module, tmp_path):
    pytest.importorskip("onnx_ir", reason="needs the extra [export]")
    environment = {**os.environ, "HOME": str(tmp_path), "XDG_CACHE_HOME": ""}
    environment.pop("ORT_DISABLE_TELEMETRY", None)
    program = f"import {module}, onnxruntime; onnxruntime.InferenceSession"
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)
    assert not [path for path in tmp_path.rglob("*") if "onnxruntime" in path.name.lower()]
