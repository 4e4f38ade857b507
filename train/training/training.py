"""Training a model into a run folder: `train()`."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.datasets import Dataset, parts
from digits_edge.runtime.errors import InputError
from digits_edge.train.data.batches import Batches, OrderedBatches, count_batches
from digits_edge.train.models.architectures import build, dtype_policy, input_scale
from digits_edge.train.models.averaging import WeightAverage
from digits_edge.train.models.batch_norm import with_fused_batch_norm
from digits_edge.train.training.checkpoint import TrainingState, read_state
from digits_edge.train.training.distillation import PartListener, SoftTargets, soft_targets
from digits_edge.train.training.recipe import Recipe
from digits_edge.train.training.run_folder import (
    CHECKPOINT,
    DISTILLATION,
    RECIPE,
    prepare_run_folder,
    recorded_cache,
    write_json,
)
from digits_edge.train.training.run_record import RunRecord, describe

_VALIDATION_BATCH = 1000
#: What "exponential" multiplies the learning rate by in an epoch.
_RATE_PER_EPOCH = 0.9

#: Told after every step: (epoch, step, steps per epoch, loss).
StepListener = Callable[[int, int, int, float], None]
#: Told after every epoch: (epoch, its row of the history).
EpochListener = Callable[[int, dict[str, float]], None]


def train(
    recipe: Recipe,
    dataset: Dataset,
    run_folder: Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    cache_folder: Path | None = None,
    on_step: StepListener | None = None,
    on_epoch: EpochListener | None = None,
    on_part: PartListener | None = None,
) -> dict[str, Any]:
    """Train a model and keep everything about it in a run folder.

    The folder holds `model.keras` (float32, the weights of the epoch with the smallest validation loss, or as the
    recipe says), `history.csv`, `recipe.json`, `curves.png` and `checkpoint.npz`; and in `soft_targets` the runs of the
    teachers, where the recipe has some, with what they answered. The recipe's rule says which images validate; those
    that it holds back are not looked at.

    Args:
        recipe: what to train, and how.
        dataset: labelled images.
        run_folder: made where it is missing.
        resume: go on from the folder's last finished epoch; the end is the same as without a break.
        overwrite: train anew where the folder holds a run already.
        cache_folder: where there are teachers: finds, or gets, their runs and what they answered, for students of the
            same teaching; None keeps them in the run folder, as `soft_targets`, or where a resumed run has them.
        on_step: told of every step.
        on_epoch: told of every epoch.
        on_part: where there are teachers: told what is trained or asked now.

    Returns:
        What `recipe.json` holds.

    Raises:
        UsageError: the folder holds a run and neither `resume` nor `overwrite` is given; or it is the run of another
            recipe; or the lesson is of another teaching.
        InputError: the data has no labels or too few images, or the folder cannot be written.
        CheckError: the training diverged.
    """
    if dataset.labels is None:
        raise InputError(f"{dataset.name} has no labels; training needs them")
    rows = parts(dataset.labels, recipe.validation)
    for teacher in recipe.distillation.teachers if recipe.distillation is not None else ():
        build(teacher.model, **teacher.structure)  # one that cannot be built is said before others are trained
    model = _built(recipe)
    white = input_scale(model)
    steps = count_batches(len(rows.train), recipe.batch_size)
    _compile(model, recipe, steps)
    if resume and cache_folder is None:
        cache_folder = recorded_cache(run_folder)
    keep_cache = cache_folder is not None and cache_folder.resolve() == (run_folder / DISTILLATION).resolve()
    # only now, so that a recipe that cannot be built leaves no run behind
    prepare_run_folder(run_folder, recipe, dataset.sha256, resume=resume, overwrite=overwrite, keep_cache=keep_cache)
    about = describe(recipe, dataset, input_scale=white)
    if cache_folder is not None:
        about["distillation_cache"] = str(cache_folder.resolve())
    write_json(run_folder / RECIPE, about)

    checkpoint = run_folder / CHECKPOINT
    progress = read_state(checkpoint) if resume and checkpoint.exists() else TrainingState()
    remembering = _remembering_callbacks(recipe)
    record = RunRecord(recipe, run_folder, progress, remembering)
    if not record.is_finished:
        cache_folder = cache_folder or run_folder / DISTILLATION
        learnt, validated = _learnt(recipe, dataset, rows.train, cache_folder, (on_step, on_epoch, on_part))
        batches = Batches(
            learnt.images,
            learnt.targets,
            learnt.rows,
            batch_size=recipe.batch_size,
            augmentation=learnt.augmentation,
            seed=recipe.seed,
            per_epoch=len(rows.train),
            white=white,
        )
        model.fit(
            batches,
            validation_data=OrderedBatches(
                dataset.images, validated, rows.validation, batch_size=_VALIDATION_BATCH, white=white
            ),
            initial_epoch=len(progress.history),
            epochs=recipe.epochs,
            shuffle=False,
            verbose=0,
            callbacks=[*remembering, _Seeds(batches, recipe.seed), record, _Telling(steps, on_step, on_epoch)],
        )
    about["result"] = record.result()
    write_json(run_folder / RECIPE, about)
    return about


def _learnt(
    recipe: Recipe,
    dataset: Dataset,
    rows: NDArray[np.intp],
    cache_folder: Path,
    listeners: tuple[StepListener | None, EpochListener | None, PartListener | None],
) -> tuple[SoftTargets, NDArray[Any]]:
    """What these rows teach, by their labels or by teachers; and what all images are validated by, in the same form."""
    on_step, on_epoch, on_part = listeners
    assert dataset.labels is not None
    if recipe.distillation is None:
        return SoftTargets(dataset.images, dataset.labels, rows, recipe.augmentation), dataset.labels

    def teach(teacher: Recipe, folder: Path) -> None:
        # nobody learns from images that judge the student
        teacher = replace(teacher, validation=recipe.validation)
        train(teacher, dataset, folder, resume=True, on_step=on_step, on_epoch=on_epoch)

    learnt = soft_targets(recipe, dataset, rows, cache_folder, teach, on_part or (lambda part, epochs: None))
    return learnt, np.eye(learnt.targets.shape[1])[dataset.labels]


def _built(recipe: Recipe) -> keras.Model:
    keras.utils.set_random_seed(recipe.seed)
    with dtype_policy(recipe.dtype_policy):
        return with_fused_batch_norm(build(recipe.model, **recipe.structure))


def _compile(model: keras.Model, recipe: Recipe, steps_per_epoch: int) -> None:
    of_labels = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    of_answers = keras.losses.CategoricalCrossentropy(from_logits=True)
    model.compile(
        optimizer=_optimizer(recipe, steps_per_epoch),
        loss=of_labels if recipe.distillation is None else of_answers,
        metrics=["accuracy"] if recipe.distillation is None else [_AccuracyOfClear()],
    )
    model.optimizer.build(model.trainable_variables)


class _AccuracyOfClear(keras.metrics.Mean):  # type: ignore[misc]
    """The accuracy over the targets that have one likeliest class: what is no digit has none."""

    def __init__(self) -> None:
        super().__init__(name="accuracy")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count a batch: answers (N, C) to learn, logits (N, C)."""
        ops = keras.ops
        is_clear = ops.max(y_true, axis=1) > 1.01 * ops.mean(y_true, axis=1)
        is_right = ops.equal(ops.argmax(y_true, axis=1), ops.argmax(y_pred, axis=1))
        super().update_state(ops.cast(is_right, "float32"), sample_weight=ops.cast(is_clear, "float32"))


