"""Distillation: soft targets, their cache, and resuming after an interruption."""

import errno
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from digits_edge.runtime.datasets import Dataset, parts
from digits_edge.runtime.errors import InputError, UsageError
from digits_edge.runtime.files import lock
from digits_edge.train import Hands, Recipe, named_recipe, read_recipe, train
from digits_edge.train.data.augmentation import Augmentation, Corruption
from digits_edge.train.data.batches import Batches
from digits_edge.train.data.made_hands import with_hands
from digits_edge.train.data.non_digits import draw_non_digits
from digits_edge.train.training.distillation import SoftTargets, soft_targets
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


class InterruptionError(Exception):
    pass


def parts_until_student(recipe: Recipe, data: Dataset, folder: Path, **settings: Any) -> list[str]:
    """Parts of a training, which is interrupted when its student begins."""
    calls: list[str] = []

    def on_part(part: str, epochs: int) -> None:
        calls.append(part)
        if part == "student":
            raise InterruptionError

    with pytest.raises(InterruptionError):
        train(recipe, data, folder, on_part=on_part, **settings)
    return calls


def targets_with_teachers_of(distilled: Path, recipe: Recipe, data: Dataset, folder: Path) -> SoftTargets:
    """Compute the soft targets of a recipe in a new cache, with copies of the trained teachers of STUDENT."""

    def copy_teacher(teacher: Recipe, run_folder: Path) -> None:
        copied = shutil.copytree(distilled / "distillation" / run_folder.name, run_folder)
        assert read_recipe(copied / "recipe.json") == teacher

    rows = parts(data.labels, recipe.validation).train
    return soft_targets(recipe, data, rows, folder, copy_teacher, lambda part, epochs: None)


