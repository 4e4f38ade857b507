"""Run folders: their files, and checks before a run is resumed or replaced.

A run folder holds `model.keras`, `history.csv`, `recipe.json`, `curves.png` and `checkpoint.npz`, and
`calibration.npz` if the recipe has made images. The folder of a cross-validation holds a run folder per fold.
"""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.errors import InputError, UsageError
from digits_edge.runtime.files import atomic_write
from digits_edge.runtime.json_record import read_json
from digits_edge.train.training.recipe import Keep, Recipe, read_recipe, recipe_data, recipe_to_json

MODEL, RECIPE, HISTORY, CURVES, CHECKPOINT = "model.keras", "recipe.json", "history.csv", "curves.png", "checkpoint.npz"
#: Made images and their labels, on which an export calibrates the confidence together with the validation images.
CALIBRATION = "calibration.npz"
#: Folder of the distillation cache. It holds the teachers' runs, the views of the images, the soft targets, a record of
#: the settings and of the number of finished views, and a lock file.
DISTILLATION = "distillation"
VIEWS, ANSWERS, CACHE_RECORD, CACHE_LOCK = "views.npy", "answers.npy", "cache.json", ".lock"
#: Folder of the made lines.
LINES = "lines"
#: Summary of a cross-validation.
SUMMARY = "folds.json"
_FILES = (MODEL, HISTORY, CURVES, CHECKPOINT, CALIBRATION, RECIPE)


def refuse_run(folder: Path, *, resume: bool, overwrite: bool) -> None:
    """Refuse a folder with a run, unless the run is to be resumed or replaced.

    Raises:
        UsageError: the folder holds a run and neither `resume` nor `overwrite` is set; or it is not a run folder but
            contains a file with the name of a run's, and `overwrite` is not set.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     refuse_run(Path(folder), resume=False, overwrite=False)
    """
    if (folder / RECIPE).exists():
        if not (resume or overwrite):
            raise UsageError(f"{folder} already holds a run; use --resume to continue it or --overwrite to replace it")
    elif not overwrite and (others := [name for name in _FILES if (folder / name).exists()]):
        raise UsageError(
            f"{folder} is not a run folder but contains {others[0]}; name another folder or use --overwrite"
        )


def refuse_other_run(folder: Path, recipe: Recipe, data_sha256: str) -> None:
    """Refuse a folder whose run has another recipe or other data.

    Raises:
        UsageError: the run differs; the message names the differences.
        InputError: the folder's recipe cannot be read.
    """
    if not (folder / RECIPE).exists():
        return
    differing = _differences(recipe_to_json(read_recipe(folder / RECIPE)), recipe_to_json(recipe))
    if differing:
        raise UsageError(
            f"{folder} was started with other settings ({'; '.join(differing)}); omit these options, or use "
            "--overwrite to replace the run"
        )
    if recipe_data(folder / RECIPE)[1] != data_sha256:
        raise UsageError(
            f"{folder} was started on other data; name it with --data, or use --overwrite to replace the run"
        )


def _differences(recorded: dict[str, Any], requested: dict[str, Any], owner: str = "") -> list[str]:
    """Differing settings of two recipes as JSON values; `owner` prefixes their names."""
    found = []
    for name in recorded:
        old, new = recorded[name], requested[name]
        if isinstance(old, dict) and isinstance(new, dict) and old.keys() == new.keys():
            found += _differences(old, new, owner)
        elif name == "teachers" and len(old) == len(new):
            for number, pair in enumerate(zip(old, new, strict=True), start=1):
                found += _differences(*pair, owner=f"teacher {number}'s ")
        elif name in ("distillation", "teachers") and old != new:
            found.append(f"{owner}{name}: {_summary(old)}, now {_summary(new)}")
        elif old != new:
            found.append(f"{owner}{name}: {old}, now {new}")
    return found


def _summary(value: Any) -> str:
    """A distillation or its teachers in one word; their recipes are long."""
    return "none" if value is None else str(len(value)) if isinstance(value, list | tuple) else "set"


