"""What a training leaves on disk: `model.keras`, `history.csv`, `recipe.json`, `curves.png`, and the checkpoint."""

import csv
import io
import json
import platform
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras

from digits_edge.runtime.datasets import Dataset
from digits_edge.runtime.errors import InputError, UsageError
from digits_edge.runtime.files import written_whole
from digits_edge.train.recipe import Keep, Recipe, read_recipe, recipe_to_json

MODEL, RECIPE, HISTORY, CURVES, CHECKPOINT = "model.keras", "recipe.json", "history.csv", "curves.png", "checkpoint.npz"
#: The folder of the teachers' runs, and in it what they answered: views of the images, answers, how many are done.
LESSON = "lesson"
VIEWS, ANSWERS, VIEWS_DONE = "views.npy", "answers.npy", "lesson.json"
_FILES = (MODEL, HISTORY, CURVES, CHECKPOINT, RECIPE)


def prepare_run_folder(folder: Path, recipe: Recipe, data_sha256: str, *, resume: bool, overwrite: bool) -> None:
    """Make the folder, or make sure that what it holds may be gone on with or replaced.

    Raises:
        UsageError: it holds a run, or files named like those of one, and neither `resume` nor `overwrite` is given; or
            `resume`, and its recipe or data is another.
        InputError: it cannot be made.
    """
    if (folder / RECIPE).exists():
        if not (resume or overwrite):
            raise UsageError(f"{folder} holds a run already; --resume goes on with it, --overwrite trains anew")
        if resume and read_recipe(folder / RECIPE) != recipe:
            raise UsageError(f"{folder} was begun with other settings; see its recipe.json, or train with --overwrite")
        if resume and json.loads((folder / RECIPE).read_text("utf-8"))["data"]["sha256"] != data_sha256:
            raise UsageError(f"{folder} was begun on other data; name that with --data, or train with --overwrite")
    elif not overwrite and (others := [name for name in _FILES if (folder / name).exists()]):
        raise UsageError(f"{folder} is no run folder and has {others[0]}; name another folder, or --overwrite")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not resume:
            for teacher in folder.glob(f"{LESSON}/teacher-*/{RECIPE}"):
                prepare_run_folder(teacher.parent, recipe, data_sha256, resume=False, overwrite=True)
            for name in (VIEWS_DONE, VIEWS, ANSWERS):
                (folder / LESSON / name).unlink(missing_ok=True)
            for name in _FILES:
                (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{folder} could not be made a run folder: {error.strerror}") from error


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


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write JSON, whole."""
    with written_whole(path) as stream:
        stream.write((json.dumps(values, indent=2) + "\n").encode())


def write_csv(path: Path, rows: Iterable[Sequence[Any]]) -> None:
    """Write rows of cells, whole."""
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    with written_whole(path) as stream:
        stream.write(text.getvalue().encode())


def write_history(path: Path, rows: list[dict[str, float]]) -> None:
    """Write a row per epoch, whole."""
    write_csv(path, [list(rows[0]), *([row[name] for name in rows[0]] for row in rows)])


def read_history(path: Path) -> list[dict[str, float]]:
    """Read what `write_history` wrote.

    Raises:
        InputError: the file is missing, or damaged.
    """
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(stream)]
        if not rows:
            raise ValueError("no rows")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is no history of a training ({error}); train again, or name model.keras") from error
    return rows


def kept_epoch(history: list[dict[str, float]], keep: Keep) -> dict[str, float]:
    """The row of the epoch whose weights are kept: the first with the smallest validation loss, or the last."""
    return min(history, key=lambda row: row["val_loss"]) if keep == "best" else history[-1]


def write_model(path: Path, model: keras.Model) -> None:
    """Write a model as `.keras`, whole."""
    with written_whole(path) as stream:
        # Keras wants a name that ends in .keras, so the archive is made beside the target and copied into its place
        part = path.with_name(f".{path.stem}.part.keras")
        try:
            model.save(part)
            stream.write(part.read_bytes())
        finally:
            part.unlink(missing_ok=True)
