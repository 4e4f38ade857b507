"""Run the trials of a search, each in its run folder."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from digits_edge.runtime.datasets import Dataset
from digits_edge.runtime.errors import CheckError
from digits_edge.train.search.search_folder import Trial, best_of, note_trial, read_trial, trial_folder, write_trials
from digits_edge.train.search.search_space import recipe_with, settings_of
from digits_edge.train.training.recipe import Recipe
from digits_edge.train.training.run_folder import CHECKPOINT, MODEL
from digits_edge.train.training.training import StepListener, train

#: Called with (number of the trial, best trial so far) before a trial.
TrialBegins = Callable[[int, Trial | None], None]
#: Called with (finished trial, best trial so far) after a trial.
TrialEnds = Callable[[Trial, Trial | None], None]


@dataclass(frozen=True)
class Listeners:
    """Callbacks of a search.

    Attributes:
        begin: called before each trial.
        step: called after each step of a training, as in `train`.
        end: called after each trial.

    Example:
        >>> Listeners(begin=lambda number, best: print(number)).begin(1, None)
        1
    """

    begin: TrialBegins | None = None
    step: StepListener | None = None
    end: TrialEnds | None = None


class Trials:
    """Trials of a search.

    Attributes:
        recipe: recipe that the trials vary.
        folder: search folder.
        finished: finished trials in order.
    """

    def __init__(self, recipe: Recipe, sample: Dataset, folder: Path, listeners: Listeners) -> None:
        self.recipe, self.folder = recipe, folder
        self.finished: list[Trial] = []
        self._sample, self._listeners = sample, listeners

    @property
    def classes(self) -> int:
        """Number of classes of the data."""
        return len(self._sample.class_names)

    @property
    def best(self) -> Trial | None:
        """Best finished trial; None if there is none."""
        return best_of(self.finished)

    def run(self, number: int, values: dict[str, Any]) -> Trial:
        """Train a trial, or resume it, unless it is already finished.

        Args:
            number: number of the trial, from 1.
            values: hyperparameters of the trial.
        """
        trial = read_trial(self.folder, number)
        if trial is not None:
            self._record(trial)
            return trial
        if self._listeners.begin is not None:
            self._listeners.begin(number, self.best)
        note_trial(self.folder, number, values, None)
        trial = self._train(number, recipe_with(self.recipe, values))
        note_trial(self.folder, number, values, trial)
        self._record(trial)
        if self._listeners.end is not None:
            self._listeners.end(trial, self.best)
        return trial

    def _train(self, number: int, recipe: Recipe) -> Trial:
        settings, began_s = settings_of(recipe), time.monotonic()
        try:
            run = trial_folder(self.folder, number)
            result = train(recipe, self._sample, run, resume=True, on_step=self._listeners.step)["result"]
        except CheckError as error:
            return Trial(number, settings, None, None, round(time.monotonic() - began_s, 1), str(error))
        finally:
            # Keras retains the graph of every model it has built
            keras.utils.clear_session()
        return Trial(number, settings, result["validation_accuracy"], result["validation_loss"], result["seconds"])

    def _record(self, trial: Trial) -> None:
        """Add a finished trial, and remove its checkpoint and all models except that of the best trial."""
        self.finished.append(trial)
        (trial_folder(self.folder, trial.number) / CHECKPOINT).unlink(missing_ok=True)
        for other in self.finished:
            if other != self.best:
                (trial_folder(self.folder, other.number) / MODEL).unlink(missing_ok=True)
        write_trials(self.folder, self.finished)
