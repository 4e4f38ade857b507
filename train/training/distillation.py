"""Distillation: teachers' predictions on augmented views of the training images as soft targets, cached on disk."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.datasets import Dataset
from digits_edge.runtime.errors import InputError, UsageError
from digits_edge.runtime.files import lock
from digits_edge.runtime.json_record import read_json
from digits_edge.runtime.model.image_input import ImageInput, Polarity
from digits_edge.train.data.augmentation import Augmentation
from digits_edge.train.data.augmenting import augment
from digits_edge.train.data.batches import images_per_batch, scaled
from digits_edge.train.data.cutmix import cutmix
from digits_edge.train.data.non_digits import draw_non_digits
from digits_edge.train.models.architectures import build, dtype_policy, input_scale
from digits_edge.train.training.recipe import Distillation, Recipe, recipe_to_json
from digits_edge.train.training.run_folder import ANSWERS, CACHE_LOCK, CACHE_RECORD, MODEL, VIEWS, write_json

_BATCH_SIZE = 1000
#: Separates the random numbers of the views from those of a training's own augmentation.
_STREAM = 7

#: Trains a teacher into a run folder.
TrainTeacher = Callable[[Recipe, Path], object]
#: Called with a part, such as "teacher 1/4", "view 1/20" or "student", and its number of epochs; 0 for views.
PartListener = Callable[[str, int], None]


@dataclass(frozen=True, eq=False)
class SoftTargets:
    """Images and targets of a training.

    Attributes:
        images: uint8 (N, H, W) or (N, H, W, 3).
        targets: labels, unsigned integers (N,), or soft targets, float16 (N, C).
        rows: indices of the images to train on.
        augmentation: augmentation to apply during the training.
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
    """Train the teachers and store their predictions on views of the images; resume if interrupted.

    A view holds every image once, augmented by the student's recipe without its corruption. The soft targets are the
    teachers' probabilities for the view, so a digit that augmentation turns into another has the target of the other
    (Beyer et al. 2022, "Knowledge distillation: a good teacher is patient and consistent"). A share of the images of a
    view is mixed by CutMix, where labels do not apply.

    Corruption is applied to the student's images only, anew in each epoch: the student learns the teachers'
    predictions for the clean view from the corrupted one (Xie et al. 2020, "Self-training with noisy student improves
    ImageNet classification").

    Args:
        recipe: student's recipe, with `distillation`. Students can share a folder if their distillation, validation,
            data, made images and augmentation, except for its corruption, are equal.
        dataset: labelled images, with the made ones of the recipe.
        rows: indices of the training images.
        folder: distillation cache. It stores the teachers' run folders and, for each image and view, a byte per
            pixel and two bytes per class; each view ends with drawings that are not digits.
        train_teacher: trains a teacher into a folder.
        on_part: called before each teacher, each view and the student.

    Raises:
        UsageError: the folder is the cache of another distillation or not a cache, or another training is writing it.
        InputError: the disk is full, or a file of the cache cannot be opened.
    """
    distillation = recipe.distillation
    assert distillation is not None and dataset.labels is not None
    if distillation.non_digits and dataset.image != ImageInput():
        raise UsageError(
            f"the recipe has drawings that are not digits, but the images of {dataset.name} are "
            f"{dataset.image.description}, {dataset.image.polarity}; set non_digits to 0 or use --no-distillation"
        )
    kinds = _kinds(distillation, dataset, len(rows))
    _refuse_other(folder, _settings(recipe, dataset))
    images = targets = None
    if _finished_views(folder) == distillation.views:
        images, targets = (_open(folder / name, *kind, "r") for name, kind in kinds.items())
    if images is None or targets is None:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder):
            images, targets = _compute(recipe, dataset, rows, folder, train_teacher, on_part)
    on_part("student", recipe.epochs)
    corruption = Augmentation(corruption=recipe.augmentation.corruption)
    return SoftTargets(images, targets, np.arange(len(images)), corruption)


