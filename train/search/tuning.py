"""The search for good settings of a model: `tune()`."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from digits_edge.runtime.datasets import Dataset, parts, stratified
from digits_edge.runtime.errors import CheckError, InputError
from digits_edge.train.search.bayesian import Budget, search
from digits_edge.train.search.search_folder import BEST, TABLE, Trial, prepare_search_folder, trial_folder
from digits_edge.train.search.search_space import search_space
from digits_edge.train.search.trials import Listeners, Trials
from digits_edge.train.training.recipe import Recipe, read_recipe, recipe_to_json
from digits_edge.train.training.run_folder import RECIPE, write_json


@dataclass(frozen=True)
class Tuning:
    """What came of a search.

    Attributes:
        best: what `best.json` holds: `recipe`, `data` and `search`.
        trials: all, in their order.
    """

    best: dict[str, Any]
    trials: list[Trial]


def tune(
    recipe: Recipe,
    dataset: Dataset,
    folder: Path,
    *,
    budget: Budget,
    epochs: int,
    images: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
    listeners: Listeners | None = None,
) -> Tuning:
    """Search the settings around a recipe for the highest validation accuracy.

    Every trial is a run of `train`, shorter. The first is the recipe as it is, so that it shows what the search gains.
    Of equal accuracies the one with the smaller validation loss is better. Trials learn the labels where the recipe has
    teachers, too: these would be trained anew for each.

    Args:
        recipe: what is varied, as `search_space` says; everything else of it stays.
        dataset: labelled images.
        folder: gets `trials/001` and so on, run folders without checkpoint, and without model but for the best;
            `trials.csv`; `best.json`, which `read_recipe` takes, with the epochs of `recipe`.
        budget: when no new trial begins; without limits the search ends when it is interrupted.
        epochs: of each trial.
        images: search with about so many of the images that the recipe trains on, every class in its share; the
            recipe's rule parts these once more. None takes the whole data set.
        resume: go on with the search in the folder; its finished trials count.
        overwrite: search anew where the folder holds a search already.
        listeners: told of trials that are not finished yet.

    Raises:
        UsageError: the folder holds a search and neither `resume` nor `overwrite` is given; or it is another search.
        InputError: the data has no labels or too few images, or the folder cannot be written.
        CheckError: every training diverged.
    """
    if dataset.labels is None:
        raise InputError(f"{dataset.name} has no labels; tuning needs them")
    sample = dataset
    if images is not None:
        learnt = parts(dataset.labels, recipe.validation).train
        sample = dataset.taken(learnt[stratified(dataset.labels[learnt], images)], "sample")
    assert sample.labels is not None
    rows = parts(sample.labels, recipe.validation)
    validated = len(rows.validation)
    space = search_space(recipe)
    data = {"name": dataset.name, "sha256": sample.sha256, "images": len(sample), "validation_images": validated}
    decided = {"recipe": recipe_to_json(recipe), "epochs": epochs, "data": data, "space": space.get_config()["space"]}
    prepare_search_folder(folder, decided, resume=resume, overwrite=overwrite)
    trials = Trials(replace(recipe, epochs=epochs, distillation=None), sample, folder, listeners or Listeners())
    search(space, trials, budget, validated=validated)
    best = trials.best
    if best is None:
        raise CheckError(f"all {len(trials.finished)} trainings diverged; {folder / TABLE} has their settings")
    found = read_recipe(trial_folder(folder, best.number) / RECIPE)
    summary = {
        "schema_version": 1,
        "recipe": recipe_to_json(replace(found, epochs=recipe.epochs, distillation=recipe.distillation)),
        "data": {"name": dataset.name},
        "search": {
            "trial": best.number,
            "trials": len(trials.finished),
            "epochs": epochs,
            "steps": epochs * math.ceil(len(rows.train) / recipe.batch_size),
            "images": len(sample),
            "validation_images": validated,
            "validation_accuracy": best.accuracy,
            "validation_loss": best.loss,
            "seconds": round(sum(trial.seconds for trial in trials.finished), 1),
        },
    }
    write_json(folder / BEST, summary)
    return Tuning(summary, trials.finished)
