"""Cross-validation: one training per fold, validated on that fold and trained on the others."""

import statistics
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from digits_edge.runtime.checks.accuracy import Accuracy
from digits_edge.runtime.datasets import Dataset, parts
from digits_edge.runtime.errors import InputError, UsageError
from digits_edge.train.training.distillation import PartListener
from digits_edge.train.training.recipe import Recipe
from digits_edge.train.training.run_folder import SUMMARY, refuse_cross_validation, write_json
from digits_edge.train.training.training import EpochListener, StepListener, train

#: Called with (fold, from 1; number of folds) before each fold.
FoldListener = Callable[[int, int], None]


def cross_validate(
    recipe: Recipe,
    dataset: Dataset,
    folder: Path,
    folds: int,
    *,
    resume: bool = False,
    overwrite: bool = False,
    on_fold: FoldListener | None = None,
    on_step: StepListener | None = None,
    on_epoch: EpochListener | None = None,
    on_part: PartListener | None = None,
) -> dict[str, Any]:
    """Train a model once per fold, each in its own run folder, and summarize the accuracies.

    Folds are stratified by class. As in any run, the validation images also choose the epoch, so the accuracies are
    slightly optimistic.

    Args:
        recipe: recipe of the trainings; the folds replace its validation rule.
        dataset: labelled images.
        folder: receives the run folders `fold-1-of-K` to `fold-K-of-K` and the summary `folds.json`.
        folds: number of folds, K, at least 2.
        resume: resume an interrupted cross-validation; finished folds are not trained again.
        overwrite: replace the runs in the folder.
        on_fold: called before each fold.
        on_step: called after each step, as in `train`.
        on_epoch: called after each epoch, as in `train`.
        on_part: called for teachers and views, as in `train`; each fold has its own teachers.

    Returns:
        Content of `folds.json`: accuracy of each fold, their mean and standard deviation, and the errors of all images,
        each validated once, with Wilson's 95 % interval.

    Raises:
        UsageError: as `train`.
        InputError: as `train`.
        CheckError: as `train`.

    Example:
        >>> summary = cross_validate(recipe, dataset, Path("runs/cv"), folds=5)  # doctest: +SKIP
        >>> summary["mean"], summary["interval"]  # doctest: +SKIP
    """
    if dataset.labels is None:
        raise InputError(f"{dataset.name} has no labels; training needs them")
    if recipe.lines is not None:
        raise UsageError(f"{recipe.model} has no cross-validation, because its lines are made; omit --folds")
    refuse_cross_validation(folder, resume=resume, overwrite=overwrite)
    (folder / SUMMARY).unlink(missing_ok=True)
    rules = [f"fold-{fold}-of-{folds}" for fold in range(1, folds + 1)]
    validated = [len(parts(dataset.labels, rule).validation) for rule in rules]
    accuracies = []
    for fold, rule in enumerate(rules, start=1):
        if on_fold is not None:
            on_fold(fold, folds)
        about = train(
            replace(recipe, validation=rule),
            dataset,
            folder / rule,
            resume=resume,
            overwrite=overwrite,
            on_step=on_step,
            on_epoch=on_epoch,
            on_part=on_part,
        )
        accuracies.append(float(about["result"]["validation_accuracy"]))
    errors = sum(round((1 - accuracy) * images) for accuracy, images in zip(accuracies, validated, strict=True))
    together = Accuracy(errors, sum(validated))
    summary = {
        "model": recipe.model,
        "folds": folds,
        "runs": [str(folder / rule) for rule in rules],
        "accuracies": accuracies,
        "mean": statistics.mean(accuracies),
        "standard_deviation": statistics.stdev(accuracies),
        "errors": errors,
        "images": together.images,
        "accuracy": together.value,
        "interval": together.interval(),
    }
    write_json(folder / SUMMARY, {"schema_version": 1, **summary})
    return summary
