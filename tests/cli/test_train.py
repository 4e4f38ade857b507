"""`digits-edge train`: recipe files, folds, streamed CSVs and resuming."""

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from importlib.util import find_spec

import numpy as np
import pytest

from digits_edge.cli.main import run as run_command
from digits_edge.runtime.datasets.synthetic_digits import draw_image

from .conftest import Result, enable_interrupts

pytestmark = pytest.mark.skipif(find_spec("keras") is None, reason="needs the extra [train]")

QUICK = ("--epochs", "2", "--batch-size", "16", "--seed", "3")
SHORT = ("--epochs", "1", "--batch-size", "64")


def weights(path):
    import keras

    return [np.asarray(weight) for weight in keras.saving.load_model(path / "model.keras").get_weights()]


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """A Kaggle CSV of 168 synthetic digits."""
    rng = np.random.default_rng(7)
    path = tmp_path_factory.mktemp("rows") / "train.csv"
    lines = [",".join(["label", *(f"pixel{i}" for i in range(784))])]
    drawn = [draw_image(row % 10, rng).ravel() for row in range(40)]
    for row in range(168):
        lines.append(",".join([str(row % 10), *map(str, np.roll(drawn[row % 40], row // 40))]))
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def trained(rows, tmp_path_factory):
    """Run folder of a finished training of perceptron; tests must not change it."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    settings = ("--validation", "fifth", "--schedule", "cosine", "--learning-rate", "0.02")
    assert run_command(["train", "perceptron", "--data", str(rows), *settings, "-o", str(folder), *QUICK]) == 0
    return folder


@pytest.fixture
def finished(trained, tmp_path):
    """Copy of the finished training, in the folder `run` of the test."""
    return shutil.copytree(trained, tmp_path / "run")


@pytest.fixture(scope="module")
def cross_validated(rows, tmp_path_factory):
    """Folder of a finished cross-validation, which tests must not change, and the result of its command."""
    folder = tmp_path_factory.mktemp("cross-validated") / "cv"
    command = ["train", "perceptron", "--data", str(rows), "--folds", "2", "-o", str(folder), "--json", *QUICK]
    with contextlib.redirect_stdout(io.StringIO()) as stdout, contextlib.redirect_stderr(io.StringIO()) as stderr:
        code = run_command(command)
    return folder, Result(code, stdout.getvalue(), stderr.getvalue())


def test_recipe_file_repeats_a_run(run, rows, finished, tmp_path):
    repeated = run("train", "--recipe", "run/recipe.json", "--data", rows, "-o", "second", "--json")
    assert repeated.code == 0, repeated.stderr
    assert "is not the data" not in repeated.stderr
    first, second = (json.loads((tmp_path / name / "recipe.json").read_text()) for name in ("run", "second"))
    assert first["recipe"] == second["recipe"]
    for one, other in zip(weights(finished), weights(tmp_path / "second"), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.usefixtures("finished")
def test_recipe_file_with_other_data_prints_a_note(run, rows, tmp_path):
    (tmp_path / "other.csv").write_text("".join(rows.read_text().splitlines(keepends=True)[:100]))
    result = run("train", "--recipe", "run/recipe.json", "--data", "other.csv", "-o", "second", *SHORT)
    assert result.code == 0
    assert "other is not the data of run/recipe.json (train, SHA-256 " in result.stderr


@pytest.mark.usefixtures("finished")
def test_recipe_file_of_unknown_data_needs_the_data_option(run):
    result = run("train", "--recipe", "run/recipe.json", "-o", "second")
    assert (result.code, "--data" in result.error) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Pass NAME"),
        (("--recipe", "none.json"), "none.json cannot be read: No such file"),
        (("cnn", "--recipe", "mlp.json"), "mlp.json is a recipe of mlp, not of cnn"),
        (("mlp", "--validation", "half"), "'half' is not a split rule"),
    ],
)
def test_invalid_trainings_are_refused(run, rows, tmp_path, arguments, message):
    recipe = {"model": "mlp", "epochs": 1, "batch_size": 8, "learning_rate": 0.1, "augmentation": {}}
    (tmp_path / "mlp.json").write_text(json.dumps({"recipe": recipe}))
    result = run("train", *arguments, "--data", rows, "-o", "run")
    assert result.code in (2, 4)
    assert message in result.error
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_streamed_csv_gives_the_same_weights_and_leaves_no_files(run, rows, tmp_path):
    assert run("train", "kaggle-cnn", "--data", rows, "-o", "loaded", *QUICK).code == 0
    streamed = run("train", "kaggle-cnn", "--data", rows, "-o", "streamed", "--stream", *QUICK)
    assert streamed.code == 0, streamed.stderr
    for one, other in zip(weights(tmp_path / "loaded"), weights(tmp_path / "streamed"), strict=True):
        np.testing.assert_array_equal(one, other)
    assert {path.name for path in tmp_path.iterdir()} == {"loaded", "streamed"}
    assert "--stream" not in streamed.stderr
    about = json.loads((tmp_path / "streamed/recipe.json").read_text())
    assert (about["data"]["validation"], about["data"]["input_scale"]) == ("kaggle", 255)


def test_streaming_other_formats_prints_a_note(run, drawn):
    result = run("train", "perceptron", "--data", drawn, "-o", "run", "--stream", *SHORT)
    assert result.code == 0, result.stderr
    assert "--stream has no effect: drawn is neither a CSV file nor a folder of pictures" in result.stderr


def test_student_without_distillation(run, drawn, tmp_path):
    shutil.copy(drawn, tmp_path / "fashion-mnist.npz")
    result = run("train", "cnn-small", "--data", "./fashion-mnist.npz", "--no-distillation", "-o", "run", *SHORT)
    assert result.code == 0, result.stderr
    assert (tmp_path / "run/model.keras").exists() and not (tmp_path / "run/distillation").exists()
    refused = run("train", "mlp", "--data", "./fashion-mnist.npz", "--distillation-cache", "l", "-o", "other", *QUICK)
    assert refused.error.startswith("--distillation-cache applies only to recipes with distillation; that of mlp")


def test_folds_are_summarized(run, rows, cross_validated, tmp_path):
    folder, result = cross_validated
    assert result.code == 0, result.stderr
    [summary] = result.objects
    assert (summary["folds"], summary["images"]) == (2, 168)
    assert result.stderr.startswith("fold 1/2, epoch 1/2: loss ")
    shutil.copytree(folder, tmp_path / "cv")
    resumed = run("train", "perceptron", "--data", rows, "--folds", "2", "-o", "cv", "--resume", *QUICK)
    assert f"all folds: {summary['errors']} errors of 168" in resumed.stdout


def test_resumed_run_uses_its_recorded_settings(run, rows, finished, tmp_path):
    before = weights(finished)
    (finished / "checkpoint.npz").unlink()  # as if no epoch were finished
    resumed = run("train", "--resume", "-o", "run", "--data", rows)
    assert resumed.code == 0, resumed.stderr
    for one, other in zip(before, weights(tmp_path / "run"), strict=True):
        np.testing.assert_array_equal(one, other)


def test_resumed_cross_validation_uses_its_recorded_settings(run, rows, cross_validated, tmp_path):
    arguments = ("train", "perceptron", "--data", rows, "--folds", "2", "-o", "cv")
    shutil.copytree(cross_validated[0], tmp_path / "cv")
    assert "cv already holds a cross-validation" in run(*arguments, *QUICK).error
    (tmp_path / "cv/folds.json").unlink()
    result = run(*arguments, "--resume", "--json")
    assert result.code == 0, result.stderr
    assert json.loads((tmp_path / "cv/fold-2-of-2/recipe.json").read_text())["recipe"]["epochs"] == 2


@pytest.mark.usefixtures("finished")
def test_resuming_without_a_run_is_reported(run, rows):
    nothing = run("train", "--resume", "-o", "typo", "--data", rows)
    assert (nothing.code, nothing.error.split(";")[0]) == (2, "typo holds no run to resume")
    other = run("train", "cnn", "--resume", "-o", "run", "--data", rows)
    assert "run/recipe.json is a recipe of perceptron, not of cnn" in other.error
    started = run("train", "perceptron", "--resume", "-o", "new", "--data", rows, *SHORT)
    assert (started.code, started.stderr.splitlines()[0]) == (0, "new holds no run; starting a new one")


@pytest.mark.usefixtures("finished")
def test_differences_from_a_run_are_named(run, rows):
    changed = ("--epochs", "3", "--augmentation", "hand")
    result = run("train", "perceptron", "--resume", "-o", "run", "--data", rows, *changed)
    assert result.code == 2
    assert result.error.startswith("run was started with other settings (epochs: 2, now 3; rotation_degrees: ")


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_interrupted_training_ends_at_once_and_can_be_resumed(run, rows, tmp_path):
    command = [sys.executable, "-m", "digits_edge.cli", "train", "cnn-small", "--data", str(rows), "-o", "run"]

    command += ["--epochs", "20", "--batch-size", "16"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=enable_interrupts) as training:
        try:
            deadline_s = time.monotonic() + 120
            while not (tmp_path / "run/checkpoint.npz").exists() and time.monotonic() < deadline_s:
                assert training.poll() is None
                time.sleep(0.01)
            training.send_signal(signal.SIGINT)
            *_, last = training.communicate(timeout=60)[1].splitlines()
        finally:
            training.kill()
    assert training.returncode == 130
    assert last == "interrupted; finished epochs are stored in run; repeat the command with --resume to continue"
    resumed = run("train", "--resume", "-o", "run", "--data", rows, "--json")
    assert (resumed.code, resumed.objects[0]["epochs"]) == (0, 20)
    assert not resumed.stderr.startswith("epoch 1/20")


#: Commands with an error, and the beginning of its message.
EARLY_ERRORS = [
    (["train", "cnnsmall"], "unknown model 'cnnsmall'. Did you mean 'cnn-small'?"),
    (["train", "edge", "--recipe", "document"], "edge has no 'document' recipe"),
    (["train", "mlp", "-o", "run"], "run already holds a run"),
    (["train", "mlp", "--data", "none"], "none: no such file"),
    (["compare", "--study", "droput"], "unknown study 'droput'. Did you mean 'dropout'?"),
    (["export", "m.onnx", "-o", "n.onnx"], "m.onnx is already a model file"),
    (["export", "folds", "-o", "n.onnx"], "folds contains a cross-validation; pass one fold"),
    (["export", "none", "-o", "n.onnx"], "none: no such file or folder"),
]
#: Runs the commands, and prints for each its code, its stderr, and whether Keras is imported.
RUN_COMMANDS = """
import contextlib, io, json, sys
from digits_edge.cli.main import run
results = []
for arguments in json.loads(sys.argv[1]):
    with contextlib.redirect_stderr(io.StringIO()) as stderr:
        code = run(arguments)
    results.append([code, stderr.getvalue(), "keras" in sys.modules])
print(json.dumps(results))
"""


@pytest.fixture(scope="module")
def early_errors(tmp_path_factory):
    """Results of the commands of EARLY_ERRORS, all in one process, because Python starts slowly."""
    folder = tmp_path_factory.mktemp("early-errors")
    for name in ("run", "folds/fold-1-of-2"):
        (folder / name).mkdir(parents=True)
        (folder / name / "recipe.json").write_text("{}")
    commands = json.dumps([arguments for arguments, _ in EARLY_ERRORS])
    command = [sys.executable, "-c", RUN_COMMANDS, commands]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder)
    return json.loads(done.stdout)


@pytest.mark.parametrize("number", range(len(EARLY_ERRORS)))
def test_errors_are_reported_before_keras_is_imported(early_errors, number):
    code, stderr, loaded = early_errors[number]
    assert stderr.startswith(f"error: {EARLY_ERRORS[number][1]}")
    assert (code in (2, 3, 4), loaded) == (True, False)


@pytest.mark.parametrize("schedule", ["exponential", pytest.param("plateau", marks=pytest.mark.slow), "cosine"])
def test_learning_rate_follows_its_schedule(run, rows, trained, tmp_path, schedule):
    if schedule == "cosine":
        folder = trained
    else:
        folder = tmp_path / "run"
        rate = ("--schedule", schedule, "--learning-rate", "0.02")
        assert run("train", "perceptron", "--data", rows, *rate, "-o", folder, *QUICK).code == 0
    lines = (folder / "history.csv").read_text().splitlines()
    rates = [float(line.rsplit(",", 1)[1]) for line in lines[1:]]
    expected = {"exponential": [0.9 * 0.02, 0.81 * 0.02], "plateau": [0.02, 0.02], "cosine": [0.02, 0.0]}
    np.testing.assert_allclose(rates, expected[schedule], rtol=1e-3, atol=1e-8)


def test_validation_rule_with_folds_is_refused(run, rows):
    result = run("train", "mlp", "--data", rows, "--folds", "2", "--validation", "fifth", "-o", "cv", *QUICK)
    assert result.code == 2
    assert result.error.startswith("--validation applies only without --folds")


@pytest.mark.slow
def test_made_images_of_a_recipe_file_are_used_and_can_be_disabled(run, rows, finished, tmp_path):
    recorded = json.loads((finished / "recipe.json").read_text())
    recorded["recipe"]["hands"] = {"count": 40, "fonts": 0}
    (tmp_path / "recipe.json").write_text(json.dumps(recorded))
    arguments = ("train", "--recipe", str(tmp_path / "recipe.json"), "--data", str(rows), *SHORT)
    result = run(*arguments, "-o", str(tmp_path / "with"))
    assert result.code == 0
    assert json.loads((tmp_path / "with" / "recipe.json").read_text())["hands"]["images"]["strokes"] == 27
    assert run(*arguments, "-o", str(tmp_path / "without"), "--hands", "0").code == 0
    about = json.loads((tmp_path / "without" / "recipe.json").read_text())
    assert about["recipe"]["hands"] is None
    assert "hands" not in about


def test_made_images_need_their_fonts(run, rows, tmp_path, monkeypatch):
    monkeypatch.setenv("DIGITS_EDGE_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    result = run("train", "perceptron", "--data", str(rows), "-o", str(tmp_path / "run"), *SHORT, "--hands", "40")
    assert result.code == 2
    assert "npm is not installed" in result.stderr
