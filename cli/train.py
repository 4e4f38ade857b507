"""`digits-edge train`: data and a recipe in, a run folder out; with `--folds`, one for each fold."""

import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from digits_edge.cli.extras import needs_extra
from digits_edge.cli.options import data_option, file_path, json_option, output_option, overwrite_option
from digits_edge.cli.output import note, percent, print_json, progress, say, show

if TYPE_CHECKING:
    from digits_edge.runtime.datasets import Dataset
    from digits_edge.train import Recipe


@click.command()
@click.argument("name", metavar="[NAME]", required=False)
@output_option("The run folder.  [default: runs/NAME]", required=False)
@data_option
@click.option(
    "--recipe",
    "kind",
    metavar="best|document|FILE",
    default="best",
    show_default=True,
    help="Ours, the documents', or that of an earlier run: its recipe.json, which names the model too.",
)
@click.option("--epochs", type=click.IntRange(min=1), help="At most.")
@click.option("--batch-size", type=click.IntRange(min=1), help="Images per step.")
@click.option("--learning-rate", type=click.FloatRange(min=0, min_open=True))
@click.option("--optimizer", type=click.Choice(["adam", "adamw", "lion", "nadam", "rmsprop", "sgd"]))
@click.option(
    "--schedule",
    type=click.Choice(["constant", "cosine", "exponential", "plateau"]),
    help="Of the learning rate.",
)
@click.option("--patience", type=click.IntRange(min=1), help="Stop after so many epochs without a smaller loss.")
@click.option(
    "--augmentation",
    type=click.Choice(["none", "document", "hand", "garment", "rough"]),
    help="What is done to the images.",
)
@click.option(
    "--validation",
    metavar="RULE",
    help="Which images validate: tenth, fifth (of every class), last-tenth, last-fifth (of the rows), fold-I-of-K or "
    "kaggle (of 42,000 rows the first 27,000 train, 13,000 validate, 2,000 are held back), kaggle-38000 (38,000 of "
    "those 40,000 train).",
)
@click.option(
    "--folds",
    type=click.IntRange(2, 100),
    metavar="K",
    help="Cross-validate: train K times, on all of the data; rows that a rule would hold back are not.",
)
@click.option(
    "--dtype-policy",
    type=click.Choice(["float32", "mixed_bfloat16", "mixed_float16"]),
    help="mixed_bfloat16 is faster on CPUs that have it.",
)
@click.option("--no-distillation", is_flag=True, help="Learn the labels alone, where the recipe has teachers.")
@click.option(
    "--distillation-cache",
    metavar="FOLDER",
    help="Keep, or find, a student's teachers and their answers there, for other students of the same teaching, "
    "augmentation, data and validation.  [default: in the run folder]",
)
@click.option("--stream", is_flag=True, help="Read a CSV in shards onto the disk, for one larger than the memory.")
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    help="Of weights, order and dropout, and without teachers of the augmentation.",
)
@click.option("--resume", is_flag=True, help="Go on from the run folder's last epoch.")
@overwrite_option
@json_option
@click.pass_context
def command(
    context: click.Context,
    /,
    name: str | None,
    output: str | None,
    data: str | None,
    kind: str,
    augmentation: str | None,
    folds: int | None,
    no_distillation: bool,
    distillation_cache: str | None,
    stream: bool,
    resume: bool,
    overwrite: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Train NAME on MNIST, or on the data set that --data names.

    NAME is perceptron, mlp, mlp-dropout, mlp-wide, cnn-small, cnn, resnet, kaggle-cnn or edge.

    The run folder holds model.keras, history.csv, recipe.json, curves.png and a checkpoint. A part of the data
    validates and chooses the epoch; the test set is not looked at. Options left out are the recipe's.

    Ctrl-C loses at most the epoch under way: `train NAME --resume`, or `train --resume -o FOLDER`, goes on with the
    settings that the run has begun with, to the same end.

    With --folds there is a run folder for each fold in the output folder, and folds.json with mean and spread.
    """
    with needs_extra("train"):
        from digits_edge.train import AUGMENTATIONS
        from digits_edge.train.training.run_folder import refuse_cross_validation, refuse_run
    from numpy import memmap

    from digits_edge.runtime.datasets import load

    if folds is not None and settings["validation"] is not None:
        raise click.UsageError("--validation holds only without --folds: each fold validates once.")
    if folds is not None and distillation_cache is not None:
        raise click.UsageError("--distillation-cache holds only without --folds: each fold has teachers of its own.")
    changed = {setting: value for setting, value in settings.items() if value is not None}
    if augmentation is not None:
        changed["augmentation"] = AUGMENTATIONS[augmentation]
    if no_distillation:
        changed["distillation"] = None
    begun = None
    if resume and context.get_parameter_source("kind") is ParameterSource.DEFAULT:
        folder = file_path(output) if output is not None else _default_folder(name)
        begun = _begun(folder, folds)
        if begun is None and name is None:
            raise click.UsageError(f"{folder} holds no run to resume; name a model to train one.")
        if begun is None:
            note(f"{folder} holds no run yet; one is begun")
    asked = _Asked(name, kind, changed, begun)
    folder = _default_folder(asked.model) if output is None else file_path(output)
    refuse = refuse_run if folds is None else refuse_cross_validation
    refuse(folder, resume=resume, overwrite=overwrite)
    with ExitStack() as stack:
        disk = Path(stack.enter_context(_folder_beside(folder))) if stream else None
        dataset = load(asked.data_name(data), split="train", data=data, progress=progress("downloading"), disk=disk)
        recipe = asked.recipe(dataset)
        if stream and not isinstance(dataset.images, memmap):
            note(f"--stream changes nothing: {dataset.name} is no CSV")
        if distillation_cache is not None and recipe.distillation is None:
            raise click.UsageError(
                f"--distillation-cache holds only for a student, and {recipe.model} has no teachers."
            )
        cache_folder = None if distillation_cache is None else file_path(distillation_cache)
        with needs_extra("train"):
            from digits_edge.train import cross_validate, train
        epochs = _Epochs(recipe.epochs)
        how: dict[str, Any] = {"resume": resume, "overwrite": overwrite}
        how |= {"on_step": epochs.step, "on_epoch": epochs.finished, "on_part": epochs.part}
        try:
            if folds is not None:
                _say_folds(cross_validate(recipe, dataset, folder, folds, on_fold=epochs.fold, **how), as_json)
                return
            about = train(recipe, dataset, folder, cache_folder=cache_folder, **how)
        except KeyboardInterrupt as interrupt:
            interrupt.add_note(f"{folder} keeps all finished epochs, and the same command with --resume goes on")
            raise
    result = about["result"]
    if as_json:
        print_json({"run": str(folder), **result})
        return
    say(
        f"{folder}: epoch {result['kept_epoch']} of {result['epochs']} is kept, "
        f"validation {percent(result['validation_accuracy'])} right, loss {result['validation_loss']:.4f}, "
        f"{result['seconds']:.0f} s"
    )


def _default_folder(model: str | None) -> Path:
    if model is None:
        raise click.UsageError("Name a model, or with --output the run folder.")
    return Path("runs") / model


def _begun(folder: Path, folds: int | None) -> Path | None:
    """The recipe that a run, or the first fold of a cross-validation, was begun with; None where there is none."""
    from digits_edge.train.training.run_folder import RECIPE

    run = folder if folds is None else folder / f"fold-1-of-{folds}"
    return run / RECIPE if (run / RECIPE).is_file() else None


class _Asked:
    """What is asked to be trained: a model by its name and the kind of recipe, or the recipe in a file.

    Args:
        name: of the model; may be None where a file names it.
        kind: "best", "document" or a recipe's file.
        changed: what the options change of the recipe.
        begun: the recipe of the run that is gone on with, instead of `kind`.
    """

    def __init__(self, name: str | None, kind: str, changed: dict[str, Any], begun: Path | None) -> None:
        from digits_edge.train import RECIPES, named_recipe, read_recipe

        self._kind, self._changed = kind, changed
        self._resumes = begun is not None
        self._file = begun or (None if kind in RECIPES else file_path(kind))
        if self._file is None and name is None:
            raise click.UsageError("Name a model, or a recipe's file with --recipe.")
        self._read = named_recipe(kind, str(name)) if self._file is None else read_recipe(self._file)
        if name not in (None, self._read.model):
            raise click.UsageError(f"{self._file} is a recipe of {self._read.model}, not of {name}.")
        self.model = self._read.model

    def data_name(self, data: str | None) -> str:
        """The data set that is trained on where --data names no other."""
        from digits_edge.runtime.datasets import CATALOGUE
        from digits_edge.train import recipe_data

        if self._file is None:
            return "mnist"
        trained_on, _ = recipe_data(self._file)
        if data is None and trained_on not in CATALOGUE:
            raise click.UsageError(f"{self._file} was trained on {trained_on!r}; say where that lies with --data.")
        return trained_on

    def recipe(self, dataset: "Dataset") -> "Recipe":
        """The recipe for this data, with what the options change."""
        from digits_edge.train import named_recipe, recipe_data

        if self._file is None:
            return named_recipe(self._kind, self.model, data=dataset.name, **self._changed)
        trained_on, sha256 = recipe_data(self._file)
        if sha256 is not None and sha256 != dataset.sha256 and not self._resumes:
            note(f"{dataset.name} is not the data of {self._file} ({trained_on}, sha256 {sha256[:12]}…)")
        return replace(self._read, **self._changed)


def _folder_beside(folder: Path) -> "tempfile.TemporaryDirectory[str]":
    """A folder for the time of the training, on the disk that the run is on: /tmp may be memory."""
    from digits_edge.runtime.errors import InputError

    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent)
    except OSError as error:
        raise InputError(f"{folder.parent} cannot hold the images: {error.strerror}; name another output") from error


def _say_folds(summary: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(summary)
        return
    for run, accuracy in zip(summary["runs"], summary["accuracies"], strict=True):
        say(f"{run}: validation {percent(accuracy)} right")
    low, high = summary["interval"]
    say(
        f"mean {percent(summary['mean'])}, standard deviation {percent(summary['standard_deviation'])}; together "
        f"{summary['errors']} errors of {summary['images']:,}, {percent(summary['accuracy'])} right "
        f"(95 %: {percent(low)} to {percent(high)})"
    )


class _Epochs:
    """A progress bar within each epoch on a terminal, a line after each epoch everywhere."""

    def __init__(self, epochs: int) -> None:
        self._epochs = epochs
        self._fold = self._part = ""
        self._bar = progress("")

    def fold(self, fold: int, folds: int) -> None:
        self._fold = f"fold {fold}/{folds}, "

    def part(self, part: str, epochs: int) -> None:
        """What the epochs to come belong to; shown at once, since asking teachers takes a while."""
        self._part, self._epochs = f"{part}, ", epochs
        show(f"{self._fold}{part}")

    def step(self, epoch: int, step: int, steps: int, loss: float) -> None:
        if step == 1:
            self._bar = progress(f"{self._fold}{self._part}epoch {epoch + 1}/{self._epochs}")
        self._bar(step, steps)

    def finished(self, epoch: int, row: dict[str, float]) -> None:
        note(
            f"{self._fold}{self._part}epoch {epoch + 1}/{self._epochs}: loss {row['loss']:.4f}, "
            f"validation loss {row['val_loss']:.4f}, validation {percent(row['val_accuracy'])} right"
        )
