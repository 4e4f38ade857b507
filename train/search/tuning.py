"""Hyperparameter search: `tune()`."""

import math
from dataclasses import asdict, dataclass, replace
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
    """Result of a search.

    Attributes:
        best: content of `best.json`: `recipe`, `data` and `search`.
        trials: all trials in order.
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

    Each trial is a short run of `train`. The first trial is the unchanged recipe, as the baseline. Of equal accuracies,
    the smaller validation loss is better. Trials train on the labels even if the recipe has teachers, because the
    teachers would be trained for each trial.

    Args:
        recipe: recipe to vary within its `search_space`; other settings are fixed.
        dataset: labelled images.
        folder: receives a run folder per trial, `trials/001` and so on, without checkpoints and with the model of the
            best trial only; `trials.csv`; and `best.json`, a recipe for `read_recipe` with the epochs of `recipe`.
        budget: limits of the search; without limits it runs until it is interrupted.
        epochs: epochs of each trial.
        images: approximate number of training images to search with, sampled per class and split again by the recipe's
            validation rule; None for the complete data set.
        resume: continue the search in the folder; its finished trials count towards the budget.
        overwrite: replace the search in the folder.
        listeners: callbacks for trials that are not finished yet.

    Raises:
        UsageError: the folder holds a search and neither `resume` nor `overwrite` is set, or its search has other
            settings.
        InputError: the data has no labels or too few images, or the folder cannot be written.
        CheckError: every training diverged.

    Example:
        >>> from digits_edge.train import named_recipe
        >>> recipe = named_recipe("best", "cnn-small")
        >>> tuning = tune(recipe, dataset, Path("search"), budget=Budget(trials=20), epochs=5)  # doctest: +SKIP
        >>> tuning.best["search"]["validation_accuracy"]  # doctest: +SKIP
    """
    if dataset.labels is None:
        raise InputError(f"{dataset.name} has no labels; tuning needs them")
    sample = dataset
    if images is not None:
        candidates = parts(dataset.labels, recipe.validation).train
        sample = dataset.taken(candidates[stratified(dataset.labels[candidates], images)], "sample")
    assert sample.labels is not None
    rows = parts(sample.labels, recipe.validation)
    validated = len(rows.validation)
    space = search_space(recipe)
    data = {"name": dataset.name, "sha256": sample.sha256, "images": len(sample), "validation_images": validated}
    settings = {"recipe": recipe_to_json(recipe), "epochs": epochs, "data": data, "space": space.get_config()["space"]}
    prepare_search_folder(folder, settings, resume=resume, overwrite=overwrite)
    trials = Trials(replace(recipe, epochs=epochs, distillation=None), sample, folder, listeners or Listeners())
    search(space, trials, budget, validated=validated)
    best = trials.best
    if best is None:
        raise CheckError(
            f"all {len(trials.finished)} trainings diverged; see {folder / TABLE} and use a smaller learning rate"
        )
    found = read_recipe(trial_folder(folder, best.number) / RECIPE)
    summary = {
        "schema_version": 1,
        "recipe": recipe_to_json(replace(found, epochs=recipe.epochs, distillation=recipe.distillation)),
        "data": {
            "name": dataset.name,
            "input": asdict(dataset.image),
            "preprocessing": [asdict(step) for step in dataset.preprocessing],
        },
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
