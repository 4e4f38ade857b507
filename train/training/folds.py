"""Cross-validation: as many trainings as there are folds, each validated on the part that the others learnt from."""

import statistics
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from digits_edge.runtime.checks.accuracy import Accuracy
from digits_edge.runtime.datasets import Dataset, parts
from digits_edge.runtime.errors import InputError
from digits_edge.train.training.distillation import PartListener
from digits_edge.train.training.recipe import Recipe
from digits_edge.train.training.run_folder import SUMMARY, refuse_cross_validation, write_json
from digits_edge.train.training.training import EpochListener, StepListener, train

#: Told before every fold: (fold, from 1; folds).
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
    """Train a model once for every fold, each in a run folder of its own, and sum up.

    Every class is shared out evenly over the folds. As in any run the fold that validates also chooses the epoch, so
    the figures lean a little to the good side.

    Args:
        recipe: what to train, and how; its rule of validation gives way to the folds.
        dataset: labelled images.
        folder: gets `fold-1-of-K` and so on, and the summary `folds.json`.
        folds: K, at least 2.
        resume: go on where a cross-validation was cut; finished folds are kept.
        overwrite: train anew where the folder holds runs already.
        on_fold: told before every fold.
        on_step: told of every step, as by `train`.
        on_epoch: told of every epoch, as by `train`.
        on_part: told of teachers and views, as by `train`; every fold has teachers of its own.

    Returns:
        What `folds.json` holds: accuracy of every fold, their mean and standard deviation, and the errors of all
        images, each validated once, with Wilson's 95 % interval.

    Raises:
        UsageError, InputError, CheckError: as `train`.
    """
    if dataset.labels is None:
        raise InputError(f"{dataset.name} has no labels; training needs them")
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
