"""Training leaves a whole run folder, and a training that was cut goes on to the same end."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from digits_edge.runtime.datasets import Dataset, parts
from digits_edge.runtime.errors import CheckError, InputError, UsageError
from digits_edge.train import Recipe, named_recipe, train
from digits_edge.train.data.batches import scaled
from digits_edge.train.training.checkpoint import read_state

QUICK = {"epochs": 3, "batch_size": 50}


def weights(folder: Path) -> list[np.ndarray]:
    return [np.asarray(weight) for weight in keras.saving.load_model(folder / "model.keras").get_weights()]


class CutError(Exception):
    pass


def train_with_a_cut(recipe: Recipe, data: Dataset, folder: Path, *, after_epochs: int) -> None:
    def cut(epoch: int, row: dict[str, float]) -> None:
        if epoch + 1 == after_epochs:
            raise CutError

    with pytest.raises(CutError):
        train(recipe, data, folder, on_epoch=cut)
    train(recipe, data, folder, resume=True)


def test_a_run_folder_holds_everything(squares: Dataset, tmp_path: Path) -> None:
    about = train(named_recipe("best", "cnn-small", **QUICK), squares, tmp_path / "run")
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {"model.keras", "history.csv", "recipe.json", "curves.png", "checkpoint.npz"}
    assert json.loads((tmp_path / "run/recipe.json").read_text()) == about
    assert about["recipe"]["seed"] == 0
    assert about["data"] | {"name": "squares", "sha256": "0" * 64, "images": 300} == about["data"]
    assert set(about["versions"]) >= {"digits-edge", "keras", "python"}
    assert about["result"]["epochs"] == 3
    with (tmp_path / "run/history.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["epoch"] for row in rows] == ["1.0", "2.0", "3.0"]
    best = min(range(3), key=lambda i: float(rows[i]["val_loss"]))
    assert about["result"]["kept_epoch"] == best + 1
    assert (tmp_path / "run/curves.png").read_bytes().startswith(b"\x89PNG")


def test_the_kept_model_has_the_best_epochs_figures(squares: Dataset, tmp_path: Path) -> None:

    about = train(named_recipe("best", "cnn", **QUICK), squares, tmp_path / "run")
    model = keras.saving.load_model(tmp_path / "run/model.keras")
    assert {variable.dtype for variable in model.weights} == {"float32"}
    assert squares.labels is not None
    rows = parts(squares.labels).validation
    said = np.asarray(model(scaled(squares.images[rows]), training=False)).argmax(axis=1)
    assert (said == squares.labels[rows]).mean() == pytest.approx(about["result"]["validation_accuracy"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("best", {"dtype_policy": "mixed_bfloat16"}),
        ("document", {"patience": 1}),
    ],
)
def test_a_cut_training_ends_with_the_weights_of_an_unbroken_one(
    squares: Dataset, tmp_path: Path, kind: str, settings: dict[str, object]
) -> None:
    recipe = named_recipe(kind, "cnn", **{**QUICK, **settings})
    train(recipe, squares, tmp_path / "unbroken")
    train_with_a_cut(recipe, squares, tmp_path / "cut", after_epochs=1)
    for unbroken, cut in zip(weights(tmp_path / "unbroken"), weights(tmp_path / "cut"), strict=True):
        np.testing.assert_array_equal(unbroken, cut)
    assert (tmp_path / "unbroken/history.csv").read_text() == (tmp_path / "cut/history.csv").read_text()


@pytest.mark.slow
def test_a_killed_training_goes_on_to_the_same_end(squares: Dataset, tmp_path: Path) -> None:
    assert squares.labels is not None
    np.savez(tmp_path / "squares.npz", images=squares.images, labels=squares.labels)
    command = [sys.executable, "-m", "digits_edge.cli", "train", "cnn-small", "--epochs", "4", "--batch-size", "10"]
    command += ["--data", str(tmp_path / "squares.npz"), "-o", str(tmp_path / "run")]
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    checkpoint = tmp_path / "run/checkpoint.npz"
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, env=environment) as process:
        end = time.monotonic() + 120
        while not checkpoint.exists() and process.poll() is None and time.monotonic() < end:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert 1 <= len(read_state(checkpoint).history) <= 4
    subprocess.run([*command, "--resume"], check=True, capture_output=True, env=environment)

    subprocess.run([*command[:-1], str(tmp_path / "unbroken")], check=True, capture_output=True, env=environment)
    for unbroken, killed in zip(weights(tmp_path / "unbroken"), weights(tmp_path / "run"), strict=True):
        np.testing.assert_array_equal(unbroken, killed)


def test_a_run_is_not_overwritten_unasked(squares: Dataset, tmp_path: Path) -> None:
    recipe = named_recipe("best", "cnn-small", epochs=1, batch_size=100)
    train(recipe, squares, tmp_path)
    before = (tmp_path / "model.keras").read_bytes()
    with pytest.raises(UsageError, match="--resume"):
        train(recipe, squares, tmp_path)
    with pytest.raises(UsageError, match="other settings"):
        train(named_recipe("best", "cnn-small", epochs=2), squares, tmp_path, resume=True)
    assert (tmp_path / "model.keras").read_bytes() == before
    train(recipe, squares, tmp_path, overwrite=True)


def test_a_run_is_not_resumed_on_other_data(squares: Dataset, tmp_path: Path) -> None:
    recipe = named_recipe("best", "cnn-small", epochs=1, batch_size=100)
    train(recipe, squares, tmp_path)
    with pytest.raises(UsageError, match="other data"):
        train(recipe, replace(squares, sha256="1" * 64), tmp_path, resume=True)


def test_a_training_that_diverges_says_so(squares: Dataset, tmp_path: Path) -> None:
    with pytest.raises(CheckError, match="--learning-rate"):
        train(named_recipe("document", "cnn-small", epochs=2, learning_rate=1e30), squares, tmp_path / "run")


def test_resuming_a_finished_run_changes_nothing(squares: Dataset, tmp_path: Path) -> None:
    recipe = named_recipe("best", "cnn-small", epochs=1, batch_size=100)
    first = train(recipe, squares, tmp_path)
    assert train(recipe, squares, tmp_path, resume=True)["result"] == first["result"]


def test_a_damaged_checkpoint_is_named(squares: Dataset, tmp_path: Path) -> None:
    recipe = named_recipe("best", "cnn-small", epochs=2, batch_size=100)
    train(recipe, squares, tmp_path)
    (tmp_path / "checkpoint.npz").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(InputError, match=r"checkpoint\.npz"):
        train(recipe, squares, tmp_path, resume=True)


def test_unlabelled_data_is_refused(squares: Dataset, tmp_path: Path) -> None:
    unlabelled = Dataset("rows", squares.images, None, squares.class_names, "unknown", "0" * 64)
    with pytest.raises(InputError, match="labels"):
        train(named_recipe("best", "cnn-small"), unlabelled, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("keep", ["best", "last"])
def test_the_epoch_is_kept_that_the_recipe_asks_for(squares: Dataset, tmp_path: Path, keep: str) -> None:
    # labels by chance are learnt by heart, and the validation loss grows
    by_chance = np.random.default_rng(1).integers(0, 10, len(squares)).astype(np.uint8)
    data = replace(squares, labels=by_chance)
    recipe = named_recipe("document", "mlp", epochs=4, optimizer="adam", keep=keep)
    about = train(recipe, data, tmp_path / "run")
    with (tmp_path / "run/history.csv").open() as stream:
        losses = [float(row["val_loss"]) for row in csv.DictReader(stream)]
    best = losses.index(min(losses)) + 1
    assert best != 4
    assert about["result"]["kept_epoch"] == (best if keep == "best" else 4)
    model = keras.saving.load_model(tmp_path / "run/model.keras")
    rows = parts(by_chance, recipe.validation).validation
    logits = model(scaled(squares.images[rows]), training=False)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(by_chance[rows], logits)
    assert float(loss) == pytest.approx(losses[about["result"]["kept_epoch"] - 1], rel=1e-4)


@pytest.mark.parametrize("resume", [False, True])
def test_a_model_that_no_run_has_made_is_not_deleted(squares: Dataset, tmp_path: Path, resume: bool) -> None:
    (tmp_path / "model.keras").write_text("mine")
    with pytest.raises(UsageError, match=r"is no run folder and has model\.keras"):
        train(named_recipe("best", "perceptron", **QUICK), squares, tmp_path, resume=resume)
    assert (tmp_path / "model.keras").read_text() == "mine"
