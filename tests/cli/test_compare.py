"""`digits-edge compare`: ONNX and Keras models, and studies."""

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from .conftest import copy_with_rule

pytestmark = pytest.mark.skipif(find_spec("tf2onnx") is None, reason="needs the extras [train] and [export]")


@pytest.fixture
def short(monkeypatch):
    """One short round, because latencies are not tested."""
    monkeypatch.setattr("digits_edge.train.evaluation.comparison._ROUNDS", 1)
    monkeypatch.setattr("digits_edge.train.evaluation.comparison._SECONDS", 0.0)


@pytest.fixture
def a_run(tmp_path) -> Path:
    """A run folder with an untrained model and a training record."""
    from digits_edge.train import build

    folder = tmp_path / "runs" / "mine"
    folder.mkdir(parents=True)
    build("perceptron").save(folder / "model.keras")
    about = {
        "recipe": {"model": "perceptron"},
        "data": {"name": "drawn", "classes": list("0123456789"), "input_scale": 1},
        "result": {"epochs": 7, "seconds": 12.5},
    }
    (folder / "recipe.json").write_text(json.dumps(about))
    return folder


def test_onnx_and_keras_models_are_compared(run, drawn, model, a_run, short):
    named = "cnn-small-int8"
    result = run("compare", named, model, a_run, a_run / "model.keras", "--input-scale", "1", "--data", drawn, "--json")
    assert result.code == 0, result.stderr
    bundled, same_as_default, keras_run, keras_file = result.objects
    assert [row["engine"] for row in result.objects] == ["onnx", "onnx", "keras", "keras"]
    assert [row["images"] for row in result.objects] == [100] * 4
    assert (bundled["name"], bundled["precision"], bundled["parameters"]) == (named, "int8", 50_186)
    assert same_as_default["bytes"] == model.stat().st_size
    assert (keras_run["name"], keras_file["name"]) == ("mine", "model.keras")
    assert (keras_run["architecture"], keras_file["architecture"]) == ("perceptron", None)
    assert (keras_run["precision"], keras_run["parameters"]) == ("fp32", 7_850)
    assert (keras_run["training_epochs"], keras_run["training_seconds"]) == (7, 12.5)
    assert keras_file["training_epochs"] is None and bundled["training_seconds"] is None
    assert keras_run["errors"] == keras_file["errors"] > bundled["errors"]
    assert keras_run["difference_to_best"]["is_more_than_chance"]
    assert [row["difference_to_best"] for row in result.objects].count(None) == 1
    assert all(row["latency_us"] > 0 and row["images_per_second"] > 0 for row in result.objects)


def test_errors_equal_those_of_evaluate(run, drawn, short):
    [compared] = run("compare", "cnn-small-int8", "--data", drawn, "--json").objects
    [evaluated] = run("evaluate", "cnn-small-int8", "--data", drawn, "--json").objects
    assert (compared["errors"], compared["interval"]) == (evaluated["errors"], evaluated["interval"])


def test_models_are_not_compared_on_training_images(run, drawn, short, tmp_path):
    from digits_edge.runtime.datasets import load
    from digits_edge.train import named_recipe, train

    archive = np.load(drawn)
    np.savez("own.npz", images=archive["x_train"], labels=archive["y_train"])
    train(named_recipe("best", "perceptron", epochs=1, validation="kaggle"), load("own.npz"), tmp_path / "kaggle")
    copy_with_rule(tmp_path / "kaggle", tmp_path / "tenth", "tenth")
    arguments = ("compare", "cnn-small-int8", "tenth", "--data", "own.npz")
    result = run(*arguments)
    assert (result.code, result.stdout) == (2, "")
    assert "tenth was trained on own" in result.error
    assert "cnn-small-int8 was not trained on own" in run(*arguments, "--split", "validation").error
    [row] = run("compare", "kaggle", "--data", "own.npz", "--json").objects
    assert (row["split"], row["images"]) == ("held-back", 10)
    assert "trained on different data (mnist, own); choose one with --data" in run(*arguments[:3]).error


def test_table_and_page_are_written_and_the_page_is_not_overwritten(run, drawn, short, tmp_path):
    result = run("compare", "cnn-small-int8", "cnn-small-fp32", "--data", drawn, "-o", "page.html")
    assert result.code == 0, result.stderr
    head, *rows = result.stdout.splitlines()
    assert head.split()[:3] == ["model", "kind", "errors"] and len(rows) == 2
    page = (tmp_path / "page.html").read_text()
    assert "cnn-small-fp32" in page and "<img" in page
    refused = run("compare", "cnn-small-int8", "--data", drawn, "-o", "page.html")
    assert (refused.code, refused.error) == (2, "page.html already exists; replace it with --overwrite")


def test_either_models_or_a_study_must_be_given(run):
    for arguments in ((), ("cnn-small-int8", "--study", "dropout")):
        result = run("compare", *arguments)
        assert result.code == 2
        assert "either the models to compare or a study" in result.error


@pytest.mark.parametrize(
    ("arguments", "option"),
    [(("cnn-small-int8", "--epochs", "3"), "--epochs"), (("--study", "depth", "--batch-size", "8"), "--batch-size")],
)
def test_option_without_effect_is_refused(run, arguments, option):
    result = run("compare", *arguments)
    assert result.code == 2
    assert result.error.startswith(f"{option} applies only with")


def test_error_of_unknown_study_and_help_list_the_studies(run, tmp_path):
    from digits_edge.train.search.studies import study_names

    result = run("compare", "--study", "colour")
    assert result.code == 2
    assert result.error == f"unknown study 'colour'. Available: {', '.join(study_names())}"
    assert list(tmp_path.iterdir()) == []
    text = " ".join(run("compare", "--help").stdout.split())
    assert all(name in text for name in study_names())


def test_study_is_trained_once(run, drawn, tmp_path):
    arguments = ("compare", "--study", "epochs", "--epochs", "2", "--seeds", "1", "--data", drawn)
    first = run(*arguments, "--json", "-o", "page.html")
    assert first.code == 0, first.stderr
    assert [(row["study"], row["label"], row["validation_images"]) for row in first.objects] == [
        ("epochs", "1", 40),
        ("epochs", "2", 40),
    ]
    assert {path.name for path in (tmp_path / "runs/studies/epochs").iterdir()} == {"2-epochs-seed-0"}
    assert "Epochs and accuracy" in (tmp_path / "page.html").read_text()
    assert run(*arguments, "--json").objects == first.objects


def test_error_names_a_missing_model(run, drawn):
    result = run("compare", "nine-int8", "--data", drawn)
    assert result.code == 3
    assert result.error.startswith("unknown model 'nine-int8'")
