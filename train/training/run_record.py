"""Write the files of a run folder during a training: the callback `RunRecord`, and `describe` for `recipe.json`."""

import math
import platform
import time
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras

from digits_edge.runtime.datasets import Dataset
from digits_edge.runtime.errors import CheckError
from digits_edge.runtime.files import atomic_write
from digits_edge.train.charts.curves import draw_curves
from digits_edge.train.data.made_hands import describe_hands
from digits_edge.train.models.averaging import WeightAverage
from digits_edge.train.numbers.line_data import describe_lines
from digits_edge.train.training.checkpoint import TrainingState, restore_checkpoint, save_checkpoint
from digits_edge.train.training.recipe import Recipe, recipe_to_json
from digits_edge.train.training.run_folder import CHECKPOINT, CURVES, HISTORY, MODEL, kept_epoch, write_history

_DRAWING_INTERVAL_S = 10


def describe(recipe: Recipe, dataset: Dataset, *, input_scale: int) -> dict[str, Any]:
    """Settings, data and versions of a run, as `recipe.json` stores them."""
    backend = keras.backend.backend()
    hands = {} if recipe.hands is None else {"hands": describe_hands(recipe.hands)}
    lines = {} if recipe.lines is None else describe_lines()
    return {
        "schema_version": 1,
        "recipe": recipe_to_json(recipe),
        "data": {
            "name": dataset.name,
            "sha256": dataset.sha256,
            "images": len(dataset.images),
            "classes": list(dataset.class_names),
            "licence": dataset.licence,
            "input_scale": input_scale,
            "validation": recipe.validation,
            "input": asdict(dataset.image),
            "preprocessing": [asdict(step) for step in dataset.preprocessing],
            **lines,
        },
        **hands,
        "versions": {
            "digits-edge": version("digits-edge"),
            "python": platform.python_version(),
            "keras": keras.version(),
            backend: version(backend),
        },
    }


class RunRecord(keras.callbacks.Callback):  # type: ignore[misc]
    """Write model, history, curves and checkpoint after each epoch.

    The checkpoint is written last, so an interruption between two files loses nothing. The curves are drawn at most
    every ten seconds and at the end, because drawing takes longer than a short epoch.

    Args:
        recipe: recipe of the run.
        build_model: function that builds the model of the recipe.
        folder: run folder.
        progress: state to continue from.
        stateful: callbacks whose state the checkpoint stores.
    """

    def __init__(
        self,
        recipe: Recipe,
        build_model: Callable[[], keras.Model],
        folder: Path,
        progress: TrainingState,
        stateful: list[keras.callbacks.Callback],
    ) -> None:
        super().__init__()
        self._build_model = build_model
        self._recipe, self._folder, self._progress, self._stateful = recipe, folder, progress, stateful
        self._began_s = self._drawn_s = time.monotonic()

    @property
    def is_finished(self) -> bool:
        """Whether no epoch is left, or early stopping ended the training before a restart."""
        return self._progress.stopped or len(self._progress.history) >= self._recipe.epochs

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Restore the checkpoint, if there is one."""
        if self._progress.history:
            restore_checkpoint(self._folder / CHECKPOINT, self.model, self._stateful)
        self._began_s = time.monotonic() - self._progress.seconds

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Write the files of the epoch.

        Raises:
            CheckError: the training diverged.
        """
        row = {"epoch": epoch + 1.0, **(logs or {}), "learning_rate": float(self.model.optimizer.learning_rate)}
        row = {name: float(value) for name, value in row.items()}
        if not math.isfinite(row["val_loss"]):
            raise CheckError(f"the validation loss of epoch {epoch + 1} is not finite; use a smaller --learning-rate")
        history = [*self._progress.history, row]
        kept = kept_epoch(history, self._recipe.keep)
        if kept is row:
            _write_model(self._folder / MODEL, self._as_validated())
        write_history(self._folder / HISTORY, history)
        self._progress = TrainingState(
            history, time.monotonic() - self._began_s, stopped=bool(self.model.stop_training)
        )
        if self.is_finished or time.monotonic() - self._drawn_s > _DRAWING_INTERVAL_S:
            draw_curves(history, kept, self._folder / CURVES)
            self._drawn_s = time.monotonic()
        save_checkpoint(self._folder / CHECKPOINT, self._progress, self.model, self._stateful)

    def _as_validated(self) -> keras.Model:
        """Float32 copy with the validated weights: the average, if there is one."""
        averages = [c.average for c in self._stateful if isinstance(c, WeightAverage) and c.average]
        copy = self._build_model()
        copy.set_weights(averages[0] if averages else self.model.get_weights())
        return copy

    def result(self) -> dict[str, Any]:
        """Results of the run for `recipe.json`."""
        kept = kept_epoch(self._progress.history, self._recipe.keep)
        return {
            "epochs": len(self._progress.history),
            "kept_epoch": int(kept["epoch"]),
            "validation_loss": kept["val_loss"],
            "validation_accuracy": kept["val_accuracy"],
            "seconds": round(self._progress.seconds, 1),
        }


def _write_model(path: Path, model: keras.Model) -> None:
    """Write a model as `.keras` atomically."""
    with atomic_write(path) as stream:
        # Keras requires a name that ends in .keras, so the archive is written beside the target and copied
        part = path.with_name(f".{path.stem}.unfinished.keras")
        try:
            model.save(part)
            stream.write(part.read_bytes())
        finally:
            part.unlink(missing_ok=True)
