"""Conducting a study: every variant trained with every seed, each in a run folder of its own, and what came of it."""

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

#: A row for each epoch, as `history.csv` has it.
History = list[dict[str, float]]
#: Told before every run: (its folder, run, runs in all), runs from 1.
RunListener = Callable[[Path, int, int], None]


@dataclass(frozen=True)
class Outcome:
    """What came of a variant.

    Attributes:
        variant: what was trained.
        runs: the run folders, one for each seed.
        accuracies: on the validation images, one for each seed.
        images: how many validation images there are; they are the same for all seeds and variants.
        histories: of the runs.
        seconds: spent training, one for each seed; of a run that several variants are read off, the epochs' share.
    """

    variant: Variant
    runs: tuple[Path, ...]
    accuracies: tuple[float, ...]
    images: int
    histories: tuple[History, ...]
    seconds: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The mean accuracy of the seeds."""
        return statistics.mean(self.accuracies)

    @property
    def spread(self) -> float | None:
        """The standard deviation from seed to seed; None of a single one."""
        return statistics.stdev(self.accuracies) if len(self.accuracies) > 1 else None

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the mean accuracy: what the choice of the images leaves open."""
        return Accuracy(round((1 - self.mean) * self.images), self.images).interval()

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
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
    """Train what is not trained yet, and read off what is compared.

    A run that is finished is not trained again, one that was cut goes on. Students learn from one lesson, kept in the
    folder.

    Args:
        study: what to train.
        dataset: labelled images; each recipe's rule says which of them validate.
        folder: gets the run folders.
        seeds: at least one; each is trained.
        on_run: told before every run.
        on_step: told of every step.
        on_part: where there are teachers: told what is trained or asked now.

    Raises:
        UsageError: a run folder holds a run of other settings or other data.
        InputError: the data has no labels or too few images, or a folder cannot be written.
        CheckError: a training diverged.
    """
    if dataset.labels is None:
        raise InputError(f"{dataset.name} has no labels; training needs them")
    seeded = [_on_data(study.seeded(seed), dataset.name).variants for seed in seeds]
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
            raise UsageError(f"{error}; or take another folder") from error
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


def _on_data(study: Study, data: str) -> Study:
    variants = tuple(replace(variant, recipe=for_data(variant.recipe, data)) for variant in study.variants)
    return replace(study, variants=variants)


def _accuracy(variant: Variant, result: dict[str, Any], history: History) -> float:
    """The figure that a variant is compared by."""
    if variant.after_epoch is None:
        return float(result["validation_accuracy"])
    return history[variant.after_epoch - 1]["val_accuracy"]


def _seconds(variant: Variant, result: dict[str, Any]) -> float:
    """What the variant took."""
    share = 1.0 if variant.after_epoch is None else variant.after_epoch / result["epochs"]
    return float(result["seconds"]) * share