def _kinds(distillation: Distillation, dataset: Dataset, rows: int) -> dict[str, tuple[type, tuple[int, ...]]]:
    """Dtype and shape of the arrays of a cache, views and soft targets, by file name."""
    count = distillation.views * (rows + distillation.non_digits)
    shape = (count, *dataset.image.shape)
    return {VIEWS: (np.uint8, shape), ANSWERS: (np.float16, (count, len(dataset.class_names)))}


def _compute(
    recipe: Recipe,
    dataset: Dataset,
    rows: NDArray[np.intp],
    folder: Path,
    train_teacher: TrainTeacher,
    on_part: PartListener,
) -> tuple[Any, Any]:
    """Compute the missing views and soft targets of a cache; return both arrays."""
    distillation = recipe.distillation
    assert distillation is not None
    settings = _settings(recipe, dataset)
    kinds = _kinds(distillation, dataset, len(rows))
    images, targets = (_open(folder / name, *kind, "r+") for name, kind in kinds.items())
    finished = _finished_views(folder)
    if images is None or targets is None:
        finished = 0
        # before hours of training teachers, so that the folder is known as this cache
        write_json(folder / CACHE_RECORD, {"views": finished, "made_of": settings})
        images, targets = (_create(folder / name, *kind) for name, kind in kinds.items())
    if finished < distillation.views:
        teachers = list(_teachers(distillation.teachers, dataset, folder, train_teacher, on_part))
        non_digits = draw_non_digits(distillation.non_digits, np.random.default_rng((distillation.seed, _STREAM)))
        per_view = len(rows) + len(non_digits)
        for view in range(finished, distillation.views):
            on_part(f"view {view + 1}/{distillation.views}", 0)
            part = slice(view * per_view, (view + 1) * per_view)
            _compute_view(view, recipe, dataset, rows, teachers, non_digits, images[part], targets[part])
            images.flush()
            targets.flush()
            write_json(folder / CACHE_RECORD, {"views": view + 1, "made_of": settings})
    return images, targets


def _compute_view(
    view: int,
    recipe: Recipe,
    dataset: Dataset,
    rows: NDArray[np.intp],
    teachers: Sequence[keras.Model],
    non_digits: NDArray[np.uint8],
    images: NDArray[np.uint8],
    targets: NDArray[np.float16],
) -> None:
    """Fill `images` and `targets` with a view of the rows, followed by the non-digits with uniform targets."""
    distillation = recipe.distillation
    assert distillation is not None and dataset.labels is not None
    classes = len(dataset.class_names)
    one_hot = np.eye(classes, dtype=np.float32)[dataset.labels[rows]]
    size, polarity = images_per_batch(dataset.image, _BATCH_SIZE), dataset.image.polarity
    for start in range(0, len(rows), size):
        part = slice(start, min(start + size, len(rows)))
        key = (distillation.seed, view, start)
        shown, is_cut = _view(dataset.images[rows[part]], recipe.augmentation, distillation.cutmix, key, polarity)
        images[part] = shown
        share = np.where(is_cut, 1, distillation.share)[:, np.newaxis]  # the label of a cut image covers only one side
        targets[part] = share * _mean_probabilities(teachers, scaled(shown)) + (1 - share) * one_hot[part]
    if len(non_digits):
        images[len(rows) :], _ = _view(non_digits, recipe.augmentation, 0, (distillation.seed, view, len(rows)))
        targets[len(rows) :] = 1 / classes


def _settings(recipe: Recipe, dataset: Dataset) -> dict[str, Any]:
    """The settings that determine a cache, as JSON values."""
    settings = recipe_to_json(replace(recipe, augmentation=recipe.augmentation.uncorrupted))
    relevant = {name: settings[name] for name in ("distillation", "augmentation", "validation", "hands")}
    return dict(json.loads(json.dumps({"data": dataset.sha256, **relevant})))


