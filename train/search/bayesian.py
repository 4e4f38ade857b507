"""Keras Tuner's Bayesian optimization over the trials of a search: `search()`.

A trial takes minutes and a search has tens of trials. Random search would need more of them, and Hyperband would judge
a learning rate schedule by its first epochs.

A resumed search is replayed: a finished trial returns the result in its folder, and an interrupted trial continues from
its checkpoint, so the optimizer sees the same results. Keras Tuner's own reloading is not used. It loses an interrupted
first trial, repeats a trial that is interrupted while its result is stored, and cannot read its files if an
interruption leaves one incomplete.
"""

import math
import random
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras_tuner
from threadpoolctl import threadpool_limits

from digits_edge.train.search.search_folder import Trial, read_trial, read_values
from digits_edge.train.search.search_space import recipe_with, settings_of
from digits_edge.train.search.trials import Trials

#: The recipe's own trial and random ones, before the Gaussian process has enough data.
_INITIAL_TRIALS = 5
#: Variance of the score of a repeated trial, relative to the variance between trials.
_NOISE = 1e-2
_SCORE = "score"
#: Number of repeated settings drawn before the search space counts as exhausted.
_DRAWS = 50


@dataclass(frozen=True)
class Budget:
    """Limits of a search, after which no new trial begins.

    Attributes:
        trials: number of trials, including those before a restart; None for no limit.
        minutes: minutes of training, including those before a restart; None for no limit. A running trial is
            completed, because an incomplete one cannot be compared.

    Example:
        >>> Budget(trials=2).is_spent([])
        False
    """

    trials: int | None = None
    minutes: float | None = None

    def is_spent(self, trials: Sequence[Trial]) -> bool:
        """Whether these finished trials reach a limit."""
        minutes = sum(trial.seconds for trial in trials) / 60
        too_many = self.trials is not None and len(trials) >= self.trials
        return too_many or (self.minutes is not None and minutes >= self.minutes)


def search(space: keras_tuner.HyperParameters, trials: Trials, budget: Budget, *, validated: int) -> None:
    """Run trials until the budget is spent.

    Args:
        space: search space of the recipe, from `search_space`.
        trials: runs the trials and collects the finished ones.
        budget: limits of the search.
        validated: number of validation images.

    Raises:
        DigitsEdgeError: as raised by a trial.
    """
    with tempfile.TemporaryDirectory() as scratch:
        tuner = _Tuner(_Oracle(space, trials, budget), trials, validated, scratch)
        try:
            tuner.search()
        except keras_tuner.errors.FatalError as error:
            raise error.__cause__ or error from None


class _Oracle(keras_tuner.oracles.BayesianOptimizationOracle):  # type: ignore[misc]
    """Choose the next trial: as drawn before a restart, or a new one within the budget."""

    def __init__(self, space: keras_tuner.HyperParameters, trials: Trials, budget: Budget) -> None:
        self._seed = trials.recipe.seed
        super().__init__(
            objective=keras_tuner.Objective(_SCORE, "max"),
            max_trials=None,
            num_initial_points=_INITIAL_TRIALS,
            alpha=_NOISE,
            # Keras Tuner treats 0 as no seed
            seed=self._seed % (2**32 - 1) + 1,
            hyperparameters=space,
            tune_new_entries=False,
            allow_new_entries=False,
        )
        self.verbose = 0
        self._trials, self._budget = trials, budget

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Hyperparameters of the next trial, or the status that ends the search; called by Keras Tuner."""
        number = len(self._trials.finished) + 1
        is_finished = read_trial(self._trials.folder, number) is not None
        if not is_finished and self._budget.is_spent(self._trials.finished):
            return {"status": "STOPPED"}
        values = read_values(self._trials.folder, number) or self._draw(number, trial_id)
        return {"status": "STOPPED"} if values is None else {"status": "RUNNING", "values": values}

    def _draw(self, number: int, trial_id: str) -> dict[str, Any] | None:
        """Draw hyperparameters that give a new recipe; None if none is found."""
        if number == 1:
            return {parameter.name: parameter.default for parameter in self.hyperparameters.space}
        tried = [trial.settings for trial in self._trials.finished]
        # seeded with the trial's number, so that a resumed search draws the same
        rng = random.Random(f"{self._seed} {number}")
        if number > _INITIAL_TRIALS:
            # many small linear systems: several threads are ten times slower
            with threadpool_limits(1):
                values = dict(super().populate_space(trial_id)["values"])
        else:
            values = self._random(rng)
        for _ in range(_DRAWS):
            if settings_of(recipe_with(self._trials.recipe, values)) not in tried:
                return values
            values = self._random(rng)
        return None

    def _random(self, rng: random.Random) -> dict[str, Any]:
        return {p.name: p.random_sample(rng.getrandbits(32)) for p in self.hyperparameters.space}


class _Tuner(keras_tuner.Tuner):  # type: ignore[misc]
    """Keras Tuner's loop, with a run of `train` per trial; its own files go to a temporary folder."""

    def __init__(self, oracle: _Oracle, trials: Trials, validated: int, scratch: str) -> None:
        super().__init__(oracle=oracle, directory=scratch, project_name="search")
        self._trials, self._validated = trials, validated

    def run_trial(self, trial: Any, *fit_args: Any, **fit_kwargs: Any) -> dict[str, float]:
        """Run a trial and return its score; larger is better.

        Raises:
            FatalError: any error of the trial, as its cause. Keras Tuner would ignore other exceptions and continue.
        """
        try:
            finished = self._trials.run(len(self._trials.finished) + 1, dict(trial.hyperparameters.values))
        except Exception as error:
            raise keras_tuner.errors.FatalError(str(error)) from error
        # a diverged training counts as chance
        accuracy = 1 / self._trials.classes if finished.accuracy is None else finished.accuracy
        # The logarithm separates 99.0 % from 99.5 % even if another trial has 60 %; it is limited at half an error.
        return {_SCORE: -math.log10(max(1 - accuracy, 0.5 / self._validated))}
