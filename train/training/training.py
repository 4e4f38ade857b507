"""Train a model into a run folder: `train()`."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.datasets import Dataset, parts
from digits_edge.runtime.errors import InputError
from digits_edge.train.data.batches import Batches, OrderedBatches, count_batches, images_per_batch
from digits_edge.train.data.made_hands import calibration_hands, refuse_hands, with_hands
from digits_edge.train.data.streaming import BatchSource, streamed
from digits_edge.train.models.architectures import build, dtype_policy, input_scale
from digits_edge.train.models.averaging import WeightAverage
from digits_edge.train.models.batch_norm import with_fused_batch_norm
from digits_edge.train.numbers.batches import LineBatches, OrderedLineBatches
from digits_edge.train.numbers.line_data import LINE_INPUT, training_lines, validation_lines
from digits_edge.train.numbers.loss import ColumnLoss, TextAccuracy
from digits_edge.train.numbers.texts import CHARACTERS
from digits_edge.train.training.checkpoint import TrainingState, read_state
from digits_edge.train.training.distillation import PartListener, SoftTargets, TrainTeacher, soft_targets
from digits_edge.train.training.recipe import Recipe
from digits_edge.train.training.run_folder import (
    CALIBRATION,
    CHECKPOINT,
    DISTILLATION,
    LINES,
    RECIPE,
    prepare_run_folder,
    recorded_cache,
    write_images,
    write_json,
)
from digits_edge.train.training.run_record import RunRecord, describe

_VALIDATION_BATCH = 1000
#: Lines of a batch for the validation of a sequence model.
_VALIDATION_LINES = 100
#: Factor of the learning rate per epoch of the "exponential" schedule.
_DECAY_PER_EPOCH = 0.9

#: Called with (epoch from 0, step from 1, steps per epoch, loss) after each step.
StepListener = Callable[[int, int, int, float], None]
#: Called with (epoch from 0, its row of the history) after each epoch.
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
    """Train a model and write its run folder.

    The folder holds `model.keras` (float32 weights of the epoch with the smallest validation loss, or of the last one
    if the recipe says so), `history.csv`, `recipe.json`, `curves.png` and `checkpoint.npz`. With distillation, the
    folder `distillation` holds the teachers' runs and the soft targets; with lines, `lines` holds them. The recipe's
    validation rule chooses the validation images; images that it holds back are not used. Made images (`Recipe.hands`)
    are added to the training images only; others are stored, on which an export calibrates the confidence.

    Args:
        recipe: recipe of the training.
        dataset: labelled images.
        run_folder: run folder; created if missing.
        resume: continue from the last finished epoch in the folder. The result is the same as without interruption.
        overwrite: replace the run in the folder.
        cache_folder: distillation cache, which students with the same distillation can share; None for the folder
            `distillation` in the run folder, or for the cache that a resumed run records.
        on_step: called after each step.
        on_epoch: called after each epoch.
        on_part: called before made images or lines are drawn and, with distillation, before each teacher, each view and
            the student.

    Returns:
        Content of `recipe.json`.

    Raises:
        UsageError: the folder holds a run and neither `resume` nor `overwrite` is set; its run has another recipe; or
            the cache is of another distillation.
        InputError: the data has no labels or too few images, or the folder cannot be written.
        CheckError: the training diverged.

    Example:
        >>> from digits_edge.train import named_recipe
        >>> about = train(named_recipe("best", "cnn-small"), dataset, Path("runs/cnn-small"))  # doctest: +SKIP
        >>> about["result"]["validation_accuracy"]  # doctest: +SKIP
    """
    if dataset.labels is None:
        raise InputError(f"{dataset.name} has no labels; training needs them")
    rows = parts(dataset.labels, recipe.validation)
    if recipe.hands is not None or recipe.lines is not None:
        refuse_hands(dataset)
    for teacher in recipe.distillation.teachers if recipe.distillation is not None else ():
        _build(teacher, dataset)  # raises before other teachers are trained
    model = _training_model(recipe, dataset)
    scale = input_scale(model)
    per_epoch = _per_epoch(recipe, len(rows.train))
    steps = count_batches(per_epoch, recipe.batch_size)
    _compile(model, recipe, steps)
    if resume and cache_folder is None:
        cache_folder = recorded_cache(run_folder)
    keep_cache = cache_folder is not None and cache_folder.resolve() == (run_folder / DISTILLATION).resolve()
    # after building the models, so that a recipe that cannot be built leaves no folder behind
    prepare_run_folder(run_folder, recipe, dataset.sha256, resume=resume, overwrite=overwrite, keep_cache=keep_cache)
    about = describe(recipe, dataset, input_scale=scale)
    if cache_folder is not None:
        about["distillation_cache"] = str(cache_folder.resolve())
    write_json(run_folder / RECIPE, about)

    checkpoint = run_folder / CHECKPOINT
    progress = read_state(checkpoint) if resume and checkpoint.exists() else TrainingState()
    stateful = _stateful_callbacks(recipe)
    record = RunRecord(recipe, partial(_build, recipe, dataset), run_folder, progress, stateful)
    if not record.is_finished:
        if recipe.hands is not None:
            made = calibration_hands(dataset, recipe.validation, recipe.hands)
            write_images(run_folder / CALIBRATION, made.images, made.labels)
        batches, validation = _batches(
            recipe,
            dataset,
            _Places(run_folder, cache_folder or run_folder / DISTILLATION),
            _Listeners(on_step, on_epoch, on_part or _ignore),
        )
        model.fit(
            streamed(batches),
            validation_data=streamed(validation),
            initial_epoch=len(progress.history),
            epochs=recipe.epochs,
            shuffle=False,
            verbose=0,
            callbacks=[*stateful, _Seeds(batches, recipe.seed), record, _Notifier(steps, on_step, on_epoch)],
        )
    about["result"] = record.result()
    write_json(run_folder / RECIPE, about)
    return about


@dataclass(frozen=True)
class _Places:
    """Run folder and distillation cache."""

    run: Path
    cache: Path


@dataclass(frozen=True)
class _Listeners:
    """The listeners of `train`."""

    on_step: StepListener | None
    on_epoch: EpochListener | None
    on_part: PartListener


def _per_epoch(recipe: Recipe, images: int) -> int:
    """Number of images or lines per epoch, from the number of training images."""
    if recipe.lines is not None:
        return recipe.lines.count
    return images + (0 if recipe.hands is None else recipe.hands.count)


def _batches(
    recipe: Recipe, dataset: Dataset, places: _Places, listeners: _Listeners
) -> tuple[Batches | LineBatches, BatchSource]:
    """Batches for training and validation."""
    if recipe.lines is None:
        return _image_batches(recipe, dataset, places, listeners)
    pools = [
        make(dataset, recipe.validation, recipe.lines, places.run / LINES, listeners.on_part)
        for make in (training_lines, validation_lines)
    ]
    training = LineBatches(pools[0], batch_size=recipe.batch_size, seed=recipe.seed)
    return training, OrderedLineBatches(pools[1], batch_size=_VALIDATION_LINES)


def _image_batches(
    recipe: Recipe, dataset: Dataset, places: _Places, listeners: _Listeners
) -> tuple[Batches, OrderedBatches]:
    assert dataset.labels is not None
    rows = parts(dataset.labels, recipe.validation)
    scale = input_scale(_build(recipe, dataset))

    def train_teacher(teacher: Recipe, folder: Path) -> None:
        # teachers do not train on the student's validation images; those with made images see the student's
        hands = None if teacher.hands is None else recipe.hands
        teacher = replace(teacher, validation=recipe.validation, hands=hands)
        train(teacher, dataset, folder, resume=True, on_step=listeners.on_step, on_epoch=listeners.on_epoch)

    data = _training_data(recipe, dataset, rows.train, places.cache, train_teacher, listeners.on_part)
    validation_targets: NDArray[Any] = dataset.labels
    if recipe.distillation is not None:
        validation_targets = np.eye(data.targets.shape[1])[dataset.labels]
    batches = Batches(
        data.images,
        data.targets,
        data.rows,
        batch_size=recipe.batch_size,
        augmentation=data.augmentation,
        seed=recipe.seed,
        per_epoch=_per_epoch(recipe, len(rows.train)),
        input_scale=scale,
        polarity=dataset.image.polarity,
    )
    validation_batch = images_per_batch(dataset.image, _VALIDATION_BATCH)
    return batches, OrderedBatches(
        dataset.images, validation_targets, rows.validation, batch_size=validation_batch, input_scale=scale
    )


def _training_data(
    recipe: Recipe,
    dataset: Dataset,
    rows: NDArray[np.intp],
    cache_folder: Path,
    train_teacher: TrainTeacher,
    on_part: PartListener,
) -> SoftTargets:
    """Training images, with the made ones, and their labels or, with distillation, soft targets."""
    if recipe.hands is not None:
        on_part(f"{recipe.hands.count:,} made images", 0)
        dataset, rows = with_hands(dataset, recipe.validation, recipe.hands)
    if recipe.distillation is not None:
        return soft_targets(recipe, dataset, rows, cache_folder, train_teacher, on_part)
    assert dataset.labels is not None
    return SoftTargets(dataset.images, dataset.labels, rows, recipe.augmentation)


def _ignore(part: str, epochs: int) -> None:
    """Default listener of parts."""


def _build(recipe: Recipe, dataset: Dataset) -> keras.Model:
    """Build the model of a recipe for the images and classes of a data set, or for lines."""
    if recipe.lines is not None:
        return build(recipe.model, classes=len(CHARACTERS), image=LINE_INPUT, **recipe.structure)
    return build(recipe.model, classes=len(dataset.class_names), image=dataset.image, **recipe.structure)


def _training_model(recipe: Recipe, dataset: Dataset) -> keras.Model:
    keras.utils.set_random_seed(recipe.seed)
    with dtype_policy(recipe.dtype_policy):
        return with_fused_batch_norm(_build(recipe, dataset))


def _compile(model: keras.Model, recipe: Recipe, steps_per_epoch: int) -> None:
    if recipe.lines is not None:
        blank = len(CHARACTERS)
        model.compile(_optimizer(recipe, steps_per_epoch), ColumnLoss(blank), metrics=[TextAccuracy(blank)])
        model.optimizer.build(model.trainable_variables)
        return
    label_loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    soft_target_loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    model.compile(
        optimizer=_optimizer(recipe, steps_per_epoch),
        loss=label_loss if recipe.distillation is None else soft_target_loss,
        metrics=["accuracy"] if recipe.distillation is None else [_SoftTargetAccuracy()],
    )
    model.optimizer.build(model.trainable_variables)


class _SoftTargetAccuracy(keras.metrics.Mean):  # type: ignore[misc]
    """Accuracy over the targets with a most likely class; the uniform targets of non-digits are ignored."""

    def __init__(self) -> None:
        super().__init__(name="accuracy")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count a batch of soft targets (N, C) and logits (N, C)."""
        ops = keras.ops
        has_class = ops.max(y_true, axis=1) > 1.01 * ops.mean(y_true, axis=1)
        is_correct = ops.equal(ops.argmax(y_true, axis=1), ops.argmax(y_pred, axis=1))
        super().update_state(ops.cast(is_correct, "float32"), sample_weight=ops.cast(has_class, "float32"))


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
            recipe.learning_rate, decay_steps=steps_per_epoch, decay_rate=_DECAY_PER_EPOCH
        )
    return keras.optimizers.get({"class_name": recipe.optimizer, "config": {"learning_rate": rate}})