def refuse_cross_validation(folder: Path, *, resume: bool, overwrite: bool) -> None:
    """Refuse a folder with a cross-validation, unless it is to be resumed or replaced.

    Raises:
        UsageError: the folder holds a cross-validation and neither `resume` nor `overwrite` is set.
    """
    if (folder / SUMMARY).exists() and not (resume or overwrite):
        raise UsageError(
            f"{folder} already holds a cross-validation; use --resume to continue it or --overwrite to replace it"
        )


def prepare_run_folder(
    folder: Path, recipe: Recipe, data_sha256: str, *, resume: bool, overwrite: bool, keep_cache: bool = False
) -> None:
    """Create a run folder, or check that its run can be resumed, or remove its run.

    Args:
        folder: run folder.
        recipe: recipe of the run.
        data_sha256: SHA-256 of the data.
        resume: keep the files of the run.
        overwrite: remove the files of the run.
        keep_cache: do not remove the distillation cache in the folder.

    Raises:
        UsageError: as `refuse_run`, and with `resume` as `refuse_other_run`.
        InputError: the folder cannot be created or cleared.
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
        raise InputError(f"{folder} cannot be used as a run folder: {error.strerror}; name another folder") from error


def recorded_cache(folder: Path) -> Path | None:
    """Distillation cache that a run records; None if the cache is in the run folder, or if there is no run."""
    try:
        recorded = read_json(folder / RECIPE).get("distillation_cache")
    except (OSError, ValueError, AttributeError):
        return None
    return Path(recorded) if isinstance(recorded, str) else None


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write JSON atomically.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_json(Path(folder, "run.json"), {"epochs": 3})
        ...     json.loads(Path(folder, "run.json").read_text())
        {'epochs': 3}
    """
    with atomic_write(path) as stream:
        stream.write((json.dumps(values, indent=2) + "\n").encode())


def write_images(path: Path, images: NDArray[np.uint8], labels: NDArray[np.unsignedinteger]) -> None:
    """Write images, uint8 (N, H, W[, 3]), and labels, (N,), as a compressed .npz, atomically.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_images(path := Path(folder, "a.npz"), np.zeros((2, 28, 28), np.uint8), np.zeros(2, np.uint8))
        ...     sorted(np.load(path).files)
        ['images', 'labels']
    """
    with atomic_write(path) as stream:
        np.savez_compressed(stream, images=images, labels=labels)


def write_csv(path: Path, rows: Iterable[Sequence[Any]]) -> None:
    """Write rows of cells as CSV atomically.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_csv(Path(folder, "table.csv"), [["a", "b"], [1, 2]])
        ...     Path(folder, "table.csv").read_text().split()
        ['a,b', '1,2']
    """
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    with atomic_write(path) as stream:
        stream.write(text.getvalue().encode())


def write_history(path: Path, rows: list[dict[str, float]]) -> None:
    """Write `history.csv`, one row per epoch, atomically."""
    write_csv(path, [list(rows[0]), *([row[name] for name in rows[0]] for row in rows)])


def read_history(path: Path) -> list[dict[str, float]]:
    """Read a file that `write_history` wrote.

    Raises:
        InputError: the file is missing or damaged.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_history(Path(folder, "history.csv"), [{"epoch": 1.0, "loss": 0.5}])
        ...     read_history(Path(folder, "history.csv"))
        [{'epoch': 1.0, 'loss': 0.5}]
    """
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(stream)]
        if not rows:
            raise ValueError("no rows")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is not a training history ({error}); train again, or name model.keras") from error
    return rows


def kept_epoch(history: list[dict[str, float]], keep: Keep) -> dict[str, float]:
    """Row of the epoch whose weights are stored: the first with the smallest validation loss, or the last.

    Example:
        >>> history = [{"epoch": 1.0, "val_loss": 0.2}, {"epoch": 2.0, "val_loss": 0.3}]
        >>> kept_epoch(history, "best")["epoch"], kept_epoch(history, "last")["epoch"]
        (1.0, 2.0)
    """
    return min(history, key=lambda row: row["val_loss"]) if keep == "best" else history[-1]
