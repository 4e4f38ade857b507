"""What a run folder holds, whether it may be gone on with or replaced, and its tables.

A run folder has `model.keras`, `history.csv`, `recipe.json`, `curves.png` and the checkpoint; one of a cross-validation
has a run folder for every fold.
"""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from digits_edge.runtime.errors import InputError, UsageError
from digits_edge.runtime.files import atomic_write
from digits_edge.runtime.json_record import read_json
from digits_edge.train.training.recipe import Keep, Recipe, read_recipe, recipe_data, recipe_to_json

MODEL, RECIPE, HISTORY, CURVES, CHECKPOINT = "model.keras", "recipe.json", "history.csv", "curves.png", "checkpoint.npz"
#: The folder of the teachers' runs, and in it what they answered: views of the images, answers, what they are made of
#: and how many are done.
DISTILLATION = "distillation"
VIEWS, ANSWERS, CACHE_RECORD, CACHE_LOCK = "views.npy", "answers.npy", "cache.json", ".lock"
#: Of a cross-validation.
SUMMARY = "folds.json"
_FILES = (MODEL, HISTORY, CURVES, CHECKPOINT, RECIPE)


def refuse_run(folder: Path, *, resume: bool, overwrite: bool) -> None:
    """Make sure that what a folder holds may be gone on with or replaced.

    Raises:
        UsageError: it holds a run, or files named like those of one, and neither `resume` nor `overwrite` is given.
    """
    if (folder / RECIPE).exists():
        if not (resume or overwrite):
            raise UsageError(f"{folder} holds a run already; --resume goes on with it, --overwrite trains anew")
    elif not overwrite and (others := [name for name in _FILES if (folder / name).exists()]):
        raise UsageError(f"{folder} is no run folder and has {others[0]}; name another folder, or --overwrite")


def refuse_other_run(folder: Path, recipe: Recipe, data_sha256: str) -> None:
    """Make sure that a folder's run, if there is one, is of this recipe and data.

    Raises:
        UsageError: it is not; the message names what differs.
    """
    if not (folder / RECIPE).exists():
        return
    differing = _differences(recipe_to_json(read_recipe(folder / RECIPE)), recipe_to_json(recipe))
    if differing:
        raise UsageError(
            f"{folder} was begun with other settings ({'; '.join(differing)}); leave the options out, or train anew "
            "with --overwrite"
        )
    if recipe_data(folder / RECIPE)[1] != data_sha256:
        raise UsageError(f"{folder} was begun on other data; name that with --data, or train anew with --overwrite")


def _differences(there: dict[str, Any], here: dict[str, Any], of: str = "") -> list[str]:
    """What differs between two recipes as JSON values, setting by setting; `of` says whose settings they are."""
    found = []
    for name in there:
        one, other = there[name], here[name]
        if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
            found += _differences(one, other, of)
        elif name == "teachers" and len(one) == len(other):
            for number, pair in enumerate(zip(one, other, strict=True), start=1):
                found += _differences(*pair, of=f"teacher {number}'s ")
        elif name in ("distillation", "teachers") and one != other:
            found.append(f"{of}{name}: {_presence(one)} there, {_presence(other)} here")
        elif one != other:
            found.append(f"{of}{name}: {one} there, {other} here")
    return found


def _presence(value: Any) -> str:
    """A teaching or its teachers in a word: in full they fill a page."""
    return "none" if value is None else str(len(value)) if isinstance(value, list | tuple) else "some"


def refuse_cross_validation(folder: Path, *, resume: bool, overwrite: bool) -> None:
    """Make sure that what a folder holds may be gone on with or replaced.

    Raises:
        UsageError: it holds a cross-validation, and neither `resume` nor `overwrite` is given.
    """
    if (folder / SUMMARY).exists() and not (resume or overwrite):
        raise UsageError(
            f"{folder} holds a cross-validation already; --resume goes on with it, --overwrite trains anew"
        )


def prepare_run_folder(
    folder: Path, recipe: Recipe, data_sha256: str, *, resume: bool, overwrite: bool, keep_cache: bool = False
) -> None:
    """Make the folder, or make sure that what it holds may be gone on with or replaced.

    Args:
        folder: the run folder.
        recipe: of the run.
        data_sha256: of its data.
        resume: go on with what is there.
        overwrite: clear what is there.
        keep_cache: but not the lesson, which is to be learnt again.

    Raises:
        UsageError: as `refuse_run`, and with `resume` as `refuse_other_run`.
        InputError: it cannot be made.
    """
    refuse_run(folder, resume=resume, overwrite=overwrite)
    if resume:
        refuse_other_run(folder, recipe, data_sha256)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not resume:
            if not keep_cache:
                for teacher in folder.glob(f"{DISTILLATION}/teacher-*/{RECIPE}"):
                    prepare_run_folder(teacher.parent, recipe, data_sha256, resume=False, overwrite=True)
                for name in (CACHE_RECORD, VIEWS, ANSWERS, CACHE_LOCK):
                    (folder / DISTILLATION / name).unlink(missing_ok=True)
            for name in _FILES:
                (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{folder} could not be made a run folder: {error.strerror}") from error


def recorded_cache(folder: Path) -> Path | None:
    """Where a run has its lesson when that is not in its own folder; None else, or where there is no run."""
    try:
        recorded = read_json(folder / RECIPE).get("distillation_cache")
    except (OSError, ValueError, AttributeError):
        return None
    return Path(recorded) if isinstance(recorded, str) else None


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write JSON, whole."""
    with atomic_write(path) as stream:
        stream.write((json.dumps(values, indent=2) + "\n").encode())


def write_csv(path: Path, rows: Iterable[Sequence[Any]]) -> None:
    """Write rows of cells, whole."""
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    with atomic_write(path) as stream:
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
