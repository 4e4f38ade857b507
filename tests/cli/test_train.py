"""`train`: recipes from files, folds, and CSVs that are streamed."""

import json
import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec

import numpy as np
import pytest

from digits_edge.runtime.datasets.synthetic_digits import draw_image

from .conftest import heed_interrupts

pytestmark = pytest.mark.skipif(find_spec("keras") is None, reason="needs the extra [train]")

QUICK = ("--epochs", "2", "--batch-size", "16", "--seed", "3")


def weights(path):
    import keras

    return [np.asarray(weight) for weight in keras.saving.load_model(path / "model.keras").get_weights()]


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """A Kaggle CSV of 168 drawn digits."""
    rng = np.random.default_rng(7)
    path = tmp_path_factory.mktemp("rows") / "train.csv"
    lines = [",".join(["label", *(f"pixel{i}" for i in range(784))])]
    for row in range(168):
        lines.append(",".join([str(row % 10), *map(str, draw_image(row % 10, rng).ravel())]))
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_recipe_file_alone_repeats_a_run(run, rows, tmp_path):
    assert run("train", "mlp", "--data", rows, "--validation", "fifth", "-o", "first", *QUICK).code == 0
    repeated = run("train", "--recipe", "first/recipe.json", "--data", rows, "-o", "second", "--json")
    assert repeated.code == 0, repeated.stderr
    first, second = (json.loads((tmp_path / name / "recipe.json").read_text()) for name in ("first", "second"))
    assert first["recipe"] == second["recipe"]
    for one, other in zip(weights(tmp_path / "first"), weights(tmp_path / "second"), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_recipe_file_on_other_data_says_so(run, rows, tmp_path):
    assert run("train", "perceptron", "--data", rows, "-o", "first", *QUICK).code == 0
    (tmp_path / "other.csv").write_text("".join(rows.read_text().splitlines(keepends=True)[:100]))
    answer = run("train", "--recipe", "first/recipe.json", "--data", "other.csv", "-o", "second")
    assert answer.code == 0
    assert "other is not the data of first/recipe.json (train, sha256 " in answer.stderr
    same = run("train", "--recipe", "first/recipe.json", "--data", rows, "-o", "third")
    assert "is not the data" not in same.stderr


def test_a_recipe_of_unnamed_data_asks_where_it_lies(run, rows):
    assert run("train", "perceptron", "--data", rows, "-o", "first", *QUICK).code == 0
    answer = run("train", "--recipe", "first/recipe.json", "-o", "second")
    assert (answer.code, "--data" in answer.complaint) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Name a model"),
        (("--recipe", "none.json"), "none.json holds no recipe"),
        (("cnn", "--recipe", "mlp.json"), "mlp.json is a recipe of mlp, not of cnn"),
        (("mlp", "--validation", "half"), "'half' parts no data"),
    ],
)
def test_what_cannot_be_trained_is_said(run, rows, tmp_path, arguments, said):
    recipe = {"model": "mlp", "epochs": 1, "batch_size": 8, "learning_rate": 0.1, "augmentation": {}}
    (tmp_path / "mlp.json").write_text(json.dumps({"recipe": recipe}))
    answer = run("train", *arguments, "--data", rows, "-o", "run")
    assert answer.code in (2, 4)
    assert said in answer.complaint
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_streamed_csv_gives_the_same_weights_and_leaves_nothing(run, rows, tmp_path):
    assert run("train", "kaggle-cnn", "--data", rows, "-o", "whole", *QUICK).code == 0
    streamed = run("train", "kaggle-cnn", "--data", rows, "-o", "streamed", "--stream", *QUICK)
    assert streamed.code == 0, streamed.stderr
    for one, other in zip(weights(tmp_path / "whole"), weights(tmp_path / "streamed"), strict=True):
        np.testing.assert_array_equal(one, other)
    assert {path.name for path in tmp_path.iterdir()} == {"whole", "streamed"}
    assert "--stream" not in streamed.stderr
    about = json.loads((tmp_path / "streamed/recipe.json").read_text())
    assert (about["data"]["validation"], about["data"]["input_scale"]) == ("kaggle", 255)


