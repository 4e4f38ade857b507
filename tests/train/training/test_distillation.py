"""A student learns what its teachers answer to views of the images, and a cut loses none of that."""

import errno
import os
import shutil
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from filelock import FileLock

from digits_edge.runtime.datasets import Dataset, parts
from digits_edge.runtime.errors import InputError, UsageError
from digits_edge.train import named_recipe, read_recipe, train
from digits_edge.train.data.augmentation import Augmentation, Corruption
from digits_edge.train.data.batches import Batches
from digits_edge.train.data.non_digits import draw_non_digits
from digits_edge.train.training.distillation import soft_targets as soft_targets_of
from digits_edge.train.training.recipe import Distillation
from digits_edge.train.training.run_folder import read_history

TEACHER = named_recipe("best", "mlp", epochs=2, batch_size=10, learning_rate=0.005, average_decay=None)
STUDENT = named_recipe(
    "best",
    "perceptron",
    epochs=3,
    batch_size=10,
    learning_rate=0.01,
    average_decay=None,
    augmentation=Augmentation(translation_px=1.0, corruption=Corruption(share=0.5, noise=0.2)),
    distillation=Distillation(teachers=(TEACHER, replace(TEACHER, seed=1)), views=2),
)


def weights(folder: Path) -> list[np.ndarray]:
    return [np.asarray(weight) for weight in keras.saving.load_model(folder / "model.keras").get_weights()]


