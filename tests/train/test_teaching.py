"""A student learns what its teachers answer to views of the images, and a cut loses none of that."""

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from digits_edge.runtime.datasets import Dataset, parts
from digits_edge.runtime.errors import UsageError
from digits_edge.train import named_recipe, read_recipe, train
from digits_edge.train.augmentation import Augmentation
from digits_edge.train.recipe import Teaching

TEACHER = named_recipe("best", "mlp", epochs=6, batch_size=20, learning_rate=0.005, average_decay=None)
STUDENT = named_recipe(
    "best",
    "perceptron",
    epochs=4,
    batch_size=20,
    learning_rate=0.01,
    average_decay=None,
    augmentation=Augmentation(translation_px=1.0, spoiled=0.5, noise=0.2),
    teaching=Teaching(teachers=(TEACHER, replace(TEACHER, seed=1)), views=2),
)


def weights(folder: Path) -> list[np.ndarray]:
    return [np.asarray(weight) for weight in keras.saving.load_model(folder / "model.keras").get_weights()]


@pytest.fixture(scope="module")
def taught(squares: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("taught") / "run"
    train(STUDENT, squares, folder)
    return folder


def test_a_lesson_is_the_mean_answer_to_augmented_images(taught: Path, squares: Dataset) -> None:
    images, answers = np.load(taught / "lesson/views.npy"), np.load(taught / "lesson/answers.npy")
    learnt = parts(squares.labels).train
    assert images.shape == (2 * len(learnt), 28, 28) and answers.shape == (2 * len(learnt), 10)
    assert (images[: len(learnt)] != images[len(learnt) :]).any() and (images[0] != squares.images[learnt[0]]).any()
    teachers = [keras.saving.load_model(taught / f"lesson/teacher-{number}/model.keras") for number in (1, 2)]
    pixels = images[..., np.newaxis].astype(np.float32) / 255
    mean = np.mean([keras.ops.softmax(teacher(pixels)) for teacher in teachers], axis=0)
    np.testing.assert_allclose(answers, mean, atol=2e-3)
    assert (answers.argmax(axis=1) == np.tile(squares.labels[learnt], 2)).mean() > 0.8


def test_a_student_learns_from_its_lesson(taught: Path) -> None:
    history = (taught / "history.csv").read_text().splitlines()
    accuracies = [float(line.split(",")[history[0].split(",").index("val_accuracy")]) for line in history[1:]]
    assert accuracies[-1] > 0.8
    assert read_recipe(taught / "recipe.json") == STUDENT


def test_the_share_of_the_labels_is_learnt_too(squares: Dataset, tmp_path: Path, taught: Path) -> None:
    half = replace(STUDENT, epochs=1, teaching=replace(STUDENT.teaching, share=0.5))
    train(half, squares, tmp_path / "half")
    answers, mixed = (np.load(folder / "lesson/answers.npy") for folder in (taught, tmp_path / "half"))
    labels = np.tile(np.eye(10)[squares.labels[parts(squares.labels).train]], (2, 1))
    np.testing.assert_allclose(mixed, (answers + labels) / 2, atol=2e-3)


@pytest.mark.parametrize("cut_at", ["teacher 2/2", "view 2/2", "the student"])
def test_a_cut_loses_no_teacher_and_no_view(squares: Dataset, tmp_path: Path, taught: Path, cut_at: str) -> None:
    class CutError(Exception):
        pass

    told = ["begun"]

    def part(now: str, epochs: int) -> None:
        told.append(now)
        if now == cut_at:
            raise CutError

    def epoch(number: int, row: dict[str, float]) -> None:
        if told[-1] == "view 2/2" and cut_at == "the student" and number == 1:
            raise CutError

    with pytest.raises(CutError):
        train(STUDENT, squares, tmp_path / "run", on_part=part, on_epoch=epoch)
    told.clear()
    train(STUDENT, squares, tmp_path / "run", resume=True, on_part=lambda part, epochs: told.append(part))
    assert ("view 1/2" in told) == (cut_at == "teacher 2/2")
    for one, other in zip(weights(taught), weights(tmp_path / "run"), strict=True):
        np.testing.assert_array_equal(one, other)


def test_overwriting_teaches_anew_and_touches_no_other_folder(squares: Dataset, tmp_path: Path) -> None:
    short = replace(STUDENT, epochs=1, teaching=Teaching((replace(TEACHER, epochs=1),), views=1))
    told: list[str] = []
    train(short, squares, tmp_path / "run")
    train(short, squares, tmp_path / "run", overwrite=True, on_part=lambda part, epochs: told.append(part))
    assert told == ["teacher 1/1", "view 1/1", "the student"]
    (tmp_path / "mine/lesson").mkdir(parents=True)
    with pytest.raises(UsageError, match="is no run folder and has lesson"):
        train(short, squares, tmp_path / "mine", overwrite=True)
