"""What a student learns from: teachers' answers to augmented views of the training images, kept on the disk."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.datasets import Dataset
from digits_edge.runtime.errors import InputError
from digits_edge.train.augmentation import augment
from digits_edge.train.batches import scaled
from digits_edge.train.models import input_scale
from digits_edge.train.recipe import Recipe
from digits_edge.train.run_folder import MODEL, write_json

#: In the folder of the lesson.
_VIEWS, _ANSWERS, _DONE = "views.npy", "answers.npy", "lesson.json"
_AT_ONCE = 1000
#: Apart from the numbers that draw a training's own augmentation.
_STREAM = 7

#: Trains a teacher into a folder.
TrainTeacher = Callable[[Recipe, Path], object]
#: Told of what is done now, in words, and how many epochs that has: none where no network is trained.
PartListener = Callable[[str, int], None]


@dataclass(frozen=True, eq=False)
class Lesson:
    """What a training learns.

    Attributes:
        images: uint8 (N, 28, 28).
        targets: labels, uint8 (N,), or answers, float16 (N, C).
        rows: the indices of the images that are learnt.
    """

    images: NDArray[np.uint8]
    targets: NDArray[Any]
    rows: NDArray[np.intp]


def lesson(
    recipe: Recipe,
    dataset: Dataset,
    rows: NDArray[np.intp],
    folder: Path,
    train_teacher: TrainTeacher,
    on_part: PartListener,
) -> Lesson:
    """Train the teachers, show them views of the images and keep what they answer; go on where that was cut.

    A view is every image once, augmented by the student's recipe. Teachers are asked what they see in it, so that an
    image that was spoiled beyond reading is learnt as what it has become (Beyer et al. 2022, "Knowledge distillation:
    a good teacher is patient and consistent").

    Args:
        recipe: the student's, with its `teaching`.
        dataset: labelled images.
        rows: the indices of the images that are learnt.
        folder: gets the teachers' run folders, 785 bytes and two for each class for every image and view.
        train_teacher: trains one.
        on_part: told of every teacher and view.

    Raises:
        InputError: the disk is full.
    """
    teaching = recipe.teaching
    assert teaching is not None and dataset.labels is not None
    folders = [folder / f"teacher-{number}" for number in range(1, len(teaching.teachers) + 1)]
    for number, (teacher, its_folder) in enumerate(zip(teaching.teachers, folders, strict=True), start=1):
        on_part(f"teacher {number}/{len(folders)}", teacher.epochs)
        train_teacher(teacher, its_folder)
    teachers = [keras.saving.load_model(its_folder / MODEL, compile=False) for its_folder in folders]
    images = _on_disk(folder / _VIEWS, np.uint8, (teaching.views * len(rows), 28, 28))
    answers = _on_disk(folder / _ANSWERS, np.float16, (len(images), teachers[0].output_shape[1]))
    labels = np.eye(answers.shape[1], dtype=np.float32)
    for view in range(_views_done(folder), teaching.views):
        on_part(f"view {view + 1}/{teaching.views}", 0)
        for start in range(0, len(rows), _AT_ONCE):
            chosen = rows[start : start + _AT_ONCE]
            rng = np.random.default_rng((recipe.seed, _STREAM, view, start))
            shown = np.rint(augment(scaled(dataset.images[chosen]), recipe.augmentation, rng) * 255).astype(np.uint8)
            here = slice(view * len(rows) + start, view * len(rows) + start + len(chosen))
            images[here] = shown[..., 0]
            said = teaching.share * _mean_answer(teachers, shown)
            answers[here] = said + (1 - teaching.share) * labels[dataset.labels[chosen]]
        write_json(folder / _DONE, {"views": view + 1})
    on_part("the student", recipe.epochs)
    return Lesson(images, answers, np.arange(len(images)))


def _mean_answer(teachers: list[keras.Model], images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The mean of the probabilities, float32 (N, C)."""
    pixels = images.astype(np.float32) / np.float32(255)
    logits = [teacher.predict_on_batch(pixels * input_scale(teacher)) for teacher in teachers]
    answers: NDArray[np.float32] = np.mean([keras.ops.softmax(each) for each in logits], axis=0)
    return answers


def _on_disk(path: Path, dtype: Any, shape: tuple[int, ...]) -> Any:
    """A mapped array; one of this shape that is there already is gone on with."""
    try:
        if path.exists() and (found := np.load(path, mmap_mode="r+")).shape == shape:
            return found
        return np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be written ({error}); free some room, or name another output") from error


def _views_done(folder: Path) -> int:
    try:
        return int(json.loads((folder / _DONE).read_text("utf-8"))["views"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0