@pytest.fixture(scope="module")
def taught(squares: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("taught") / "run"
    train(STUDENT, squares, folder)
    return folder


def test_a_lesson_is_the_mean_answer_to_augmented_images(taught: Path, squares: Dataset) -> None:
    images, answers = np.load(taught / "distillation/views.npy"), np.load(taught / "distillation/answers.npy")
    learnt = parts(squares.labels).train
    assert images.shape == (2 * len(learnt), 28, 28) and answers.shape == (2 * len(learnt), 10)
    assert (images[: len(learnt)] != images[len(learnt) :]).any() and (images[0] != squares.images[learnt[0]]).any()
    teachers = [keras.saving.load_model(taught / f"distillation/teacher-{number}/model.keras") for number in (1, 2)]
    pixels = images[..., np.newaxis].astype(np.float32) / 255
    mean = np.mean([keras.ops.softmax(teacher(pixels)) for teacher in teachers], axis=0)
    np.testing.assert_allclose(answers, mean, atol=2e-3)
    assert (answers.argmax(axis=1) == np.tile(squares.labels[learnt], 2)).mean() > 0.8


def test_spoiling_is_the_students_alone(squares: Dataset, tmp_path: Path, taught: Path) -> None:
    shutil.copytree(taught / "distillation", tmp_path / "distillation")
    corrupted = replace(STUDENT.augmentation, corruption=Corruption(share=1.0, negative=1.0))
    rows = parts(squares.labels).train
    student = replace(STUDENT, augmentation=corrupted)
    learnt = soft_targets_of(student, squares, rows, tmp_path / "distillation", pytest.fail, lambda part, epochs: None)
    np.testing.assert_array_equal(
        learnt.images, np.load(taught / "distillation/views.npy")
    )  # the lesson holds for both
    assert learnt.augmentation == Augmentation(corruption=Corruption(share=1.0, negative=1.0))
    batches = Batches(
        learnt.images, learnt.targets, learnt.rows[:10], batch_size=10, augmentation=learnt.augmentation, seed=0
    )
    assert sorted(batches[0][0].mean((1, 2, 3))) == pytest.approx(sorted(1 - learnt.images[:10].mean((1, 2)) / 255))


def test_the_lesson_is_not_spoiled(squares: Dataset, tmp_path: Path) -> None:
    still = Augmentation(corruption=Corruption(share=1.0, negative=1.0))
    train(replace(STUDENT, epochs=1, augmentation=still), squares, tmp_path / "run")
    views = np.load(tmp_path / "run/distillation/views.npy")
    rows = parts(squares.labels).train
    np.testing.assert_array_equal(views, np.tile(squares.images[rows], (2, 1, 1)))


def test_a_student_learns_from_its_lesson(taught: Path) -> None:
    history = (taught / "history.csv").read_text().splitlines()
    accuracies = [float(line.split(",")[history[0].split(",").index("val_accuracy")]) for line in history[1:]]
    assert accuracies[-1] > 0.8
    assert read_recipe(taught / "recipe.json") == STUDENT


def test_the_share_of_the_labels_is_learnt_too(squares: Dataset, tmp_path: Path, taught: Path) -> None:
    half = replace(STUDENT, epochs=1, distillation=replace(STUDENT.distillation, share=0.5))
    train(half, squares, tmp_path / "half")
    answers, mixed = (np.load(folder / "distillation/answers.npy") for folder in (taught, tmp_path / "half"))
    labels = np.tile(np.eye(10)[squares.labels[parts(squares.labels).train]], (2, 1))
    np.testing.assert_allclose(mixed, (answers + labels) / 2, atol=2e-3)


def test_cut_images_are_learnt_as_what_teachers_see(squares: Dataset, tmp_path: Path, taught: Path) -> None:
    distillation = replace(STUDENT.distillation, share=0.5, cutmix=0.5)
    train(replace(STUDENT, epochs=1, distillation=distillation), squares, tmp_path / "run")
    whole, said = (np.load(taught / "distillation" / name) for name in ("views.npy", "answers.npy"))
    images, answers = (np.load(tmp_path / "run/distillation" / name) for name in ("views.npy", "answers.npy"))
    is_cut = (images != whole).any(axis=(1, 2))
    assert 0.3 < is_cut.mean() < 0.7
    labels = np.tile(np.eye(10)[squares.labels[parts(squares.labels).train]], (2, 1))
    np.testing.assert_allclose(answers[~is_cut], ((said + labels) / 2)[~is_cut], atol=2e-3)
    teachers = [
        keras.saving.load_model(tmp_path / f"run/distillation/teacher-{number}/model.keras") for number in (1, 2)
    ]
    pixels = images[is_cut][..., np.newaxis].astype(np.float32) / 255
    mean = np.mean([keras.ops.softmax(teacher(pixels)) for teacher in teachers], axis=0)
    np.testing.assert_allclose(answers[is_cut], mean, atol=2e-3)


def test_what_is_no_digit_is_learnt_as_equally_likely_to_be_anything(squares: Dataset, tmp_path: Path) -> None:
    distillation = Distillation((replace(TEACHER, epochs=1),), views=2, non_digits=20)
    train(replace(STUDENT, epochs=1, distillation=distillation), squares, tmp_path / "run")
    images, answers = (np.load(tmp_path / "run/distillation" / name) for name in ("views.npy", "answers.npy"))
    digits = len(parts(squares.labels).train)
    assert len(images) == len(answers) == 2 * (digits + 20)
    strange = np.r_[digits : digits + 20, 2 * digits + 20 : 2 * digits + 40]
    np.testing.assert_allclose(answers[strange], 0.1, atol=1e-4)
    assert (np.delete(answers, strange, axis=0).max(axis=1) > 0.11).all()
    assert (images[strange[:20]] != images[strange[20:]]).any()  # the same drawings, augmented anew


def test_a_student_doubts_what_is_no_digit(squares: Dataset, tmp_path: Path, taught: Path) -> None:
    distillation = replace(STUDENT.distillation, non_digits=100)
    about = train(replace(STUDENT, distillation=distillation), squares, tmp_path / "run")
    strange = draw_non_digits(100, np.random.default_rng(99))[..., np.newaxis].astype(np.float32) / 255

    def confidence(folder: Path) -> float:
        model = keras.saving.load_model(folder / "model.keras")
        return float(np.asarray(keras.ops.softmax(model(strange))).max(axis=1).mean())

    assert confidence(tmp_path / "run") < confidence(taught) - 0.1
    # what has no likeliest class is no mistake
    assert read_history(tmp_path / "run/history.csv")[-1]["accuracy"] > 0.75
    assert about["result"]["validation_accuracy"] > 0.75


def test_a_run_of_other_teachers_is_not_gone_on_with(squares: Dataset, taught: Path, tmp_path: Path) -> None:
    run = shutil.copytree(taught, tmp_path / "run")
    slower = (replace(TEACHER, learning_rate=0.001), replace(TEACHER, seed=1))
    for distillation, said in (
        (replace(STUDENT.distillation, teachers=slower), r"\(teacher 1's learning_rate: 0.005 there, 0.001 here\)"),
        (replace(STUDENT.distillation, teachers=slower[:1]), r"\(teachers: 2 there, 1 here\)"),
        (replace(STUDENT.distillation, seed=4), r"\(seed: 0 there, 4 here\)"),
        (None, r"\(distillation: some there, none here\)"),
    ):
        with pytest.raises(UsageError, match=said):
            train(replace(STUDENT, distillation=distillation), squares, run, resume=True)


def test_students_of_one_teaching_share_a_lesson(squares: Dataset, tmp_path: Path, taught: Path) -> None:
    shutil.copytree(taught / "distillation", tmp_path / "distillation")
    told: list[str] = []
    other = replace(STUDENT, epochs=1, seed=5)
    shared = {"cache_folder": tmp_path / "distillation"}
    train(other, squares, tmp_path / "run", **shared, on_part=lambda part, epochs: told.append(part))
    assert told == ["the student"]
    assert not (tmp_path / "run/distillation").exists()
    train(other, squares, tmp_path / "again")  # with a lesson of its own, which is the same
    for one, same in zip(weights(tmp_path / "run"), weights(tmp_path / "again"), strict=True):
        np.testing.assert_array_equal(one, same)


def test_the_lesson_of_another_teaching_is_refused_and_kept(squares: Dataset, tmp_path: Path, taught: Path) -> None:
    cache = shutil.copytree(taught / "distillation", tmp_path / "distillation")
    more = replace(STUDENT, distillation=replace(STUDENT.distillation, views=3))
    with pytest.raises(UsageError, match="distillation is the lesson of another distillation; name another folder"):
        train(more, squares, tmp_path / "run", cache_folder=cache)
    assert (cache / "views.npy").read_bytes() == (taught / "distillation/views.npy").read_bytes()


def test_a_resumed_student_finds_its_lesson_where_it_was(squares: Dataset, tmp_path: Path, taught: Path) -> None:
    cache = shutil.copytree(taught / "distillation", tmp_path / "distillation")

    def cut(epoch: int, row: dict[str, float]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(STUDENT, squares, tmp_path / "run", cache_folder=cache, on_epoch=cut)
    train(STUDENT, squares, tmp_path / "run", resume=True)
    assert not (tmp_path / "run/distillation").exists()


def test_a_lesson_in_the_run_folder_outlives_another_student(squares: Dataset, tmp_path: Path, taught: Path) -> None:
    run = shutil.copytree(taught, tmp_path / "run")
    told: list[str] = []
    other = replace(STUDENT, seed=5, epochs=1)
    cache = {"cache_folder": run / "distillation"}
    train(other, squares, run, **cache, overwrite=True, on_part=lambda part, epochs: told.append(part))
    assert told == ["the student"]


def test_files_that_are_no_lesson_are_kept(squares: Dataset, tmp_path: Path) -> None:
    np.save(tmp_path / "answers.npy", np.arange(5))
    with pytest.raises(UsageError, match=r"is no lesson and has answers\.npy; name another folder"):
        train(STUDENT, squares, tmp_path / "run", cache_folder=tmp_path)
    np.testing.assert_array_equal(np.load(tmp_path / "answers.npy"), np.arange(5))


def test_a_lesson_that_cannot_be_opened_is_kept(squares: Dataset, tmp_path: Path, taught: Path, monkeypatch) -> None:
    cache = shutil.copytree(taught / "distillation", tmp_path / "distillation")

    def full(*arguments: object, **settings: object) -> None:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr("digits_edge.train.training.distillation.np.load", full)
    with pytest.raises(InputError, match=r"views\.npy cannot be opened: Cannot allocate memory"):
        train(STUDENT, squares, tmp_path / "run", cache_folder=cache)
    assert (cache / "cache.json").read_bytes() == (taught / "distillation/cache.json").read_bytes()
    assert (cache / "views.npy").stat().st_size == (taught / "distillation/views.npy").stat().st_size


def test_two_trainings_do_not_make_one_lesson(squares: Dataset, tmp_path: Path) -> None:
    (tmp_path / "distillation").mkdir()
    with (
        FileLock(tmp_path / "distillation/.lock"),
        pytest.raises(UsageError, match="another training is making the lesson"),
    ):
        train(STUDENT, squares, tmp_path / "run", cache_folder=tmp_path / "distillation")


#: What is told after a cut at this.
AFTER_A_CUT = {
    "teacher 2/2": [
        "teacher 1/2",
        "teacher 2/2",
        *["epoch"] * 2,
        "view 1/2",
        "view 2/2",
        "the student",
        *["epoch"] * 3,
    ],
    "view 2/2": ["teacher 1/2", "teacher 2/2", "view 2/2", "the student", *["epoch"] * 3],
    "the student": ["the student", "epoch"],
}


@pytest.mark.slow
@pytest.mark.parametrize("cut", AFTER_A_CUT)
def test_a_cut_loses_no_teacher_and_no_view(squares: Dataset, tmp_path: Path, taught: Path, cut: str) -> None:
    class CutError(Exception):
        pass

    told: list[str] = []

    def cutting(part: str, epochs: int) -> None:
        told.append(part)
        if part == cut != "the student":
            raise CutError

    def epoch(number: int, row: dict[str, float]) -> None:
        told.append("epoch")
        if told[-3:] == ["the student", "epoch", "epoch"] and cut == "the student":
            raise CutError

    with pytest.raises(CutError):
        train(STUDENT, squares, tmp_path / "run", on_part=cutting, on_epoch=epoch)
    told.clear()
    train(
        STUDENT,
        squares,
        tmp_path / "run",
        resume=True,
        on_part=lambda part, epochs: told.append(part),
        on_epoch=lambda number, row: told.append("epoch"),
    )
    assert told == AFTER_A_CUT[cut]
    for one, other in zip(weights(taught), weights(tmp_path / "run"), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_overwriting_teaches_anew_and_touches_no_other_folder(squares: Dataset, tmp_path: Path) -> None:
    short = replace(STUDENT, epochs=1, distillation=Distillation((replace(TEACHER, epochs=1),), views=1))
    told: list[str] = []
    train(short, squares, tmp_path / "run")
    train(short, squares, tmp_path / "run", overwrite=True, on_part=lambda part, epochs: told.append(part))
    assert told == ["teacher 1/1", "view 1/1", "the student"]
    (tmp_path / "run/distillation/mine.txt").write_text("mine")
    train(named_recipe("best", "perceptron", epochs=1), squares, tmp_path / "run", overwrite=True)
    assert {path.name for path in (tmp_path / "run/distillation").rglob("*") if path.is_file()} == {"mine.txt"}


@pytest.mark.slow
@pytest.mark.parametrize(("lost", "how"), [("views.npy", "deleted"), ("views.npy", "empty"), ("answers.npy", "cut")])
def test_a_lesson_that_was_lost_is_made_again(
    squares: Dataset, tmp_path: Path, taught: Path, lost: str, how: str
) -> None:
    """Else a student would learn black images without a word."""
    shutil.copytree(taught, tmp_path / "run")
    (tmp_path / "run/checkpoint.npz").unlink()
    path = tmp_path / "run/distillation" / lost
    path.unlink() if how == "deleted" else path.write_bytes(path.read_bytes()[: 50 if how == "cut" else 0])
    told: list[str] = []
    train(STUDENT, squares, tmp_path / "run", resume=True, on_part=lambda part, epochs: told.append(part))
    assert told[-3:] == ["view 1/2", "view 2/2", "the student"]
    for one, other in zip(weights(taught), weights(tmp_path / "run"), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_full_disk_is_said_before_anything_is_learnt(squares: Dataset, tmp_path: Path, monkeypatch) -> None:
    def full(descriptor: int, offset: int, length: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(InputError, match=r"views\.npy cannot be written: No space left on device; free some room"):
        train(STUDENT, squares, tmp_path / "run")
    assert not (tmp_path / "run/distillation/views.npy").exists()


def test_teachers_do_not_learn_from_what_judges_their_student(squares: Dataset, tmp_path: Path) -> None:
    recipe = replace(
        STUDENT, epochs=1, validation="kaggle", distillation=Distillation((replace(TEACHER, epochs=1),), views=1)
    )
    train(recipe, squares, tmp_path / "run")
    assert read_recipe(tmp_path / "run/distillation/teacher-1/recipe.json").validation == "kaggle"


def test_a_teacher_that_cannot_be_built_leaves_no_run_behind(squares: Dataset, tmp_path: Path) -> None:
    teachers = (TEACHER, named_recipe("best", "edge", distillation=None, structure={"kernels": [5, 5, 5, 5]}))
    with pytest.raises(UsageError, match="edge cannot be built"):
        train(replace(STUDENT, distillation=Distillation(teachers)), squares, tmp_path / "run")
    assert not (tmp_path / "run").exists()
