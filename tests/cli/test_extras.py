"""Missing extras are named by the extra and its install command, not by a package that the extra brings."""

import json
from pathlib import Path

import numpy as np
import pytest

from digits_edge.cli.extras import missing_module
from digits_edge.runtime import packages

from .partial_installation import installation

ROOT = Path(__file__).parents[2]
DRAWN, KERAS = "drawn.npz", str(ROOT / "model_sources" / "cnn-small")
#: The packages that predictions on a CPU need.
SMALLEST = ("numpy", "pillow", "click", "platformdirs", "onnxruntime", "flatbuffers", "protobuf", "packaging")


@pytest.mark.parametrize(
    ("arguments", "absent", "extra"),
    [
        (["serve"], "offapi", "serve"),
        pytest.param(["serve"], "starlette", "serve", marks=pytest.mark.slow),
        pytest.param(["serve"], "prometheus-client", "serve", marks=pytest.mark.slow),
        (["train", "cnn-small", "--data", "none.npz"], "pydantic", "train"),
        (["train", "cnn-small", "--data", DRAWN, "--epochs", "1"], "keras", "train"),
        (["tune", "cnn-small", "--data", "none.npz"], "keras-tuner", "train"),
        (["report", DRAWN], "jinja2", "train"),
        (["export", KERAS, "-o", "m.onnx"], "onnx-ir", "export"),
        pytest.param(
            ["export", KERAS, "-o", "m.onnx", "--precision", "fp32"], "tf2onnx", "export", marks=pytest.mark.slow
        ),
        (["verify", "edge-int8", "--keras", "none"], "keras", "export"),
    ],
)
def test_missing_package_is_reported_as_the_missing_extra(tmp_path, images, arguments, absent, extra):
    np.savez(tmp_path / DRAWN, x_train=images, y_train=range(10), x_test=images, y_test=range(10))
    done = installation(tmp_path, without=(absent,))(*arguments)
    assert done.stderr == f"error: {arguments[0]} needs the extra \"{extra}\": pip install 'digits-edge[{extra}]'\n"
    assert done.returncode == 2


@pytest.mark.parametrize(
    ("arguments", "needed"),
    [
        (["serve"], "serve"),
        (["batch-predict", "a.csv", "-o", "out", "--engine", "ray"], "ray"),
        (["compare", "a.onnx", "b.onnx"], "train"),
        (["evaluate", "edge-int8"], "train"),
        (["compare", "--study", "dropout", "-o", "s"], "train"),
    ],
)
def test_installation_for_predictions_names_the_extra_of_each_other_command(tmp_path, arguments, needed):
    done = installation(tmp_path, only=SMALLEST)(*arguments)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert done.stderr.startswith(f'error: {arguments[0]} needs the extra "{needed}": pip install ')


def test_two_missing_extras_are_one_command(tmp_path):
    done = installation(tmp_path, only=tuple(name for name in SMALLEST if name != "onnxruntime"))("serve")
    assert done.stderr == ('error: serve needs the extras "cpu" and "serve": pip install \'digits-edge[cpu,serve]\'\n')


def test_doctor_lists_extras_and_not_their_packages(tmp_path):
    run = installation(tmp_path, only=SMALLEST)
    done = run("doctor")
    assert done.returncode == 0, done.stderr
    assert "\nextras     cpu\n" in done.stdout
    missing = [line for line in done.stdout.splitlines() if line.startswith("missing")]
    assert "missing    extra \"serve\" (run the HTTP service): pip install 'digits-edge[serve]'" in missing
    assert not [line for line in missing if any(name in line for name in ("tf2onnx", "pyarrow", "offapi", "pydantic"))]
    extras = json.loads(run("doctor", "--json").stdout)["extras"]
    assert {extra for extra, is_installed in extras.items() if is_installed} == {"cpu"}
    assert set(extras) == set(packages.EXTRAS)


def test_every_extra_for_users_is_one_of_the_distribution():
    assert all(packages.requirements(extra) for extra in packages.EXTRAS)


def test_every_package_of_an_extra_is_found_by_the_module_it_brings():
    for module, extra in {
        "tf2onnx": "export",
        "prometheus_client": "serve",
        "keras_tuner": "train",
        "ray": "ray",
    }.items():
        assert packages.extra_of_module(module) == extra


def test_old_package_is_named_with_the_version_that_the_extra_needs(monkeypatch):
    monkeypatch.setattr(packages, "versions_of", lambda names: {name: "0.1" for name in names})
    assert packages.missing_packages("parquet") == ["pyarrow 18 or later (installed: 0.1)"]


def test_onnxruntime_for_gpus_satisfies_the_extra_cpu(monkeypatch):
    monkeypatch.setattr(packages, "versions_of", lambda names: {n: "1.30" for n in names if n == "onnxruntime-gpu"})
    assert packages.missing_packages("cpu") == []


def test_import_outside_the_declared_extras_is_reported_too(monkeypatch):
    monkeypatch.setattr(packages, "versions_of", lambda names: {})
    error = missing_module(ModuleNotFoundError(name="pyarrow.parquet"), subject="serve")
    assert str(error) == "serve needs the extra \"parquet\": pip install 'digits-edge[parquet]'"
    assert missing_module(ModuleNotFoundError(name="digits_edge.runtime.none")) is None


def test_package_that_is_damaged_is_repaired_by_reinstalling():
    error = missing_module(ModuleNotFoundError(name="starlette.none"), ("serve",))
    assert str(error).endswith(
        "could not import starlette.none; repair it with: pip install --force-reinstall 'digits-edge[serve]'"
    )
