"""`digits-edge compare`: models of both kinds side by side, and the studies."""

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from digits_edge.runtime.datasets.synthetic_digits import draw_image

pytestmark = pytest.mark.skipif(find_spec("tf2onnx") is None, reason="needs the extras [train] and [export]")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> Path:
    """300 drawn digits as an .npz with both splits."""
    rng = np.random.default_rng(12)
    labels = (np.arange(300) % 10).astype(np.uint8)
    images = np.stack([draw_image(int(label), rng) for label in labels])
    path = tmp_path_factory.mktemp("data") / "drawn.npz"
    np.savez(path, x_train=images[:200], y_train=labels[:200], x_test=images[200:], y_test=labels[200:])
    return path


@pytest.fixture
def quick(monkeypatch):
    """One turn; figures are not what is tested."""
    monkeypatch.setattr("digits_edge.train.evaluation.comparison._TURNS", 1)
    monkeypatch.setattr("digits_edge.train.evaluation.comparison._SECONDS", 0.0)


@pytest.fixture
def a_run(tmp_path) -> Path:
    """A run folder with a model as Keras builds it, and the record of a training."""
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


def test_models_of_every_kind_stand_side_by_side(run, drawn, model, a_run, quick):
    named = "cnn-small-int8"
    answer = run("compare", named, model, a_run, a_run / "model.keras", "--input-scale", "1", "--data", drawn, "--json")
    assert answer.code == 0, answer.stderr
    bundled, same_as_default, keras_run, keras_file = answer.objects
    assert [row["engine"] for row in answer.objects] == ["onnx", "onnx", "keras", "keras"]
    assert [row["images"] for row in answer.objects] == [100] * 4
    assert (bundled["name"], bundled["precision"], bundled["parameters"]) == (named, "int8", 50_186)
    assert same_as_default["bytes"] == model.stat().st_size
    assert (keras_run["name"], keras_file["name"]) == ("mine", "model.keras")
    assert (keras_run["architecture"], keras_file["architecture"]) == ("perceptron", None)
    assert (keras_run["precision"], keras_run["parameters"]) == ("fp32", 7_850)
    assert (keras_run["training_epochs"], keras_run["training_seconds"]) == (7, 12.5)
    assert keras_file["training_epochs"] is None and bundled["training_seconds"] is None
    assert keras_run["errors"] == keras_file["errors"] > bundled["errors"]
    assert keras_run["difference_to_best"]["is_more_than_chance"]
    assert [row["difference_to_best"] for row in answer.objects].count(None) == 1
    assert all(row["latency_us"] > 0 and row["images_per_second"] > 0 for row in answer.objects)


def test_errors_are_those_that_evaluate_counts(run, drawn, quick):
    [compared] = run("compare", "cnn-small-int8", "--data", drawn, "--json").objects
    [evaluated] = run("evaluate", "cnn-small-int8", "--data", drawn, "--json").objects
    assert (compared["errors"], compared["interval"]) == (evaluated["errors"], evaluated["interval"])


def test_models_are_not_compared_on_what_one_of_them_learnt(run, drawn, quick, tmp_path):
    from digits_edge.runtime.datasets import load
    from digits_edge.train import named_recipe, train

    archive = np.load(drawn)
    np.savez("own.npz", images=archive["x_train"], labels=archive["y_train"])
    for rule in ("kaggle", "tenth"):
        train(named_recipe("best", "perceptron", epochs=1, validation=rule), load("own.npz"), tmp_path / rule)
    arguments = ("compare", "cnn-small-int8", "tenth", "--data", "own.npz")
    answer = run(*arguments)
    assert (answer.code, answer.stdout) == (2, "")
    assert "own is what tenth was trained on" in answer.complaint
    assert "cnn-small-int8 was not trained on own" in run(*arguments, "--split", "validation").complaint
    [row] = run("compare", "kaggle", "--data", "own.npz", "--json").objects
    assert (row["split"], row["images"]) == ("held-back", 10)
    assert "trained on different data (mnist, own); name one with --data" in run(*arguments[:3]).complaint


def test_a_table_and_a_page_are_written_and_the_page_is_not_overwritten_unasked(run, drawn, quick, tmp_path):
    answer = run("compare", "cnn-small-int8", "cnn-small-fp32", "--data", drawn, "-o", "page.html")
    assert answer.code == 0, answer.stderr
    head, *rows = answer.stdout.splitlines()
    assert head.split()[:3] == ["model", "kind", "errors"] and len(rows) == 2
    page = (tmp_path / "page.html").read_text()
    assert "cnn-small-fp32" in page and "<img" in page
    refused = run("compare", "cnn-small-int8", "--data", drawn, "-o", "page.html")
    assert (refused.code, refused.complaint) == (2, "page.html exists already; --overwrite replaces it")


def test_models_or_a_study_must_be_named_and_not_both(run):
    for arguments in ((), ("cnn-small-int8", "--study", "dropout")):
        answer = run("compare", *arguments)
        assert answer.code == 2
        assert "either the models to compare, or a study" in answer.complaint


@pytest.mark.parametrize(
    ("arguments", "option"),
    [(("cnn-small-int8", "--epochs", "3"), "--epochs"), (("--study", "depth", "--batch-size", "8"), "--batch-size")],
)
def test_an_option_that_would_change_nothing_is_refused(run, arguments, option):
    answer = run("compare", *arguments)
    assert answer.code == 2
    assert answer.complaint.startswith(f"{option} holds only with")


def test_an_unknown_study_is_answered_with_those_there_are_and_the_help_names_them(run, tmp_path):
    from digits_edge.train.search.studies import study_names

    answer = run("compare", "--study", "colour")
    assert answer.code == 2
    assert answer.complaint == f"no study is called 'colour'. There are: {', '.join(study_names())}"
    assert list(tmp_path.iterdir()) == []
    text = " ".join(run("compare", "--help").stdout.split())
    assert all(name in text for name in study_names())


def test_a_study_is_trained_and_found_again(run, drawn, tmp_path):
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


def test_a_missing_model_is_named(run, drawn):
    answer = run("compare", "nine-int8", "--data", drawn)
    assert answer.code == 3
    assert answer.complaint.startswith("there is no model 'nine-int8'")
