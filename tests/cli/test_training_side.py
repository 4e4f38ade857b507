"""Training, export, verification and evaluation with the commands that need Keras."""

import json
from importlib.util import find_spec

import pytest

pytestmark = pytest.mark.skipif(find_spec("tf2onnx") is None, reason="needs the extras [train] and [export]")


@pytest.mark.slow
def test_model_is_trained_exported_verified_and_evaluated(run, drawn, tmp_path):
    training = run("train", "cnn-small", "--data", drawn, "--epochs", "4", "--batch-size", "16", "-o", "run", "--json")
    assert training.code == 0, training.stderr
    [trained] = training.objects
    assert (trained["schema_version"], trained["run"], trained["epochs"]) == (1, "run", 4)
    assert training.stderr.startswith("epoch 1/4: loss ")
    assert {"model.keras", "history.csv", "recipe.json", "curves.png"} <= {
        path.name for path in (tmp_path / "run").iterdir()
    }

    trained_scale = json.loads((tmp_path / "run" / "recipe.json").read_text())["data"]["input_scale"]

    again = run("train", "cnn-small", "--data", drawn, "--epochs", "1", "-o", "run")
    assert again.code == 2
    assert again.error.startswith("run already holds a run; use --resume")

    exporting = run("export", "run", "-o", "m.onnx", "--precision", "fp32", "--data", drawn, "--json")
    assert (exporting.code, exporting.stderr) == (0, "")
    [exported] = exporting.objects
    assert (exported["schema_version"], exported["path"], exported["name"]) == (1, "m.onnx", "cnn-small-fp32")
    assert {"bytes", "precision", "temperature", "calibrated", "parity", "test", "float_layers"} <= set(exported)
    refused = run("export", "run", "-o", "m.onnx", "--data", drawn)
    assert (refused.code, refused.error) == (2, "m.onnx already exists; replace it with --overwrite")

    verifying = run("verify", "m.onnx", "--keras", "run", "--data", drawn, "--json")
    [verified] = verifying.objects
    assert (verifying.code, verifying.stderr, verified["holds"]) == (0, "", True)
    assert verified["parity"]["images"] == 20
    assert verified["accuracy"]["images"] == 100

    in_run = ("export", "run/model.keras", "-o", "n.onnx", "--precision", "fp32", "--data", drawn)
    wrong = run(*in_run, "--input-scale", str(256 - trained_scale))
    assert (wrong.code, wrong.error) == (
        2,
        f"run/model.keras was trained with input scale {trained_scale}, not {256 - trained_scale}; omit --input-scale",
    )
    assert not (tmp_path / "n.onnx").exists()
    assert run(*in_run, "--json").objects[0]["name"] == "cnn-small-fp32"
    verifying = run("verify", "n.onnx", "--keras", "run/model.keras", "--data", drawn, "--json")
    assert (verifying.code, verifying.stderr, verifying.objects[0]["holds"]) == (0, "", True)

    by_keras = run("evaluate", "run", "--data", drawn, "--json").objects[0]
    by_file = run("evaluate", "m.onnx", "--data", drawn, "--json").objects[0]
    assert (by_keras["provider"], by_file["provider"]) == ("keras", "cpu")
    assert by_keras["errors"] == by_file["errors"]


def test_source_that_is_not_a_keras_model_is_refused(run, tmp_path):
    (tmp_path / "text.keras").write_text("no model")
    for source in ("none.keras", "text.keras"):
        result = run("export", source, "-o", "m.onnx")
        assert (result.code, result.stdout) == (3, "")
        assert result.error.startswith(source)
    assert not (tmp_path / "m.onnx").exists()


def test_error_of_unknown_model_name_lists_the_available_ones(run, tmp_path):
    result = run("train", "transformer")
    assert result.code == 2
    assert "Available: perceptron, mlp, mlp-dropout, mlp-wide, cnn-small, cnn, resnet, kaggle-cnn" in result.error
    assert list(tmp_path.iterdir()) == []
