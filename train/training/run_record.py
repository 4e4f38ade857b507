"""Keeping a training in its run folder while it goes on: `RunRecord`, and `describe` what decided it."""

import math
import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras

from digits_edge.runtime.datasets import Dataset
from digits_edge.runtime.errors import CheckError
from digits_edge.runtime.files import atomic_write
from digits_edge.train.charts.curves import draw_curves
from digits_edge.train.models.architectures import build
from digits_edge.train.models.averaging import WeightAverage
from digits_edge.train.training.checkpoint import TrainingState, restore_checkpoint, save_checkpoint
from digits_edge.train.training.recipe import Recipe, recipe_to_json
from digits_edge.train.training.run_folder import CHECKPOINT, CURVES, HISTORY, MODEL, kept_epoch, write_history

_DRAWN_AFTER_S = 10


def describe(recipe: Recipe, dataset: Dataset, *, input_scale: int) -> dict[str, Any]:
    """Everything that decided the run, as `recipe.json` keeps it."""
    backend = keras.backend.backend()
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
        },
        "versions": {
            "digits-edge": version("digits-edge"),
            "python": platform.python_version(),
            "keras": keras.version(),
            backend: version(backend),
        },
    }


class RunRecord(keras.callbacks.Callback):  # type: ignore[misc]
    """Keeps the run folder; best model, history, curves, then checkpoint, so that a cut between two loses nothing.

    The curves are drawn every few seconds and in the end: a drawing takes longer than many an epoch.
    """

    def __init__(
        self, recipe: Recipe, folder: Path, progress: TrainingState, remembering: list[keras.callbacks.Callback]
    ) -> None:
        super().__init__()
        self._recipe, self._folder, self._progress, self._remembering = recipe, folder, progress, remembering
        self._began = self._drawn_s = time.monotonic()

    @property
    def is_finished(self) -> bool:
        """Whether there is no epoch left, or early stopping has said so before a restart."""
        return self._progress.stopped or len(self._progress.history) >= self._recipe.epochs

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Go on from the checkpoint, where there is one."""
        if self._progress.history:
            restore_checkpoint(self._folder / CHECKPOINT, self.model, self._remembering)
        self._began = time.monotonic() - self._progress.seconds

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Keep the epoch; raises CheckError where the training diverged."""
        row = {"epoch": epoch + 1.0, **(logs or {}), "learning_rate": float(self.model.optimizer.learning_rate)}
        row = {name: float(value) for name, value in row.items()}
        if not math.isfinite(row["val_loss"]):
            raise CheckError(f"the validation loss of epoch {epoch + 1} is not finite; try a smaller --learning-rate")
        history = [*self._progress.history, row]
        kept = kept_epoch(history, self._recipe.keep)
        if kept is row:
            _write_model(self._folder / MODEL, self._as_validated())
        write_history(self._folder / HISTORY, history)
        self._progress = TrainingState(history, time.monotonic() - self._began, stopped=bool(self.model.stop_training))
        if self.is_finished or time.monotonic() - self._drawn_s > _DRAWN_AFTER_S:
            draw_curves(history, kept, self._folder / CURVES)
            self._drawn_s = time.monotonic()
        save_checkpoint(self._folder / CHECKPOINT, self._progress, self.model, self._remembering)

    def _as_validated(self) -> keras.Model:
        """A float32 copy with the weights the validation saw: the average where one is kept."""
        averages = [c.average for c in self._remembering if isinstance(c, WeightAverage) and c.average]
        copy = build(self._recipe.model, **self._recipe.structure)
        copy.set_weights(averages[0] if averages else self.model.get_weights())
        return copy

    def result(self) -> dict[str, Any]:
        """Figures of the run, for `recipe.json`."""
        kept = kept_epoch(self._progress.history, self._recipe.keep)
        return {
            "epochs": len(self._progress.history),
            "kept_epoch": int(kept["epoch"]),
            "validation_loss": kept["val_loss"],
            "validation_accuracy": kept["val_accuracy"],
            "seconds": round(self._progress.seconds, 1),
        }


def _write_model(path: Path, model: keras.Model) -> None:
    """Write a model as `.keras`, whole."""
    with atomic_write(path) as stream:
        # Keras wants a name that ends in .keras, so the archive is made beside the target and copied into its place
        part = path.with_name(f".{path.stem}.unfinished.keras")
        try:
            model.save(part)
            stream.write(part.read_bytes())
        finally:
            part.unlink(missing_ok=True)