def _stateful_callbacks(recipe: Recipe) -> list[keras.callbacks.Callback]:
    """Callbacks whose state the checkpoint stores; they must run before the callback that saves it."""
    callbacks: list[keras.callbacks.Callback] = []
    if recipe.average_decay is not None:
        callbacks.append(WeightAverage(recipe.average_decay))
    if recipe.schedule == "plateau":
        callbacks.append(keras.callbacks.ReduceLROnPlateau("val_loss", factor=0.2, patience=2, min_lr=1e-4))
    if recipe.patience is not None:
        # the run folder stores the best weights, so Keras need not restore them
        callbacks.append(
            keras.callbacks.EarlyStopping("val_loss", patience=recipe.patience, min_delta=recipe.min_delta)
        )
    return callbacks


class _Seeds(keras.callbacks.Callback):  # type: ignore[misc]
    """Seed order, augmentation and dropout of each epoch with (seed, epoch)."""

    def __init__(self, batches: Batches | LineBatches, seed: int) -> None:
        super().__init__()
        self._batches, self._seed = batches, seed

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._batches.epoch = epoch
        states = [v for v in self.model.non_trainable_variables if v.path.endswith("seed_generator_state")]
        for index, state in enumerate(states):
            state.assign([self._seed * 1_000_003 + epoch, index])


class _Notifier(keras.callbacks.Callback):  # type: ignore[misc]
    """Call the listeners of `train`."""

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
