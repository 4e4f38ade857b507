"""What a search leaves on disk: `search.json`, a run folder per trial, `trials.csv`, `best.json` and `tuning.html`."""

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
        number: from 1.
        settings: what was searched, by name: widths, dropout, `optimizer`, `learning_rate`.
        accuracy: of the validation, in the epoch that is kept; None where the training diverged.
        loss: of the validation in that epoch; None where the training diverged.
        seconds: of training, over all restarts.
        failure: why there are no figures; empty where there are.
    """

    number: int
    settings: dict[str, Any]
    accuracy: float | None
    loss: float | None
    seconds: float
    failure: str = ""


def best_of(trials: Sequence[Trial]) -> Trial | None:
    """The trial with the highest accuracy; of equal ones that with the smallest loss, then the earliest."""
    judged = [(-t.accuracy, t.loss, t.number, t) for t in trials if t.accuracy is not None]
    return min(judged)[-1] if judged else None


def prepare_search_folder(folder: Path, search: dict[str, Any], *, resume: bool, overwrite: bool) -> None:
    """Make the folder, or make sure that what it holds may be gone on with or replaced.

    Args:
        folder: of the search.
        search: all that decides it, but for its budget; `search.json` keeps it.
        resume: go on with the search that the folder may hold.
        overwrite: remove the search that the folder may hold.

    Raises:
        UsageError: it holds a search and neither `resume` nor `overwrite` is given; or `resume`, and it is another; or
            it is no search's, and what it holds would be lost.
        InputError: it cannot be made or read.
    """
    replaces = overwrite and not resume and (folder / SEARCH).exists()  # then it may be damaged as well
    begun = {} if replaces else _read(folder / SEARCH)
    if begun is not None:
        if not (resume or overwrite):
            raise UsageError(f"{folder} holds a search already; --resume goes on with it, --overwrite searches anew")
        other = [name for name in search if json.loads(json.dumps(search[name])) != begun.get(name)]
        if resume and other:
            raise UsageError(
                f"{folder} was begun with other settings ({', '.join(other)}); see its {SEARCH}, or use --overwrite"
            )
    elif others := [name for name in (_TRIALS, BEST, TABLE, PAGE) if (folder / name).exists()]:
        # not even with --overwrite: what lies under trials may be anything
        raise UsageError(f"{folder} is not the folder of a search and has {others[0]}; name another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if begun is not None and not resume:
            # search.json goes last: while anything is left the folder is known as that of a search
            if (folder / _TRIALS).exists():
                shutil.rmtree(folder / _TRIALS)
            for name in (BEST, TABLE, PAGE, SEARCH):
                (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{folder} could not be made the folder of a search: {error.strerror}") from error
    write_json(folder / SEARCH, {"schema_version": 1, **search})


def trial_folder(folder: Path, number: int) -> Path:
    """The run folder of a trial."""
    return folder / _TRIALS / f"{number:03}"


def read_values(folder: Path, number: int) -> dict[str, Any] | None:
    """The hyperparameters of a trial, as they were drawn; None where it was never begun."""
    noted = _read(trial_folder(folder, number) / _TRIAL)
    return None if noted is None else dict(noted["values"])


def read_trial(folder: Path, number: int) -> Trial | None:
    """A finished trial; None where it is not finished."""
    noted = _read(trial_folder(folder, number) / _TRIAL)
    return None if noted is None or noted["trial"] is None else Trial(**noted["trial"])


def note_trial(folder: Path, number: int, values: dict[str, Any], trial: Trial | None) -> None:
    """Note what was drawn for a trial, and what came of it once it is finished."""
    path = trial_folder(folder, number) / _TRIAL
    path.parent.mkdir(parents=True, exist_ok=True)
    noted = {"schema_version": 1, "values": values, "trial": None if trial is None else asdict(trial)}
    write_json(path, noted)


def write_trials(folder: Path, trials: Sequence[Trial]) -> None:
    """Write `trials.csv`, whole: a row per trial."""
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
        raise InputError(f"{path} cannot be read ({error}); search anew with --overwrite") from error
