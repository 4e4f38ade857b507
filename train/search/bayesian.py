"""Keras Tuner's Bayesian optimization over the trials of a search: `search()`.

Bayesian optimization, because a trial takes minutes and there are tens of them, not hundreds: random search would waste
them, and Hyperband's ladder of epochs would judge a learning rate schedule by its beginning.

A search that was cut is resumed by going through it again: a finished trial answers from its folder at once, the one
under way goes on from its checkpoint, and so the optimizer knows what it knew. Keras Tuner's own reloading is not used:
it forgets the first trial if that is cut, runs a trial again that is cut while it is being noted, and a cut within its
writing leaves half a file that it cannot read.
"""

import math
import random
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras_tuner
from threadpoolctl import threadpool_limits

from digits_edge.runtime.datasets.dataset import CLASSES
from digits_edge.train.search.search_folder import Trial, read_trial, read_values
from digits_edge.train.search.search_space import recipe_with, settings_of
from digits_edge.train.search.trials import Trials

#: The recipe's own trial and those drawn at random, before a model of the score is worth asking.
_INITIAL_TRIALS = 5
#: Variance of the score of a repeated trial, in units of the variance between trials.
_NOISE = 1e-2
_SCORE = "score"
#: Draws of settings that were tried before, until the space is taken for exhausted.
_DRAWS = 50


@dataclass(frozen=True)
class Budget:
    """When no new trial begins.

    Attributes:
        trials: how many in all; None for no limit.
        minutes: of training in all, also before a restart; None for no limit. The trial under way is finished: one that
            is cut short cannot be compared.
    """

    trials: int | None = None
    minutes: float | None = None

    def is_spent(self, trials: Sequence[Trial]) -> bool:
        """Whether these trials are all there may be."""
        minutes = sum(trial.seconds for trial in trials) / 60
        too_many = self.trials is not None and len(trials) >= self.trials
        return too_many or (self.minutes is not None and minutes >= self.minutes)


def search(space: keras_tuner.HyperParameters, trials: Trials, budget: Budget, *, validated: int) -> None:
    """Run trials until the budget is spent.

    Args:
        space: of the trials' recipe, as `search_space` gives it.
        trials: runs them; its finished ones are all that there are afterwards.
        budget: when no new trial begins.
        validated: how many images validate.

    Raises:
        DigitsEdgeError: what a trial raises.
    """
    with tempfile.TemporaryDirectory() as scratch:
        tuner = _Tuner(_Oracle(space, trials, budget), trials, validated, scratch)
        try:
            tuner.search()
        except keras_tuner.errors.FatalError as error:
            raise error.__cause__ or error from None


class _Oracle(keras_tuner.oracles.BayesianOptimizationOracle):  # type: ignore[misc]
    """Says what the next trial is: as it was drawn before a restart, or anew while the budget lasts."""

    def __init__(self, space: keras_tuner.HyperParameters, trials: Trials, budget: Budget) -> None:
        self._seed = trials.recipe.seed
        super().__init__(
            objective=keras_tuner.Objective(_SCORE, "max"),
            max_trials=None,
            num_initial_points=_INITIAL_TRIALS,
            alpha=_NOISE,
            # Keras Tuner takes 0 for no seed
            seed=self._seed % (2**32 - 1) + 1,
            hyperparameters=space,
            tune_new_entries=False,
            allow_new_entries=False,
        )
        self.verbose = 0
        self._trials, self._budget = trials, budget

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """What Keras Tuner asks before every trial: its hyperparameters, or that there is none."""
        number = len(self._trials.finished) + 1
        is_finished = read_trial(self._trials.folder, number) is not None
        if not is_finished and self._budget.is_spent(self._trials.finished):
            return {"status": "STOPPED"}
        values = read_values(self._trials.folder, number) or self._drawn(number, trial_id)
        return {"status": "STOPPED"} if values is None else {"status": "RUNNING", "values": values}

    def _drawn(self, number: int, trial_id: str) -> dict[str, Any] | None:
        """Hyperparameters that make a new recipe; None where none is found any more."""
        if number == 1:
            return {parameter.name: parameter.default for parameter in self.hyperparameters.space}
        tried = [trial.settings for trial in self._trials.finished]
        # of the trial's number, not of what was drawn before: the same after a restart
        rng = random.Random(f"{self._seed} {number}")
        if number > _INITIAL_TRIALS:
            # many small systems of equations: threads that wait for each other make it ten times slower
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
    """Keras Tuner's loop, with a run of `train` as the trial; what it writes itself goes to a folder that passes."""

    def __init__(self, oracle: _Oracle, trials: Trials, validated: int, scratch: str) -> None:
        super().__init__(oracle=oracle, directory=scratch, project_name="search")
        self._trials, self._validated = trials, validated

    def run_trial(self, trial: Any, *fit_args: Any, **fit_kwargs: Any) -> dict[str, float]:
        """Run one trial; its score, the larger the better.

        Raises:
            FatalError: with the cause; Keras Tuner would count any other error as the trial's and go on.
        """
        try:
            finished = self._trials.run(len(self._trials.finished) + 1, dict(trial.hyperparameters.values))
        except Exception as error:
            raise keras_tuner.errors.FatalError(str(error)) from error
        # a training that diverged is worth a guess
        accuracy = 1 / CLASSES if finished.accuracy is None else finished.accuracy
        # The order is the accuracy's. The logarithm keeps 99.0 and 99.5 % apart beside a trial of 60 %, and is cut off
        # at half an error.
        return {_SCORE: -math.log10(max(1 - accuracy, 0.5 / self._validated))}
