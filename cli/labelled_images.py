"""Choice of the labelled images that models are measured on; training images are never used as test images."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from digits_edge.cli.data_options import PictureOptions, reading_of
from digits_edge.cli.loaded_model import LoadedModel
from digits_edge.cli.output import note
from digits_edge.runtime.datasets import CATALOGUE, Dataset, common_parts
from digits_edge.runtime.datasets.catalogue import DIGITS
from digits_edge.runtime.datasets.label_map import relabelled
from digits_edge.runtime.datasets.options import ReadingOptions
from digits_edge.runtime.errors import DataError, UsageError

Split = Literal["train", "validation", "test", "held-back"]
_USUAL = PictureOptions()


def choose_data(
    models: Sequence[LoadedModel], data: str | None, split: Split | None, pictures: PictureOptions = _USUAL
) -> tuple[Dataset, Split]:
    """Load the labelled images that models are measured on.

    Args:
        models: at least one; their training data is the default of `data`, and their rules define its parts. Pictures
            are converted by their preprocessing, images of another size are resized to their input, and classes are
            matched by name.
        data: value of `--data`.
        split: the split; None for the test images, or for the held-back rows if only the training data is available.
        pictures: how the images are read.

    Returns:
        The images and the name of their split.

    Raises:
        DataError: the data is not found, or has no labels.
        UsageError: the split is empty or unknown, a model was trained on the test images, or the models have different
            inputs.
    """
    if split not in (None, "test"):
        return _with_classes_of(models, _part(models, data, split, pictures)), split
    try:
        test = _test_images(models, data, pictures)
    except (DataError, UsageError) as refusal:
        if split is not None:
            raise
        try:
            return _with_classes_of(models, _part(models, data, "held-back", pictures)), "held-back"
        except (DataError, UsageError):
            raise refusal from None
    for model in models:
        if test.name == "mnist" and any(rule.startswith("kaggle") for rule in model.rules):
            note(f"warning: {model.name} was trained on Kaggle rows, which include MNIST test images")
    return _with_classes_of(models, test), "test"


def note_other_classes(model: str, labels: Sequence[str], dataset: Dataset) -> None:
    """Print a warning if a model has other classes than the data, because its errors are then meaningless."""
    # data files without class names are labelled as digits by default
    is_named = dataset.name in CATALOGUE or dataset.class_names != DIGITS
    if is_named and tuple(labels) != dataset.class_names:
        note(
            f"warning: the classes of {model} are {_shortened(labels)}, "
            f"but those of {dataset.name} are {_shortened(dataset.class_names)}"
        )


def _shortened(labels: Sequence[str]) -> str:
    return ", ".join(labels if len(labels) < 5 else [*labels[:3], "…", labels[-1]])


def _test_images(models: Sequence[LoadedModel], data: str | None, pictures: PictureOptions) -> Dataset:
    test = _load(models, data, "test", pictures)
    for model in models:
        # a file that is not a known data set has one split, which is loaded for any name
        if test.sha256 == model.data.get("sha256"):
            raise UsageError(
                f"{model.name} was trained on {test.name}; use --split validation, --split train or other data"
            )
    if test.labels is None:
        raise DataError(f"{test.name}: the test images have no labels; use --split validation or other data")
    return test


def _part(models: Sequence[LoadedModel], data: str | None, split: Split, pictures: PictureOptions) -> Dataset:
    """Load the rows of the training data that belong to a split for every model."""
    training = _load(models, data, "train", pictures)
    if training.labels is None:
        raise DataError(f"{training.name} has no labels; use labelled data to count errors")
    for model in models:
        if model.data.get("sha256", training.sha256) != training.sha256:
            raise UsageError(
                f"{model.name} was not trained on {training.name}, so there are no {split} images; "
                "use its own training data or --split test"
            )
        if not model.rules and split != "train":
            raise UsageError(f"{model.name} does not record its validation images; use its run folder or --split test")
    rules = [rule for model in models for rule in model.rules]
    if not rules:
        return training
    rows = common_parts(training.labels, rules)
    chosen = {"train": rows.train, "validation": rows.validation, "held-back": rows.held_back}[split]
    if not len(chosen):
        rule_names = " and ".join(dict.fromkeys(map(repr, rules)))
        names = ", ".join(model.name for model in models)
        raise UsageError(f"{names}: validation rule {rule_names} leaves no {split} images; use another --split")
    return replace(training.taken(chosen, split), name=training.name)


def _load(
    models: Sequence[LoadedModel], data: str | None, split: Literal["train", "test"], pictures: PictureOptions
) -> Dataset:
    trained_on = list(dict.fromkeys(str(model.data["name"]) for model in models if "name" in model.data))
    name = trained_on[0] if trained_on else "mnist"
    if data is None and len(trained_on) > 1:
        raise UsageError(f"the models were trained on different data ({', '.join(trained_on)}); choose one with --data")
    if data is None and name not in CATALOGUE:
        model_name = next(model.name for model in models if model.data.get("name") == name)
        raise DataError(f"{model_name} was trained on {name}, which is not a known data set; pass its path with --data")
    recorded = _common_input(models)
    return pictures.load(name if name in CATALOGUE else "mnist", split, data, recorded=recorded)


def _with_classes_of(models: Sequence[LoadedModel], dataset: Dataset) -> Dataset:
    """Number the classes as the models do, if the data has some of their classes or another order."""
    names = models[0].labels
    if dataset.class_names == names or not set(dataset.class_names) <= set(names):
        return dataset
    return relabelled(dataset, [names.index(name) for name in dataset.class_names], names)


def _common_input(models: Sequence[LoadedModel]) -> ReadingOptions:
    """The input and the preprocessing of the models."""
    first, *others = ((model.image, model.preprocessing) for model in models)
    for model, (image, _) in zip(models[1:], others, strict=True):
        if image.shape != first[0].shape:
            raise UsageError(
                f"{models[0].name} takes images of {first[0].description}, but {model.name} of {image.description}; "
                "compare models with the same input"
            )
    return reading_of(*first)