@pytest.fixture(scope="module")
def distilled(squares: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("distilled") / "run"
    train(STUDENT, squares, folder)
    return folder


def test_soft_targets_are_mean_probabilities_of_augmented_images(distilled: Path, squares: Dataset) -> None:
    images, targets = np.load(distilled / "distillation/views.npy"), np.load(distilled / "distillation/answers.npy")
    rows = parts(squares.labels).train
    assert images.shape == (2 * len(rows), 28, 28) and targets.shape == (2 * len(rows), 10)
    assert (images[: len(rows)] != images[len(rows) :]).any() and (images[0] != squares.images[rows[0]]).any()
    teachers = [keras.saving.load_model(distilled / f"distillation/teacher-{number}/model.keras") for number in (1, 2)]
    pixels = images[..., np.newaxis].astype(np.float32) / 255
    mean = np.mean([keras.ops.softmax(teacher(pixels)) for teacher in teachers], axis=0)
    np.testing.assert_allclose(targets, mean, atol=2e-3)
    assert (targets.argmax(axis=1) == np.tile(squares.labels[rows], 2)).mean() > 0.8


def test_corruption_is_applied_by_the_student(squares: Dataset, tmp_path: Path, distilled: Path) -> None:
    shutil.copytree(distilled / "distillation", tmp_path / "distillation")
    corrupted = replace(STUDENT.augmentation, corruption=Corruption(share=1.0, negative=1.0))
    rows = parts(squares.labels).train
    student = replace(STUDENT, augmentation=corrupted)
    # pytest.fail instead of a training: the cache is valid for another corruption
    data = soft_targets(student, squares, rows, tmp_path / "distillation", pytest.fail, lambda part, epochs: None)
    np.testing.assert_array_equal(data.images, np.load(distilled / "distillation/views.npy"))
    assert data.augmentation == Augmentation(corruption=Corruption(share=1.0, negative=1.0))
    batches = Batches(data.images, data.targets, data.rows[:10], batch_size=10, augmentation=data.augmentation, seed=0)
    assert sorted(batches[0][0].mean((1, 2, 3))) == pytest.approx(sorted(1 - data.images[:10].mean((1, 2)) / 255))


def test_views_are_not_corrupted(squares: Dataset, tmp_path: Path, distilled: Path) -> None:
    corruption_only = Augmentation(corruption=Corruption(share=1.0, negative=1.0))
    recipe = replace(STUDENT, augmentation=corruption_only)
    views = targets_with_teachers_of(distilled, recipe, squares, tmp_path / "distillation").images
    rows = parts(squares.labels).train
    np.testing.assert_array_equal(views, np.tile(squares.images[rows], (2, 1, 1)))


def test_student_learns_from_soft_targets(distilled: Path) -> None:
    history = (distilled / "history.csv").read_text().splitlines()
    accuracies = [float(line.split(",")[history[0].split(",").index("val_accuracy")]) for line in history[1:]]
    assert accuracies[-1] > 0.8
    assert read_recipe(distilled / "recipe.json") == STUDENT


def test_share_mixes_soft_targets_with_labels(squares: Dataset, tmp_path: Path, distilled: Path) -> None:
    half = replace(STUDENT, distillation=replace(STUDENT.distillation, share=0.5))
    mixed = targets_with_teachers_of(distilled, half, squares, tmp_path / "distillation").targets
    targets = np.load(distilled / "distillation/answers.npy")
    labels = np.tile(np.eye(10)[squares.labels[parts(squares.labels).train]], (2, 1))
    np.testing.assert_allclose(mixed, (targets + labels) / 2, atol=2e-3)


def test_targets_of_cut_images_are_the_teachers_probabilities(
    squares: Dataset, tmp_path: Path, distilled: Path
) -> None:
    distillation = replace(STUDENT.distillation, share=0.5, cutmix=0.5)
    recipe = replace(STUDENT, distillation=distillation)
    data = targets_with_teachers_of(distilled, recipe, squares, tmp_path / "distillation")
    uncut_images, uncut_targets = (np.load(distilled / "distillation" / name) for name in ("views.npy", "answers.npy"))
    images, targets = np.asarray(data.images), np.asarray(data.targets)
    is_cut = (images != uncut_images).any(axis=(1, 2))
    assert 0.3 < is_cut.mean() < 0.7
    labels = np.tile(np.eye(10)[squares.labels[parts(squares.labels).train]], (2, 1))
    np.testing.assert_allclose(targets[~is_cut], ((uncut_targets + labels) / 2)[~is_cut], atol=2e-3)
    teachers = [keras.saving.load_model(distilled / f"distillation/teacher-{number}/model.keras") for number in (1, 2)]
    pixels = images[is_cut][..., np.newaxis].astype(np.float32) / 255
    mean = np.mean([keras.ops.softmax(teacher(pixels)) for teacher in teachers], axis=0)
    np.testing.assert_allclose(targets[is_cut], mean, atol=2e-3)


def test_targets_of_non_digits_are_uniform(squares: Dataset, tmp_path: Path, distilled: Path) -> None:
    recipe = replace(STUDENT, distillation=Distillation((TEACHER,), views=2, non_digits=20))
    data = targets_with_teachers_of(distilled, recipe, squares, tmp_path / "distillation")
    images, targets = np.asarray(data.images), np.asarray(data.targets)
    digits = len(parts(squares.labels).train)
    assert len(images) == len(targets) == 2 * (digits + 20)
    non_digits = np.r_[digits : digits + 20, 2 * digits + 20 : 2 * digits + 40]
    np.testing.assert_allclose(targets[non_digits], 0.1, atol=1e-4)
    assert (np.delete(targets, non_digits, axis=0).max(axis=1) > 0.11).all()
    assert (images[non_digits[:20]] != images[non_digits[20:]]).any()  # same drawings, other augmentation


def test_student_has_low_confidence_on_non_digits(squares: Dataset, tmp_path: Path, distilled: Path) -> None:
    student = replace(STUDENT, distillation=replace(STUDENT.distillation, non_digits=100))
    cache = tmp_path / "distillation"
    targets_with_teachers_of(distilled, student, squares, cache)
    about = train(student, squares, tmp_path / "run", cache_folder=cache)
    drawings = draw_non_digits(100, np.random.default_rng(99))[..., np.newaxis].astype(np.float32) / 255

    def confidence(folder: Path) -> float:
        model = keras.saving.load_model(folder / "model.keras")
        return float(np.asarray(keras.ops.softmax(model(drawings))).max(axis=1).mean())

    assert confidence(tmp_path / "run") < confidence(distilled) - 0.1
    # accuracy ignores uniform targets
    assert read_history(tmp_path / "run/history.csv")[-1]["accuracy"] > 0.75
    assert about["result"]["validation_accuracy"] > 0.75


def test_run_with_other_teachers_is_not_resumed(squares: Dataset, distilled: Path, tmp_path: Path) -> None:
    run = shutil.copytree(distilled, tmp_path / "run")
    slower = (replace(TEACHER, learning_rate=0.001), replace(TEACHER, seed=1))
    for distillation, message in (
        (replace(STUDENT.distillation, teachers=slower), r"\(teacher 1's learning_rate: 0.005, now 0.001\)"),
        (replace(STUDENT.distillation, teachers=slower[:1]), r"\(teachers: 2, now 1\)"),
        (replace(STUDENT.distillation, seed=4), r"\(seed: 0, now 4\)"),
        (None, r"\(distillation: set, now none\)"),
    ):
        with pytest.raises(UsageError, match=message):
            train(replace(STUDENT, distillation=distillation), squares, run, resume=True)


def test_students_with_equal_distillation_share_a_cache(squares: Dataset, tmp_path: Path, distilled: Path) -> None:
    cache = shutil.copytree(distilled / "distillation", tmp_path / "distillation")
    other = replace(STUDENT, epochs=1, seed=5)
    assert parts_until_student(other, squares, tmp_path / "run", cache_folder=cache) == ["student"]
    assert not (tmp_path / "run/distillation").exists()
    # its own cache would be the same
    own = targets_with_teachers_of(distilled, other, squares, tmp_path / "own")
    np.testing.assert_array_equal(own.images, np.load(cache / "views.npy"))
    np.testing.assert_array_equal(own.targets, np.load(cache / "answers.npy"))


def test_cache_of_another_distillation_is_refused_and_unchanged(
    squares: Dataset, tmp_path: Path, distilled: Path
) -> None:
    cache = shutil.copytree(distilled / "distillation", tmp_path / "distillation")
    more = replace(STUDENT, distillation=replace(STUDENT.distillation, views=3))
    with pytest.raises(UsageError, match=r"distillation cache with other settings \(distillation\); name another"):
        train(more, squares, tmp_path / "run", cache_folder=cache)
    assert (cache / "views.npy").read_bytes() == (distilled / "distillation/views.npy").read_bytes()


def test_resumed_student_uses_its_recorded_cache(squares: Dataset, tmp_path: Path, distilled: Path) -> None:
    cache = shutil.copytree(distilled / "distillation", tmp_path / "distillation")

    def interrupt(epoch: int, row: dict[str, float]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(STUDENT, squares, tmp_path / "run", cache_folder=cache, on_epoch=interrupt)
    train(STUDENT, squares, tmp_path / "run", resume=True)
    assert not (tmp_path / "run/distillation").exists()
    # `distilled` has a cache of its own and was not interrupted
    for one, same in zip(weights(tmp_path / "run"), weights(distilled), strict=True):
        np.testing.assert_array_equal(one, same)


def test_overwriting_a_run_keeps_its_cache_if_named(squares: Dataset, tmp_path: Path, distilled: Path) -> None:
    run = shutil.copytree(distilled, tmp_path / "run")
    other = replace(STUDENT, seed=5, epochs=1)
    cache = run / "distillation"
    assert parts_until_student(other, squares, run, cache_folder=cache, overwrite=True) == ["student"]
    assert not (run / "model.keras").exists()


def test_folder_that_is_not_a_cache_is_refused(squares: Dataset, tmp_path: Path) -> None:
    np.save(tmp_path / "answers.npy", np.arange(5))
    with pytest.raises(UsageError, match=r"is not a distillation cache but contains answers\.npy; name another folder"):
        train(STUDENT, squares, tmp_path / "run", cache_folder=tmp_path)
    np.testing.assert_array_equal(np.load(tmp_path / "answers.npy"), np.arange(5))


def test_cache_that_cannot_be_opened_is_unchanged(
    squares: Dataset, tmp_path: Path, distilled: Path, monkeypatch
) -> None:
    cache = shutil.copytree(distilled / "distillation", tmp_path / "distillation")

    def fail(*arguments: object, **settings: object) -> None:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr("digits_edge.train.training.distillation.np.load", fail)
    with pytest.raises(InputError, match=r"views\.npy cannot be opened: Cannot allocate memory"):
        train(STUDENT, squares, tmp_path / "run", cache_folder=cache)
    assert (cache / "cache.json").read_bytes() == (distilled / "distillation/cache.json").read_bytes()
    assert (cache / "views.npy").stat().st_size == (distilled / "distillation/views.npy").stat().st_size


@pytest.mark.skipif(os.name != "posix", reason="runtime.files.lock has no effect on Windows")
def test_cache_is_locked_while_it_is_written(squares: Dataset, tmp_path: Path) -> None:
    (tmp_path / "distillation").mkdir()
    with (tmp_path / "distillation/.lock").open("wb") as stream:
        assert lock(stream)
        with pytest.raises(UsageError, match="another training is writing this distillation cache"):
            train(STUDENT, squares, tmp_path / "run", cache_folder=tmp_path / "distillation")


#: Calls of a resumed training by the part at which it was interrupted.
CALLS_AFTER_INTERRUPTION = {
    "teacher 2/2": [
        "teacher 1/2",
        "teacher 2/2",
        *["epoch"] * 2,
        "view 1/2",
        "view 2/2",
        "student",
        *["epoch"] * 3,
    ],
    "view 2/2": ["teacher 1/2", "teacher 2/2", "view 2/2", "student", *["epoch"] * 3],
    "student": ["student", "epoch"],
}


@pytest.mark.slow
@pytest.mark.parametrize("interrupted", CALLS_AFTER_INTERRUPTION)
def test_interruption_loses_no_teacher_and_no_view(
    squares: Dataset, tmp_path: Path, distilled: Path, interrupted: str
) -> None:
    calls: list[str] = []

    def on_part(part: str, epochs: int) -> None:
        calls.append(part)
        if part == interrupted != "student":
            raise InterruptionError

    def on_epoch(number: int, row: dict[str, float]) -> None:
        calls.append("epoch")
        if calls[-3:] == ["student", "epoch", "epoch"] and interrupted == "student":
            raise InterruptionError

    with pytest.raises(InterruptionError):
        train(STUDENT, squares, tmp_path / "run", on_part=on_part, on_epoch=on_epoch)
    calls.clear()
    train(
        STUDENT,
        squares,
        tmp_path / "run",
        resume=True,
        on_part=lambda part, epochs: calls.append(part),
        on_epoch=lambda number, row: calls.append("epoch"),
    )
    assert calls == CALLS_AFTER_INTERRUPTION[interrupted]
    for one, other in zip(weights(distilled), weights(tmp_path / "run"), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_overwriting_replaces_the_cache_and_keeps_other_files(squares: Dataset, tmp_path: Path) -> None:
    short = replace(STUDENT, epochs=1, distillation=Distillation((replace(TEACHER, epochs=1),), views=1))
    calls: list[str] = []
    train(short, squares, tmp_path / "run")
    train(short, squares, tmp_path / "run", overwrite=True, on_part=lambda part, epochs: calls.append(part))
    assert calls == ["teacher 1/1", "view 1/1", "student"]
    (tmp_path / "run/distillation/mine.txt").write_text("mine")
    train(named_recipe("best", "perceptron", epochs=1), squares, tmp_path / "run", overwrite=True)
    assert {path.name for path in (tmp_path / "run/distillation").rglob("*") if path.is_file()} == {"mine.txt"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "fault"), [("views.npy", "deleted"), ("views.npy", "empty"), ("answers.npy", "truncated")]
)
def test_incomplete_cache_is_computed_again(
    squares: Dataset, tmp_path: Path, distilled: Path, name: str, fault: str
) -> None:
    """Without this check a student would train on black images."""
    shutil.copytree(distilled, tmp_path / "run")
    (tmp_path / "run/checkpoint.npz").unlink()
    path = tmp_path / "run/distillation" / name
    path.unlink() if fault == "deleted" else path.write_bytes(path.read_bytes()[: 50 if fault == "truncated" else 0])
    calls: list[str] = []
    train(STUDENT, squares, tmp_path / "run", resume=True, on_part=lambda part, epochs: calls.append(part))
    assert calls[-3:] == ["view 1/2", "view 2/2", "student"]
    for one, other in zip(weights(distilled), weights(tmp_path / "run"), strict=True):
        np.testing.assert_array_equal(one, other)


def test_full_disk_is_reported_before_training(squares: Dataset, tmp_path: Path, monkeypatch) -> None:
    def full(descriptor: int, offset: int, length: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(InputError, match=r"views\.npy cannot be written: No space left on device; free disk space"):
        train(STUDENT, squares, tmp_path / "run")
    assert not (tmp_path / "run/distillation/views.npy").exists()


def test_teachers_do_not_train_on_validation_images_of_the_student(squares: Dataset, tmp_path: Path) -> None:
    recipe = replace(
        STUDENT, epochs=1, validation="kaggle", distillation=Distillation((replace(TEACHER, epochs=1),), views=1)
    )

    def interrupt(epoch: int, step: int, steps: int, loss: float) -> None:
        raise InterruptionError

    with pytest.raises(InterruptionError):
        train(recipe, squares, tmp_path / "run", on_step=interrupt)
    assert read_recipe(tmp_path / "run/distillation/teacher-1/recipe.json").validation == "kaggle"


def test_teacher_that_cannot_be_built_leaves_no_run(squares: Dataset, tmp_path: Path) -> None:
    teachers = (TEACHER, named_recipe("best", "edge", distillation=None, structure={"kernels": [5, 5, 5, 5]}))
    with pytest.raises(UsageError, match="edge cannot be built"):
        train(replace(STUDENT, distillation=Distillation(teachers)), squares, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_photographs_are_distilled(colours: Dataset, tmp_path: Path) -> None:
    teacher = named_recipe("best", "perceptron", image=colours.image, epochs=3, batch_size=20, average_decay=None)
    distillation = Distillation((teacher,), views=2, cutmix=0.5)
    student = named_recipe("best", "perceptron", image=colours.image, epochs=3, batch_size=20, average_decay=None)
    about = train(replace(student, distillation=distillation), colours, tmp_path / "run")
    views, targets = (np.load(tmp_path / "run/distillation" / name) for name in ("views.npy", "answers.npy"))
    rows = len(parts(colours.labels).train)
    assert (views.shape, targets.shape) == ((2 * rows, 12, 16, 3), (2 * rows, 3))
    assert about["result"]["validation_accuracy"] > 0.8


def test_drawings_that_are_not_digits_are_refused_for_photographs(colours: Dataset, tmp_path: Path) -> None:
    recipe = replace(STUDENT, distillation=replace(STUDENT.distillation, non_digits=5))
    with pytest.raises(UsageError, match=r"the images of colours are 12×16×3, as-photographed; set non_digits to 0 or"):
        train(recipe, colours, tmp_path / "run")


def test_views_and_teachers_with_made_images_have_those_of_the_student(squares: Dataset, tmp_path: Path) -> None:
    hands = Hands(30, fonts=0)
    teacher = replace(TEACHER, epochs=1)
    teachers = (replace(teacher, hands=Hands(7)), teacher)
    recipe = replace(STUDENT, hands=hands, distillation=Distillation(teachers, views=2))
    parts_until_student(recipe, squares, tmp_path)
    cache = tmp_path / "distillation"
    assert [read_recipe(cache / f"teacher-{n}" / "recipe.json").hands for n in (1, 2)] == [hands, None]
    views = np.load(cache / "views.npy")
    assert len(views) == 2 * (270 + 30)
    made = with_hands(squares, "tenth", hands)[0].images[300:]
    shifted = np.abs(views[270:300].sum(axis=(1, 2), dtype=np.int64) - made.sum(axis=(1, 2), dtype=np.int64))
    assert (shifted < 0.1 * made.sum(axis=(1, 2))).all()  # the view moves digits by a pixel
    with pytest.raises(UsageError, match=r"other settings \(hands\)"):
        train(replace(recipe, hands=None), squares, tmp_path / "other", cache_folder=cache)
