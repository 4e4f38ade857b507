"""Files of a search: `search.json`, a run folder per trial, `trials.csv`, `best.json` and `tuning.html`."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from digits_edge.runtime.errors import InputError, UsageError
from digits_edge.runtime.json_record import read_json
from digits_edge.train.training.run_folder import write_csv, write_json

SEARCH, TABLE, BEST, PAGE = "search.json", "trials.csv", "best.json", "tuning.html"
_TRIALS, _TRIAL = "trials", "trial.json"


@dataclass(frozen=True)
class Trial:
    """A finished trial.

    Attributes:
        number: number of the trial, from 1.
        settings: searched settings by name: widths, dropout, `optimizer`, `learning_rate`.
        accuracy: validation accuracy of the stored epoch; None if the training diverged.
        loss: validation loss of that epoch; None if the training diverged.
        seconds: time spent training, over all restarts.
        failure: error of a training that diverged; else empty.

    Example:
        >>> Trial(1, {"optimizer": "adam"}, accuracy=0.98, loss=0.07, seconds=12.5).failure
        ''
    """

    number: int
    settings: dict[str, Any]
    accuracy: float | None
    loss: float | None
    seconds: float
    failure: str = ""


def best_of(trials: Sequence[Trial]) -> Trial | None:
    """Trial with the highest accuracy, then the smallest loss, then the lowest number; None if all diverged.

    Example:
        >>> best_of([Trial(1, {}, 0.98, 0.1, 1.0), Trial(2, {}, 0.98, 0.09, 1.0)]).number
        2
    """
    judged = [(-t.accuracy, t.loss, t.number, t) for t in trials if t.accuracy is not None]
    return min(judged)[-1] if judged else None


def prepare_search_folder(folder: Path, search: dict[str, Any], *, resume: bool, overwrite: bool) -> None:
    """Create the folder of a search, or check that its search can be resumed, or remove its search.

    Args:
        folder: search folder.
        search: all settings of the search except its budget; stored in `search.json`.
        resume: continue the search in the folder.
        overwrite: remove the search in the folder.

    Raises:
        UsageError: the folder holds a search and neither `resume` nor `overwrite` is set; or `resume` is set and the
            search has other settings; or it is not a search folder but contains a file with the name of a search's.
        InputError: the folder cannot be created or read.
    """
    replaces = overwrite and not resume and (folder / SEARCH).exists()  # a damaged search can be replaced
    recorded = {} if replaces else _read(folder / SEARCH)
    if recorded is not None:
        if not (resume or overwrite):
            raise UsageError(
                f"{folder} already holds a search; use --resume to continue it or --overwrite to replace it"
            )
        differing = [name for name in search if json.loads(json.dumps(search[name])) != recorded.get(name)]
        if resume and differing:
            raise UsageError(
                f"{folder} was started with other settings ({', '.join(differing)}); use those of its {SEARCH}, or "
                "--overwrite to replace the search"
            )
    elif others := [name for name in (_TRIALS, BEST, TABLE, PAGE) if (folder / name).exists()]:
        # not even with --overwrite: the folder `trials` may hold unrelated files
        raise UsageError(f"{folder} is not a search folder but contains {others[0]}; name another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if recorded is not None and not resume:
            # search.json last, so that an interrupted removal leaves a search folder
            if (folder / _TRIALS).exists():
                shutil.rmtree(folder / _TRIALS)
            for name in (BEST, TABLE, PAGE, SEARCH):
                (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise InputError(
            f"{folder} cannot be used as a search folder: {error.strerror}; name another folder"
        ) from error
    write_json(folder / SEARCH, {"schema_version": 1, **search})


def trial_folder(folder: Path, number: int) -> Path:
    """Run folder of a trial.

    Example:
        >>> trial_folder(Path("search"), 7).as_posix()
        'search/trials/007'
    """
    return folder / _TRIALS / f"{number:03}"


def read_values(folder: Path, number: int) -> dict[str, Any] | None:
    """Hyperparameters drawn for a trial; None if the trial was not started."""
    record = _read(trial_folder(folder, number) / _TRIAL)
    return None if record is None else dict(record["values"])


def read_trial(folder: Path, number: int) -> Trial | None:
    """Read a finished trial; None if it is not finished."""
    record = _read(trial_folder(folder, number) / _TRIAL)
    return None if record is None or record["trial"] is None else Trial(**record["trial"])


def note_trial(folder: Path, number: int, values: dict[str, Any], trial: Trial | None) -> None:
    """Write the hyperparameters of a trial and, once it is finished, its result."""
    path = trial_folder(folder, number) / _TRIAL
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {"schema_version": 1, "values": values, "trial": None if trial is None else asdict(trial)})


def write_trials(folder: Path, trials: Sequence[Trial]) -> None:
    """Write `trials.csv`, one row per trial, atomically."""
    figures = ("validation_accuracy", "validation_loss", "seconds", "failure", "run")
    rows: list[list[Any]] = [["trial", *trials[0].settings, *figures]]
    for trial in trials:
        run = trial_folder(Path(), trial.number).as_posix()
        rows.append(
            [trial.number, *trial.settings.values(), trial.accuracy, trial.loss, trial.seconds, trial.failure, run]
        )
    write_csv(folder / TABLE, rows)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return dict(read_json(path))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path} cannot be read ({error}); use --overwrite to replace the search") from error
