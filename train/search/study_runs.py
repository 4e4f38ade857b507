"""Train the variants of a study with every seed and collect the results."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from digits_edge.runtime.checks.accuracy import Accuracy
from digits_edge.runtime.datasets import Dataset, parts
from digits_edge.runtime.errors import InputError, UsageError
from digits_edge.train.search.studies import Study, Variant
from digits_edge.train.training.distillation import PartListener
from digits_edge.train.training.recipe import for_data
from digits_edge.train.training.run_folder import DISTILLATION, HISTORY, read_history
from digits_edge.train.training.training import StepListener, train

#: Rows of `history.csv`, one per epoch.
History = list[dict[str, float]]
#: Called with (run folder, run from 1, number of runs) before each run.
RunListener = Callable[[Path, int, int], None]


@dataclass(frozen=True)
class Outcome:
    """Results of a variant.

    Attributes:
        variant: trained variant.
        runs: run folders, one per seed.
        accuracies: validation accuracies, one per seed.
        images: number of validation images, equal for all seeds and variants.
        histories: histories of the runs.
        seconds: training times, one per seed; proportional to the epochs if variants share a run.
    """

    variant: Variant
    runs: tuple[Path, ...]
    accuracies: tuple[float, ...]
    images: int
    histories: tuple[History, ...]
    seconds: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean accuracy over the seeds."""
        return statistics.mean(self.accuracies)

    @property
    def spread(self) -> float | None:
        """Standard deviation over the seeds; None for a single seed."""
        return statistics.stdev(self.accuracies) if len(self.accuracies) > 1 else None

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the mean accuracy, for the sampling of the images."""
        return Accuracy(round((1 - self.mean) * self.images), self.images).interval()

    def to_json(self) -> dict[str, Any]:
        """The results as JSON values."""
        return {
            "label": self.variant.label,
            "value": self.variant.value,
            "accuracy": self.mean,
            "standard_deviation": self.spread,
            "interval": list(self.interval),
            "validation_images": self.images,
            "accuracies": list(self.accuracies),
            "seconds": list(self.seconds),
            "runs": [str(run) for run in self.runs],
        }


def conduct(
    study: Study,
    dataset: Dataset,
    folder: Path,
    seeds: Sequence[int] = (0,),
    *,
    on_run: RunListener | None = None,
    on_step: StepListener | None = None,
    on_part: PartListener | None = None,
) -> list[Outcome]:
    """Train the variants of a study with every seed.

    Finished runs are not trained again and interrupted runs are resumed. With distillation, all runs share one cache in
    the folder.

    Args:
        study: study to train.
        dataset: labelled images; the validation rule of each recipe splits them.
        folder: receives the run folders.
        seeds: seeds to train with, at least one.
        on_run: called before each run.
        on_step: called after each step.
        on_part: with distillation: called before each teacher, each view and the student.

    Returns:
        Results in the order of the variants.

    Raises:
        UsageError: a run folder holds a run with other settings or data.
        InputError: the data has no labels or too few images, or a folder cannot be written.
        CheckError: a training diverged.

    Example:
        >>> from digits_edge.train.search.studies import study
        >>> outcomes = conduct(study("depth"), dataset, Path("runs/depth"), seeds=(0, 1))  # doctest: +SKIP
    """
    if dataset.labels is None:
        raise InputError(f"{dataset.name} has no labels; training needs them")
    seeded = [_on_data(study.seeded(seed), dataset).variants for seed in seeds]
    recipes = {variant.run: variant.recipe for variants in seeded for variant in variants}
    results = {}
    for index, (name, recipe) in enumerate(recipes.items(), start=1):
        if on_run is not None:
            on_run(folder / name, index, len(recipes))
        shared = None if recipe.distillation is None else folder / DISTILLATION
        try:
            results[name] = train(
                recipe, dataset, folder / name, resume=True, cache_folder=shared, on_step=on_step, on_part=on_part
            )["result"]
        except UsageError as error:
            raise UsageError(f"{error}; or name another folder") from error
    histories = {name: read_history(folder / name / HISTORY) for name in recipes}
    images = len(parts(dataset.labels, study.variants[0].recipe.validation).validation)
    outcomes = []
    for variants in zip(*seeded, strict=True):
        names = [variant.run for variant in variants]
        outcomes.append(
            Outcome(
                variant=variants[0],
                runs=tuple(folder / name for name in names),
                accuracies=tuple(_accuracy(v, results[v.run], histories[v.run]) for v in variants),
                images=images,
                histories=tuple(histories[name] for name in names),
                seconds=tuple(_seconds(v, results[v.run]) for v in variants),
            )
        )
    return outcomes


def _on_data(study: Study, data: Dataset) -> Study:
    variants = tuple(
        replace(variant, recipe=for_data(variant.recipe, data.name, data.image)) for variant in study.variants
    )
    return replace(study, variants=variants)


def _accuracy(variant: Variant, result: dict[str, Any], history: History) -> float:
    """Accuracy by which the variant is compared."""
    if variant.after_epoch is None:
        return float(result["validation_accuracy"])
    return history[variant.after_epoch - 1]["val_accuracy"]


def _seconds(variant: Variant, result: dict[str, Any]) -> float:
    """Training time of the variant."""
    share = 1.0 if variant.after_epoch is None else variant.after_epoch / result["epochs"]
    return float(result["seconds"]) * share