def _read_record(folder: Path) -> dict[str, Any]:
    """Record of the cache in a folder; empty if it is missing or damaged."""
    try:
        record = read_json(folder / CACHE_RECORD)
        return {"views": int(record["views"]), "made_of": dict(record["made_of"])}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _finished_views(folder: Path) -> int:
    return int(_read_record(folder).get("views", 0))


def _refuse_other(folder: Path, settings: dict[str, Any]) -> None:
    if not (record := _read_record(folder)):
        if others := [name for name in (VIEWS, ANSWERS, CACHE_RECORD) if (folder / name).exists()]:
            raise UsageError(f"{folder} is not a distillation cache but contains {others[0]}; name another folder")
        return
    differing = [name for name, value in settings.items() if record["made_of"].get(name) != value]
    if differing:
        raise UsageError(
            f"{folder} is a distillation cache with other settings ({', '.join(differing)}); name another folder"
        )


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other trainings from writing the same cache at the same time."""
    with (folder / CACHE_LOCK).open("wb") as stream:
        try:
            is_locked = lock(stream)
        except OSError:  # a file system without locks
            is_locked = True
        if not is_locked:
            raise UsageError(f"{folder}: another training is writing this distillation cache; wait for its student")
        yield


def _view(
    images: NDArray[np.uint8],
    augmentation: Augmentation,
    cutmix_share: float,
    key: tuple[int, int, int],
    polarity: Polarity = "white-on-black",
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Augment images without corruption and mix a share of them: uint8 images, and which are mixed, bool (N,).

    The key seeds the random numbers: seed of the distillation, view, and first image.
    """
    rng = np.random.default_rng((*key, _STREAM))
    augmented = augment(scaled(images), augmentation.uncorrupted, rng, polarity=polarity)
    mixed, is_cut = cutmix(augmented, cutmix_share, rng)
    return np.rint(mixed * 255).astype(np.uint8).reshape(images.shape), is_cut


def _teachers(
    recipes: Sequence[Recipe], dataset: Dataset, folder: Path, train_teacher: TrainTeacher, on_part: PartListener
) -> Iterator[keras.Model]:
    for number, teacher in enumerate(recipes, start=1):
        on_part(f"teacher {number}/{len(recipes)}", teacher.epochs)
        run_folder = folder / f"teacher-{number}"
        train_teacher(teacher, run_folder)
        with dtype_policy(teacher.dtype_policy):  # predicts as fast as it trains
            model = build(teacher.model, classes=len(dataset.class_names), image=dataset.image, **teacher.structure)
        model.set_weights(keras.saving.load_model(run_folder / MODEL, compile=False).get_weights())
        yield model


def _mean_probabilities(teachers: Sequence[keras.Model], images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean probabilities of the teachers, float32 (N, C), for images in 0…1."""
    logits = (teacher.predict_on_batch(images * input_scale(teacher)) for teacher in teachers)
    probabilities: NDArray[np.float32] = np.mean(
        [keras.ops.convert_to_numpy(keras.ops.softmax(each)) for each in logits], axis=0
    )
    return probabilities


def _open(path: Path, dtype: Any, shape: tuple[int, ...], mode: Literal["r", "r+"]) -> Any:
    """Map an array on disk; None if it is missing, truncated or of another shape."""
    try:
        found = np.load(path, mmap_mode=mode)
    except (FileNotFoundError, ValueError, EOFError):
        return None
    except OSError as error:
        raise InputError(f"{path} cannot be opened: {error.strerror or error}") from error
    return found if (found.shape, found.dtype) == (shape, dtype) else None


def _create(path: Path, dtype: Any, shape: tuple[int, ...]) -> Any:
    try:
        array = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
        if hasattr(os, "posix_fallocate"):
            # a full disk raises here; later, a write to the mapped array would kill the process
            with path.open("r+b") as stream:
                os.posix_fallocate(stream.fileno(), 0, path.stat().st_size)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise InputError(f"{path} cannot be written: {error.strerror or error}; free disk space") from error
    return array
