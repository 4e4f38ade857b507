"""What a student learns from: teachers' answers to augmented views of the training images, kept on the disk."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from digits_edge.runtime.datasets import Dataset
from digits_edge.runtime.errors import InputError, UsageError
from digits_edge.runtime.json_record import read_json
from digits_edge.train.data.augmentation import Augmentation
from digits_edge.train.data.augmenting import augment
from digits_edge.train.data.batches import scaled
from digits_edge.train.data.cutmix import cutmix
from digits_edge.train.data.non_digits import draw_non_digits
from digits_edge.train.models.architectures import build, dtype_policy, input_scale
from digits_edge.train.training.recipe import Distillation, Recipe, recipe_to_json
from digits_edge.train.training.run_folder import ANSWERS, CACHE_LOCK, CACHE_RECORD, MODEL, VIEWS, write_json

_AT_ONCE = 1000
#: Sets the numbers that draw views apart from those that draw a training's own augmentation.
_STREAM = 7

#: Trains a teacher into a folder.
TrainTeacher = Callable[[Recipe, Path], object]
#: Told of what is done now, in words, and how many epochs that has: none where no network is trained.
PartListener = Callable[[str, int], None]


@dataclass(frozen=True, eq=False)
class SoftTargets:
    """What a training learns.

    Attributes:
        images: uint8 (N, 28, 28).
        targets: labels, uint8 (N,), or answers, float16 (N, C).
        rows: the indices of the images that are learnt.
        augmentation: what is still to be done to them.
    """

    images: NDArray[np.uint8]
    targets: NDArray[Any]
    rows: NDArray[np.intp]
    augmentation: Augmentation


def soft_targets(
    recipe: Recipe,
    dataset: Dataset,
    rows: NDArray[np.intp],
    folder: Path,
    train_teacher: TrainTeacher,
    on_part: PartListener,
) -> SoftTargets:
    """Train the teachers, show them views of the images and keep what they answer; go on where that was cut.

    A view is every image once, augmented by the student's recipe but not spoiled. Teachers are asked what they see in
    it, so that a digit that was turned into another is learnt as what it has become (Beyer et al. 2022, "Knowledge
    distillation: a good teacher is patient and consistent"). A share of it is cut and continued by other images: labels
    say nothing of these, and in them teachers show where they part digits from each other. Corruption is left to the
    student, anew in every epoch: it learns to see in the spoiled view what its teachers see in the clear one (Xie et
    al. 2020, "Self-training with noisy student improves ImageNet classification").

    Args:
        recipe: the student's, with its `distillation`. Students of one teaching can share a folder, where their
            augmentation is the same too, but for its spoiling.
        dataset: labelled images.
        rows: the indices of the images that are learnt.
        folder: gets the teachers' run folders, 784 bytes and two for each class for every image and view, and after
            the images of a view its drawings of what is no digit.
        train_teacher: trains one.
        on_part: told of every teacher and view.

    Raises:
        UsageError: the folder holds what another teaching has made, or no lesson, or another training is making it.
        InputError: the disk is full, or what is there cannot be opened.
    """
    distillation = recipe.distillation
    assert distillation is not None and dataset.labels is not None
    made_of = _made_of(recipe, dataset)
    kinds = _kinds(distillation, len(rows), len(dataset.class_names))
    _refuse_other(folder, made_of)
    images = answers = None
    if _views_done(folder) == distillation.views:
        images, answers = (_opened(folder / name, *kind, "r") for name, kind in kinds.items())
    if images is None or answers is None:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder):
            images, answers = _made(recipe, dataset, rows, folder, train_teacher, on_part)
    on_part("the student", recipe.epochs)
    corruption = Augmentation(corruption=recipe.augmentation.corruption)
    return SoftTargets(images, answers, np.arange(len(images)), corruption)


def _kinds(distillation: Distillation, rows: int, classes: int) -> dict[str, tuple[type, tuple[int, ...]]]:
    """The arrays of a lesson by their file, views of the images and answers: dtype and shape."""
    count = distillation.views * (rows + distillation.non_digits)
    return {VIEWS: (np.uint8, (count, 28, 28)), ANSWERS: (np.float16, (count, classes))}


def _made(
    recipe: Recipe,
    dataset: Dataset,
    rows: NDArray[np.intp],
    folder: Path,
    train_teacher: TrainTeacher,
    on_part: PartListener,
) -> tuple[Any, Any]:
    """Make what is not made yet of a lesson; its images and answers."""
    distillation = recipe.distillation
    assert distillation is not None and dataset.labels is not None
    made_of, classes = _made_of(recipe, dataset), len(dataset.class_names)
    per_view = len(rows) + distillation.non_digits
    kinds = _kinds(distillation, len(rows), classes)
    images, answers = (_opened(folder / name, *kind, "r+") for name, kind in kinds.items())
    done = _views_done(folder)
    if images is None or answers is None:
        done = 0
        # first of all, so that whose files these are is known while teachers are trained for hours
        write_json(folder / CACHE_RECORD, {"views": done, "made_of": made_of})
        images, answers = (_new(folder / name, *kind) for name, kind in kinds.items())
    if done < distillation.views:
        teachers = list(_teachers(distillation.teachers, folder, train_teacher, on_part))
        labels = np.eye(classes, dtype=np.float32)
        non_digits = draw_non_digits(distillation.non_digits, np.random.default_rng((distillation.seed, _STREAM)))
        for view in range(done, distillation.views):
            on_part(f"view {view + 1}/{distillation.views}", 0)
            first = view * per_view
            for start in range(0, len(rows), _AT_ONCE):
                chosen = rows[start : start + _AT_ONCE]
                number = (distillation.seed, view, start)
                shown, is_cut = _view(dataset.images[chosen], recipe.augmentation, distillation.cutmix, number)
                here = slice(first + start, first + start + len(chosen))
                images[here] = shown
                share = np.where(is_cut, 1, distillation.share)[:, np.newaxis]  # the label is of one half alone
                said = share * _mean_outputs(teachers, scaled(shown))
                answers[here] = said + (1 - share) * labels[dataset.labels[chosen]]
            if len(non_digits):
                here = slice(first + len(rows), first + per_view)
                images[here], _ = _view(non_digits, recipe.augmentation, 0, (distillation.seed, view, len(rows)))
                answers[here] = 1 / classes
            images.flush()
            answers.flush()
            write_json(folder / CACHE_RECORD, {"views": view + 1, "made_of": made_of})
    return images, answers


def _made_of(recipe: Recipe, dataset: Dataset) -> dict[str, Any]:
    """All that decides a lesson, as JSON values."""
    settings = recipe_to_json(replace(recipe, augmentation=recipe.augmentation.uncorrupted))
    decisive = {name: settings[name] for name in ("distillation", "augmentation", "validation")}
    return dict(json.loads(json.dumps({"data": dataset.sha256, **decisive})))


def _about(folder: Path) -> dict[str, Any]:
    """What the lesson in a folder says of itself; empty where there is none, or a damaged one."""
    try:
        about = read_json(folder / CACHE_RECORD)
        return {"views": int(about["views"]), "made_of": dict(about["made_of"])}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _refuse_other(folder: Path, made_of: dict[str, Any]) -> None:
    if not (about := _about(folder)):
        if others := [name for name in (VIEWS, ANSWERS, CACHE_RECORD) if (folder / name).exists()]:
            raise UsageError(f"{folder} is no lesson and has {others[0]}; name another folder")
        return
    differing = [name for name, value in made_of.items() if about["made_of"].get(name) != value]
    if differing:
        raise UsageError(f"{folder} is the lesson of another {' and '.join(differing)}; name another folder")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other trainings from making the same lesson at the same time."""
    try:
        with FileLock(folder / CACHE_LOCK, timeout=0):
            yield
    except Timeout as error:
        raise UsageError(f"another training is making the lesson {folder}; wait until it has begun to learn") from error


def _view(
    images: NDArray[np.uint8], augmentation: Augmentation, cut: float, number: tuple[int, int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """One view of some images, not spoiled, a share of them cut: uint8, as large as they; and bool, which are cut.

    The numbers are of the lesson's seed, view and first image.
    """
    rng = np.random.default_rng((*number, _STREAM))
    moved = augment(scaled(images), augmentation.uncorrupted, rng)[..., 0]
    shown, is_cut = cutmix(moved, cut, rng)
    return np.rint(shown * 255).astype(np.uint8), is_cut


def _teachers(
    recipes: Sequence[Recipe], folder: Path, train_teacher: TrainTeacher, on_part: PartListener
) -> Iterator[keras.Model]:
    for number, teacher in enumerate(recipes, start=1):
        on_part(f"teacher {number}/{len(recipes)}", teacher.epochs)
        its_folder = folder / f"teacher-{number}"
        train_teacher(teacher, its_folder)
        with dtype_policy(teacher.dtype_policy):  # it answers as quickly as it has learnt
            model = build(teacher.model, **teacher.structure)
        model.set_weights(keras.saving.load_model(its_folder / MODEL, compile=False).get_weights())
        yield model


def _mean_outputs(teachers: Sequence[keras.Model], images: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean of the probabilities, float32 (N, C), for images in 0…1."""
    logits = (teacher.predict_on_batch(images * input_scale(teacher)) for teacher in teachers)
    answers: NDArray[np.float32] = np.mean(
        [keras.ops.convert_to_numpy(keras.ops.softmax(each)) for each in logits], axis=0
    )
    return answers


def _opened(path: Path, dtype: Any, shape: tuple[int, ...], mode: Literal["r", "r+"]) -> Any:
    """An array on the disk, mapped; None where it is missing, cut, or of another shape."""
    try:
        found = np.load(path, mmap_mode=mode)
    except (FileNotFoundError, ValueError, EOFError):
        return None
    except OSError as error:
        raise InputError(f"{path} cannot be opened: {error.strerror or error}") from error
    return found if (found.shape, found.dtype) == (shape, dtype) else None


def _new(path: Path, dtype: Any, shape: tuple[int, ...]) -> Any:
    try:
        made = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
        if hasattr(os, "posix_fallocate"):
            # a full disk is said now: found in the middle of a mapped array, it ends the process
            with path.open("r+b") as stream:
                os.posix_fallocate(stream.fileno(), 0, path.stat().st_size)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise InputError(f"{path} cannot be written: {error.strerror or error}; free some room") from error
    return made


def _views_done(folder: Path) -> int:
    return int(_about(folder).get("views", 0))
