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


def imported_by(statement: str) -> set[str]:
    """Top-level modules loaded by a new Python process after a statement."""
    program = f"import json, sys\n{statement}\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}


@pytest.mark.parametrize("module", ["digits_edge.runtime", "digits_edge.runtime.errors"])
def test_runtime_and_its_errors_import_only_the_standard_library(module):
    assert imported_by(f"import {module}") - imported_by("pass") - sys.stdlib_module_names == {"digits_edge"}


@pytest.mark.parametrize("module", ["session.threads", "files", "session.library", "model.bundled", "model.model_file"])
def test_modules_without_arrays_do_not_import_numpy(module):
    assert not imported_by(f"import digits_edge.runtime.{module}") & {"numpy", "onnxruntime", "PIL", *TRAINING_SIDE}


@pytest.mark.parametrize(
    "module", ["classifier", "checks.verify", "checks.latency", "checks.doctor", "batch.table", "datasets"]
)
def test_runtime_imports_no_training_libraries(module):
    assert not imported_by(f"import digits_edge.runtime.{module}") & {"onnxruntime", *TRAINING_SIDE}


def test_classifier_does_not_import_pillow():
    assert "PIL" not in imported_by("import digits_edge.runtime.classifier")


@pytest.mark.parametrize(
    "module", ["train.evaluation.evaluation", "train.data.report", "train.report.evaluation_page", "export.graph.nodes"]
)
def test_reports_and_graph_tools_do_not_import_keras(module):
    pytest.importorskip("sklearn", reason="needs the extra [train]")
    pytest.importorskip("onnx", reason="needs the extra [export]")
    assert not imported_by(f"import digits_edge.{module}") & {"keras", "tensorflow", "tf2onnx"}


@pytest.mark.parametrize("package", ["train", "export"])
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
