"""Which labelled images models are measured on: `choose_data()`, which never calls test images what taught one."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from digits_edge.cli.loaded_model import LoadedModel
from digits_edge.cli.output import note, progress
from digits_edge.runtime.datasets import CATALOGUE, Dataset, common_parts, load
from digits_edge.runtime.datasets.catalogue import DIGITS
from digits_edge.runtime.errors import DataError, UsageError

Split = Literal["train", "validation", "test", "held-back"]


def choose_data(models: Sequence[LoadedModel], data: str | None, split: Split | None) -> tuple[Dataset, Split]:
    """The labelled images that models are measured on, and which split they are.

    Args:
        models: at least one. Their training data's name is the default of `data`, and their rules part that data.
        data: what stands after `--data`.
        split: None for the test images; where there are none besides the training data, the rows held back of it.

    Raises:
        DataError: the data is not found, or has no labels.
        UsageError: no image is in the split asked for, the split is not known, or the test images would be those that
            a model was trained on.
    """
    if split not in (None, "test"):
        return _part(models, data, split), split
    try:
        test = _test_images(models, data)
    except (DataError, UsageError) as refusal:
        if split is not None:
            raise
        try:
            return _part(models, data, "held-back"), "held-back"
        except (DataError, UsageError):
            raise refusal from None
    for model in models:
        if test.name == "mnist" and any(rule.startswith("kaggle") for rule in model.rules):
            note(f"{model.asked} was trained on Kaggle's rows, which lie inside MNIST: it has learnt from test images")
    return test, "test"


def note_other_classes(model: str, labels: Sequence[str], dataset: Dataset) -> None:
    """Tell a person whose model tells other things apart than the data has: its errors mean nothing then."""
    # the classes of a file of one's own are called digits for want of better
    is_named = dataset.name in CATALOGUE or dataset.class_names != DIGITS
    if is_named and tuple(labels) != dataset.class_names:
        note(f"{model} tells {_few(labels)} apart, and the classes of {dataset.name} are {_few(dataset.class_names)}")


def _few(labels: Sequence[str]) -> str:
    return ", ".join(labels if len(labels) < 5 else [*labels[:3], "…", labels[-1]])


def _test_images(models: Sequence[LoadedModel], data: str | None) -> Dataset:
    test = _load(models, data, "test")
    for model in models:
        # a file of its own is read for whichever split is asked
        if test.sha256 == model.data.get("sha256"):
            raise UsageError(
                f"{test.name} is what {model.asked} was trained on; name --split validation or --split train, "
                "or other data"
            )
    if test.labels is None:
        raise DataError(f"{test.name} has no labels for its test images; name --split validation, or other data")
    return test


def _part(models: Sequence[LoadedModel], data: str | None, split: Split) -> Dataset:
    """Those rows of the training data that are this part of it for all models."""
    training = _load(models, data, "train")
    if training.labels is None:
        raise DataError(f"{training.name} has no labels; errors can be counted on labelled images only")
    for model in models:
        if model.data.get("sha256", training.sha256) != training.sha256:
            raise UsageError(
                f"{model.asked} was not trained on {training.name}, so that has no {split} images for it; "
                "name its own data, or --split test"
            )
        if not model.rules and split != "train":
            raise UsageError(
                f"{model.asked} does not say which images validated it; name its run folder, or --split test"
            )
    rules = [rule for model in models for rule in model.rules]
    if not rules:
        return training
    rows = common_parts(training.labels, rules)
    chosen = {"train": rows.train, "validation": rows.validation, "held-back": rows.held_back}[split]
    if not len(chosen):
        named = " and ".join(dict.fromkeys(map(repr, rules)))
        asked = ", ".join(model.asked for model in models)
        raise UsageError(f"{asked}: trained by the rule {named}, which leaves no {split} images; name another --split")
    return replace(training.taken(chosen, split), name=training.name)


def _load(models: Sequence[LoadedModel], data: str | None, split: Literal["train", "test"]) -> Dataset:
    trained_on = list(dict.fromkeys(str(model.data["name"]) for model in models if "name" in model.data))
    name = trained_on[0] if trained_on else "mnist"
    if data is None and len(trained_on) > 1:
        raise UsageError(f"the models were trained on different data ({', '.join(trained_on)}); name one with --data")
    if data is None and name not in CATALOGUE:
        asked = next(model.asked for model in models if model.data.get("name") == name)
        raise DataError(f"{asked} was trained on {name}, which is no data set known by name; use --data")
    return load(name if name in CATALOGUE else "mnist", split, data=data, progress=progress("downloading"))