def _optimizer(recipe: Recipe, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    rate: Any = recipe.learning_rate
    if recipe.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=recipe.learning_rate / 10,
            warmup_target=recipe.learning_rate,
            warmup_steps=steps_per_epoch,
            decay_steps=max(1, (recipe.epochs - 1) * steps_per_epoch),
        )
    elif recipe.schedule == "exponential":
        rate = keras.optimizers.schedules.ExponentialDecay(
            recipe.learning_rate, decay_steps=steps_per_epoch, decay_rate=_RATE_PER_EPOCH
        )
    return keras.optimizers.get({"class_name": recipe.optimizer, "config": {"learning_rate": rate}})


def _remembering_callbacks(recipe: Recipe) -> list[keras.callbacks.Callback]:
    """The callbacks whose state belongs to the checkpoint; they come before the one that saves it."""
    callbacks: list[keras.callbacks.Callback] = []
    if recipe.average_decay is not None:
        callbacks.append(WeightAverage(recipe.average_decay))
    if recipe.schedule == "plateau":
        callbacks.append(keras.callbacks.ReduceLROnPlateau("val_loss", factor=0.2, patience=2, min_lr=1e-4))
    if recipe.patience is not None:
        # the best weights are restored from the run folder, where they outlive a restart
        callbacks.append(
            keras.callbacks.EarlyStopping("val_loss", patience=recipe.patience, min_delta=recipe.min_delta)
        )
    return callbacks


class _Seeds(keras.callbacks.Callback):  # type: ignore[misc]
    """Draws order, augmentation and dropout of every epoch from (seed, epoch)."""

    def __init__(self, batches: Batches, seed: int) -> None:
        super().__init__()
        self._batches, self._seed = batches, seed

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._batches.epoch = epoch
        states = [v for v in self.model.non_trainable_variables if v.path.endswith("seed_generator_state")]
        for index, state in enumerate(states):
            state.assign([self._seed * 1_000_003 + epoch, index])


class _Telling(keras.callbacks.Callback):  # type: ignore[misc]
    """Tells the caller how far it is."""

    def __init__(self, steps: int, on_step: StepListener | None, on_epoch: EpochListener | None) -> None:
        super().__init__()
        self._steps, self._on_step, self._on_epoch = steps, on_step, on_epoch
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if self._on_step is not None:
            self._on_step(self._epoch, batch + 1, self._steps, float((logs or {}).get("loss", float("nan"))))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self._on_epoch is not None:
            self._on_epoch(epoch, {name: float(value) for name, value in (logs or {}).items()})