def test_streaming_what_is_no_csv_says_that_it_changes_nothing(run, tmp_path):
    rng = np.random.default_rng(0)
    labels = np.arange(80) % 10
    np.savez(tmp_path / "drawn.npz", x_train=np.stack([draw_image(label, rng) for label in labels]), y_train=labels)
    answer = run("train", "perceptron", "--data", "drawn.npz", "-o", "run", "--stream", *QUICK)
    assert answer.code == 0, answer.stderr
    assert "--stream changes nothing: drawn is no CSV" in answer.stderr


def test_a_student_can_do_without_its_teachers(run, tmp_path):
    rng = np.random.default_rng(0)
    labels = np.arange(80) % 10
    images = np.stack([draw_image(label, rng) for label in labels])
    np.savez(tmp_path / "fashion-mnist.npz", x_train=images, y_train=labels, x_test=images[:9], y_test=labels[:9])
    answer = run("train", "cnn-small", "--data", "./fashion-mnist.npz", "--no-distillation", "-o", "run", *QUICK)
    assert answer.code == 0, answer.stderr
    assert (tmp_path / "run/model.keras").exists() and not (tmp_path / "run/lesson").exists()
    refused = run("train", "mlp", "--data", "./fashion-mnist.npz", "--distillation-cache", "l", "-o", "other", *QUICK)
    assert refused.complaint.startswith("--distillation-cache holds only for a student, and mlp has no teachers.")


def test_folds_are_summed_up(run, rows, tmp_path):
    answer = run("train", "mlp", "--data", rows, "--folds", "2", "-o", "cv", "--json", *QUICK)
    assert answer.code == 0, answer.stderr
    [summary] = answer.objects
    assert (summary["folds"], summary["images"]) == (2, 168)
    assert answer.stderr.startswith("fold 1/2, epoch 1/2: loss ")
    told = run("train", "mlp", "--data", rows, "--folds", "2", "-o", "cv", "--resume", *QUICK)
    assert f"together {summary['errors']} errors of 168" in told.stdout


