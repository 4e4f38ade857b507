"""Training writes a complete run folder, and a resumed training gives the same weights."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from digits_edge.runtime.datasets import Dataset, parts
from digits_edge.runtime.errors import CheckError, InputError, UsageError
from digits_edge.train import Hands, Recipe, named_recipe, read_recipe, recipe_images, train
from digits_edge.train.data.batches import scaled
from digits_edge.train.training.checkpoint import read_state

QUICK = {"epochs": 3, "batch_size": 50}
RECIPE = named_recipe("best", "perceptron", **QUICK)


def weights(folder: Path) -> list[np.ndarray]:
    return [np.asarray(weight) for weight in keras.saving.load_model(folder / "model.keras").get_weights()]


@pytest.fixture(scope="module")
def finished(squares: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Run folder of RECIPE, which tests must not change, and the value that `train` returned."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    return folder, train(RECIPE, squares, folder)


@pytest.fixture
def run(finished: tuple[Path, dict[str, Any]], tmp_path: Path) -> Path:
    """Copy of a finished run folder of RECIPE."""
    return shutil.copytree(finished[0], tmp_path / "run")


class InterruptionError(Exception):
    pass


def train_with_interruption(recipe: Recipe, data: Dataset, folder: Path, *, after_epochs: int) -> None:
    def interrupt(epoch: int, row: dict[str, float]) -> None:
        if epoch + 1 == after_epochs:
            raise InterruptionError

    with pytest.raises(InterruptionError):
        train(recipe, data, folder, on_epoch=interrupt)
    train(recipe, data, folder, resume=True)


def test_run_folder_is_complete(finished: tuple[Path, dict[str, Any]]) -> None:
    run, about = finished
    names = {path.name for path in run.iterdir()}
    assert names == {"model.keras", "history.csv", "recipe.json", "curves.png", "checkpoint.npz"}
    assert json.loads((run / "recipe.json").read_text()) == about
    assert about["recipe"]["seed"] == 0
    assert about["data"] | {"name": "squares", "sha256": "0" * 64, "images": 300} == about["data"]
    assert set(about["versions"]) >= {"digits-edge", "keras", "python"}
    assert about["result"]["epochs"] == 3
    with (run / "history.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["epoch"] for row in rows] == ["1.0", "2.0", "3.0"]
    best = min(range(3), key=lambda i: float(rows[i]["val_loss"]))
    assert about["result"]["kept_epoch"] == best + 1
    assert (run / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_stored_model_has_the_accuracy_of_the_best_epoch(squares: Dataset, tmp_path: Path) -> None:
    small = {"filters": [8], "dense_units": 32}
    about = train(named_recipe("best", "cnn", **QUICK, structure=small), squares, tmp_path / "run")
    model = keras.saving.load_model(tmp_path / "run/model.keras")
    assert {variable.dtype for variable in model.weights} == {"float32"}
    assert squares.labels is not None
    rows = parts(squares.labels).validation
    predictions = np.asarray(model(scaled(squares.images[rows]), training=False)).argmax(axis=1)
    assert (predictions == squares.labels[rows]).mean() == pytest.approx(about["result"]["validation_accuracy"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("best", {"dtype_policy": "mixed_bfloat16"}),
        ("document", {"patience": 1}),
    ],
)
def test_resumed_training_gives_the_weights_of_an_uninterrupted_one(
    squares: Dataset, tmp_path: Path, kind: str, settings: dict[str, object]
) -> None:
    recipe = named_recipe(kind, "cnn", **{**QUICK, **settings})
    train(recipe, squares, tmp_path / "uninterrupted")
    train_with_interruption(recipe, squares, tmp_path / "resumed", after_epochs=1)
    for expected, weight in zip(weights(tmp_path / "uninterrupted"), weights(tmp_path / "resumed"), strict=True):
        np.testing.assert_array_equal(expected, weight)
    assert (tmp_path / "uninterrupted/history.csv").read_text() == (tmp_path / "resumed/history.csv").read_text()


@pytest.mark.slow
def test_killed_training_can_be_resumed_with_the_same_result(squares: Dataset, tmp_path: Path) -> None:
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

    subprocess.run([*command[:-1], str(tmp_path / "uninterrupted")], check=True, capture_output=True, env=environment)
    for expected, weight in zip(weights(tmp_path / "uninterrupted"), weights(tmp_path / "run"), strict=True):
        np.testing.assert_array_equal(expected, weight)


def test_run_is_replaced_only_with_overwrite(squares: Dataset, run: Path) -> None:
    old = weights(run)
    before = (run / "model.keras").read_bytes()
    with pytest.raises(UsageError, match="--resume"):
        train(RECIPE, squares, run)
    with pytest.raises(UsageError, match="other settings"):
        train(replace(RECIPE, epochs=2), squares, run, resume=True)
    assert (run / "model.keras").read_bytes() == before
    train(replace(RECIPE, seed=1, epochs=1), squares, run, overwrite=True)
    assert any((one != other).any() for one, other in zip(old, weights(run), strict=True))


def test_run_is_not_resumed_on_other_data(squares: Dataset, run: Path) -> None:
    with pytest.raises(UsageError, match="other data"):
        train(RECIPE, replace(squares, sha256="1" * 64), run, resume=True)


def test_diverged_training_is_an_error(squares: Dataset, tmp_path: Path) -> None:
    recipe = named_recipe("document", "mlp", epochs=2, learning_rate=1e30, structure={"units": [8]})
    with pytest.raises(CheckError, match="--learning-rate"):
        train(recipe, squares, tmp_path / "run")


def test_resuming_a_finished_run_changes_nothing(squares: Dataset, run: Path) -> None:
    first = json.loads((run / "recipe.json").read_text())
    assert first["result"]["epochs"] == 3
    assert train(RECIPE, squares, run, resume=True)["result"] == first["result"]


def test_damaged_checkpoint_is_named(squares: Dataset, run: Path) -> None:
    (run / "checkpoint.npz").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(InputError, match=r"checkpoint\.npz"):
        train(RECIPE, squares, run, resume=True)


def test_unlabelled_data_is_refused(squares: Dataset, tmp_path: Path) -> None:
    unlabelled = Dataset("rows", squares.images, None, squares.class_names, "unknown", "0" * 64)
    with pytest.raises(InputError, match="labels"):
        train(named_recipe("best", "cnn-small"), unlabelled, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("keep", ["best", "last"])
def test_recipe_chooses_the_stored_epoch(squares: Dataset, tmp_path: Path, keep: str) -> None:
    # random labels are memorized, so the validation loss increases
    random_labels = np.random.default_rng(1).integers(0, 10, len(squares)).astype(np.uint8)
    data = replace(squares, labels=random_labels)
    quick = {"epochs": 3, "optimizer": "adam", "learning_rate": 0.003, "structure": {"units": [128]}}
    recipe = named_recipe("document", "mlp", **quick, keep=keep)
    about = train(recipe, data, tmp_path / "run")
    with (tmp_path / "run/history.csv").open() as stream:
        losses = [float(row["val_loss"]) for row in csv.DictReader(stream)]
    best = losses.index(min(losses)) + 1
    assert best != 3
    assert about["result"]["kept_epoch"] == (best if keep == "best" else 3)
    model = keras.saving.load_model(tmp_path / "run/model.keras")
    rows = parts(random_labels, recipe.validation).validation
    logits = model(scaled(squares.images[rows]), training=False)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(random_labels[rows], logits)
    assert float(loss) == pytest.approx(losses[about["result"]["kept_epoch"] - 1], rel=1e-4)


@pytest.mark.parametrize("resume", [False, True])
def test_model_file_outside_a_run_is_not_deleted(squares: Dataset, tmp_path: Path, resume: bool) -> None:
    (tmp_path / "model.keras").write_text("mine")
    with pytest.raises(UsageError, match=r"is not a run folder but contains model\.keras"):
        train(named_recipe("best", "perceptron", **QUICK), squares, tmp_path, resume=resume)
    assert (tmp_path / "model.keras").read_text() == "mine"


def test_photographs_are_learned_and_their_input_is_recorded(colours: Dataset, tmp_path: Path) -> None:
    recipe = named_recipe("best", "perceptron", data=colours.name, image=colours.image, epochs=4, batch_size=20)
    about = train(recipe, colours, tmp_path / "run")
    assert about["result"]["validation_accuracy"] > 0.9
    assert about["data"]["classes"] == ["red", "green", "blue"]
    assert about["data"]["input"] == {"height": 12, "width": 16, "channels": 3, "polarity": "as-photographed"}
    assert about["data"]["preprocessing"] == [
        {"step": "resize", "height": 12, "width": 16, "fit": "cover"},
        {"step": "center_crop", "height": 12, "width": 16},
    ]
    model = keras.saving.load_model(tmp_path / "run/model.keras")
    assert (model.input_shape, model.output_shape) == ((None, 12, 16, 3), (None, 3))
    options = recipe_images(tmp_path / "run/recipe.json")
    assert (options.image, options.steps) == (colours.image, colours.preprocessing)


def test_the_input_of_digits_is_recorded(finished: tuple[Path, dict[str, Any]]) -> None:
    data = finished[1]["data"]
    assert data["input"] == {"height": 28, "width": 28, "channels": 1, "polarity": "white-on-black"}
    assert data["preprocessing"] == [{"step": "digit", "ink": 20, "size": 28}]


HANDS = Hands(20, fonts=0)


def test_made_images_are_trained_on_recorded_and_made_again_on_resuming(squares: Dataset, tmp_path: Path) -> None:
    recipe = replace(RECIPE, epochs=2, hands=HANDS)
    announced: list[tuple[str, int]] = []
    steps: list[tuple[int, int, int, float]] = []

    def copy_first(epoch: int, row: dict[str, float]) -> None:
        if epoch == 0:
            shutil.copytree(tmp_path / "once", tmp_path / "twice")

    listeners = {"on_part": lambda *part: announced.append(part), "on_step": lambda *step: steps.append(step)}
    about = train(recipe, squares, tmp_path / "once", on_epoch=copy_first, **listeners)
    assert announced == [("20 made images", 0)]
    assert steps[-1][2] == -(-(270 + 20) // recipe.batch_size)
    assert read_recipe(tmp_path / "once" / "recipe.json") == recipe
    assert about["hands"]["images"] == {"fonts": 0, "strokes": 14, "changed": 6}
    assert about["data"]["images"] == 300
    with np.load(tmp_path / "once" / "calibration.npz") as stored:
        assert stored["images"].shape == (30, 28, 28) and stored["labels"].shape == (30,)

    train(recipe, squares, tmp_path / "twice", resume=True)
    for one, other in zip(weights(tmp_path / "once"), weights(tmp_path / "twice"), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(UsageError, match="hands"):
        train(replace(RECIPE, epochs=2), squares, tmp_path / "twice", resume=True)
    train(replace(RECIPE, epochs=1), squares, tmp_path / "once", overwrite=True)
    assert not (tmp_path / "once" / "calibration.npz").exists()


def test_made_images_are_refused_for_photographs(colours: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="colours: images of 12×16×3 and 3 classes; made images are digits"):
        train(replace(RECIPE, hands=HANDS), colours, tmp_path / "run")
    assert not (tmp_path / "run").exists()
