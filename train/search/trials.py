"""The trials of a search, each in its run folder: `Trials` runs one, or knows that it is finished."""

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

#: Told before a trial: (its number, the best so far).
TrialBegins = Callable[[int, Trial | None], None]
#: Told after a trial: (the trial, the best so far).
TrialEnds = Callable[[Trial, Trial | None], None]


@dataclass(frozen=True)
class Listeners:
    """Who is told how far the search is; `step` as by `train`."""

    begin: TrialBegins | None = None
    step: StepListener | None = None
    end: TrialEnds | None = None


class Trials:
    """The trials of a search, each in its folder: those that are finished, and how one is run."""

    def __init__(self, recipe: Recipe, sample: Dataset, folder: Path, listeners: Listeners) -> None:
        self.recipe, self.folder = recipe, folder
        self.finished: list[Trial] = []
        self._sample, self._listeners = sample, listeners

    @property
    def best(self) -> Trial | None:
        """The best of the finished trials."""
        return best_of(self.finished)

    def run(self, number: int, values: dict[str, Any]) -> Trial:
        """Train what was drawn, or go on with it, unless the trial is finished already."""
        trial = read_trial(self.folder, number)
        if trial is not None:
            self._keep(trial)
            return trial
        if self._listeners.begin is not None:
            self._listeners.begin(number, self.best)
        note_trial(self.folder, number, values, None)
        trial = self._trained(number, recipe_with(self.recipe, values))
        note_trial(self.folder, number, values, trial)
        self._keep(trial)
        if self._listeners.end is not None:
            self._listeners.end(trial, self.best)
        return trial

    def _trained(self, number: int, recipe: Recipe) -> Trial:
        settings, began = settings_of(recipe), time.monotonic()
        try:
            run = trial_folder(self.folder, number)
            result = train(recipe, self._sample, run, resume=True, on_step=self._listeners.step)["result"]
        except CheckError as error:
            return Trial(number, settings, None, None, round(time.monotonic() - began, 1), str(error))
        finally:
            # Keras holds on to the graphs of every model it has built
            keras.utils.clear_session()
        return Trial(number, settings, result["validation_accuracy"], result["validation_loss"], result["seconds"])

    def _keep(self, trial: Trial) -> None:
        """Count a finished trial; of its run folder keep the model only if it is the best."""
        self.finished.append(trial)
        (trial_folder(self.folder, trial.number) / CHECKPOINT).unlink(missing_ok=True)
        for other in self.finished:
            if other != self.best:
                (trial_folder(self.folder, other.number) / MODEL).unlink(missing_ok=True)
        write_trials(self.folder, self.finished)