def test_a_run_goes_on_with_what_it_has_begun_with(run, rows, tmp_path):
    assert run("train", "mlp", "--data", rows, "--learning-rate", "0.02", "-o", "run", *QUICK).code == 0
    before = weights(tmp_path / "run")
    (tmp_path / "run/checkpoint.npz").unlink()  # nothing is done yet
    resumed = run("train", "--resume", "-o", "run", "--data", rows)
    assert resumed.code == 0, resumed.stderr
    for one, other in zip(before, weights(tmp_path / "run"), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_cross_validation_goes_on_with_what_it_has_begun_with(run, rows, tmp_path):
    begun = ("train", "mlp", "--data", rows, "--folds", "2", "-o", "cv")
    assert run(*begun, *QUICK).code == 0
    assert "cv holds a cross-validation already" in run(*begun, *QUICK).complaint
    (tmp_path / "cv/folds.json").unlink()
    answer = run(*begun, "--resume", "--json")
    assert answer.code == 0, answer.stderr
    assert json.loads((tmp_path / "cv/fold-2-of-2/recipe.json").read_text())["recipe"]["epochs"] == 2


def test_a_folder_without_a_run_is_said_to_be_one(run, rows):
    nothing = run("train", "--resume", "-o", "typo", "--data", rows)
    assert (nothing.code, nothing.complaint.split(";")[0]) == (2, "typo holds no run to resume")
    assert run("train", "mlp", "--data", rows, "-o", "run", *QUICK).code == 0
    other = run("train", "cnn", "--resume", "-o", "run", "--data", rows)
    assert "run/recipe.json is a recipe of mlp, not of cnn" in other.complaint
    begun = run("train", "mlp", "--resume", "-o", "new", "--data", rows, *QUICK)
    assert (begun.code, begun.stderr.splitlines()[0]) == (0, "new holds no run yet; one is begun")


def test_what_differs_from_a_run_is_named(run, rows):
    assert run("train", "mlp", "--data", rows, "-o", "run", *QUICK).code == 0
    changed = ("--epochs", "3", "--augmentation", "none")
    answer = run("train", "mlp", "--resume", "-o", "run", "--data", rows, *changed)
    assert answer.code == 2
    assert answer.complaint.startswith("run was begun with other settings (epochs: 2 there, 3 here; rotation_degrees: ")


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_an_interrupted_training_ends_at_once_and_goes_on(run, rows, tmp_path):
    command = [sys.executable, "-m", "digits_edge.cli", "train", "cnn-small", "--data", str(rows), "-o", "run"]

    command += ["--epochs", "20", "--batch-size", "16"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=heed_interrupts) as training:
        try:
            until = time.monotonic() + 120
            while not (tmp_path / "run/checkpoint.npz").exists() and time.monotonic() < until:
                assert training.poll() is None
                time.sleep(0.01)
            training.send_signal(signal.SIGINT)
            *_, last = training.communicate(timeout=60)[1].splitlines()
        finally:
            training.kill()
    assert training.returncode == 130
    assert last == "interrupted; run keeps all finished epochs, and the same command with --resume goes on"
    resumed = run("train", "--resume", "-o", "run", "--data", rows, "--json")
    assert (resumed.code, resumed.objects[0]["epochs"]) == (0, 20)
    assert not resumed.stderr.startswith("epoch 1/20")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "cnnsmall"], "no model is called 'cnnsmall'. Did you mean 'cnn-small'?"),
        (["train", "edge", "--recipe", "document"], "no document describes edge"),
        (["train", "mlp", "-o", "run"], "run holds a run already"),
        (["train", "mlp", "--data", "none"], "none: no such file"),
        (["compare", "--study", "droput"], "no study is called 'droput'. Did you mean 'dropout'?"),
        (["export", "m.onnx", "-o", "n.onnx"], "m.onnx is a model file already"),
        (["export", "folds", "-o", "n.onnx"], "folds holds a cross-validation; name one of its folds"),
        (["export", "none", "-o", "n.onnx"], "none: no such file or folder"),
    ],
)
def test_mistakes_are_said_before_keras_is_loaded(tmp_path, arguments, said):
    for folder in ("run", "folds/fold-1-of-2"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "recipe.json").write_text("{}")
    script = "import sys; from digits_edge.cli.main import run; print(run(sys.argv[1:]), 'keras' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True)
    assert done.stderr.startswith(f"error: {said}")
    code, loaded = done.stdout.split()
    assert (int(code) in (2, 3, 4), loaded) == (True, "False")


@pytest.mark.parametrize("schedule", ["exponential", "plateau", "cosine"])
def test_the_learning_rate_follows_its_schedule(run, rows, tmp_path, schedule):
    assert run("train", "mlp", "--data", rows, "--schedule", schedule, "-o", "run", *QUICK).code == 0
    lines = (tmp_path / "run/history.csv").read_text().splitlines()
    rates = [float(line.rsplit(",", 1)[1]) for line in lines[1:]]
    expected = {"exponential": [0.9 * 0.002, 0.81 * 0.002], "plateau": [0.002, 0.002], "cosine": [0.002, 0.0]}
    np.testing.assert_allclose(rates, expected[schedule], rtol=1e-3, atol=1e-9)


def test_a_rule_of_validation_that_folds_would_ignore_is_refused(run, rows):
    answer = run("train", "mlp", "--data", rows, "--folds", "2", "--validation", "fifth", "-o", "cv", *QUICK)
    assert answer.code == 2
    assert answer.complaint.startswith("--validation holds only without --folds")
