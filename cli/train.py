"""The `digits-edge train` command."""

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from digits_edge.cli.data_options import PictureOptions, picture_options
from digits_edge.cli.extras import needs_extra
from digits_edge.cli.options import (
    data_option,
    dtype_policy_option,
    examples,
    file_path,
    json_option,
    output_option,
    overwrite_option,
)
from digits_edge.cli.output import note, percent, print_json, progress, say, show

if TYPE_CHECKING:
    from digits_edge.runtime.datasets import Dataset
    from digits_edge.runtime.datasets.options import ReadingOptions
    from digits_edge.train import Recipe


@click.command(
    epilog=examples(
        "digits-edge train cnn-small",
        "digits-edge train cnn --data kaggle --validation kaggle -o runs/kaggle",
        "digits-edge train cnn-small --data pictures/ --input 32x32x3 -o runs/pets",
        "digits-edge train --resume -o runs/kaggle",
    )
)
@click.argument("name", metavar="[NAME]", required=False)
@output_option("Run folder.  [default: runs/NAME]", required=False)
@data_option
@picture_options
@click.option(
    "--recipe",
    metavar="best|document|FILE",
    default="best",
    show_default=True,
    help="Recipe: this project's, the reference document's, or the recipe.json of a run, which includes NAME.",
)
@click.option("--epochs", type=click.IntRange(min=1), help="Largest number of epochs.")
@click.option("--batch-size", type=click.IntRange(min=1), help="Images per step.")
@click.option("--learning-rate", type=click.FloatRange(min=0, min_open=True), help="Largest learning rate.")
@click.option(
    "--optimizer", type=click.Choice(["adam", "adamw", "lion", "nadam", "rmsprop", "sgd"]), help="Keras optimizer."
)
@click.option(
    "--schedule",
    type=click.Choice(["constant", "cosine", "exponential", "plateau"]),
    help="Schedule of the learning rate.",
)
@click.option(
    "--patience", type=click.IntRange(min=1), help="Epochs without a smaller validation loss before early stopping."
)
@click.option(
    "--augmentation",
    type=click.Choice(["none", "document", "hand", "garment", "photo", "rough"]),
    help="Augmentation of the training images.",
)
@click.option(
    "--validation",
    metavar="RULE",
    help="Validation images: tenth or fifth (of each class), last-tenth or last-fifth (of the rows), fold-I-of-K, "
    "kaggle (of 42,000 rows, the first 27,000 for training, 13,000 for validation, 2,000 held back), or "
    "kaggle-38000 (38,000 of the first 40,000 for training).",
)
@click.option(
    "--folds",
    type=click.IntRange(2, 100),
    metavar="K",
    help="Number of folds of a cross-validation on all of the data, including held-back rows.",
)
@dtype_policy_option
@click.option(
    "--hands",
    type=click.IntRange(min=0),
    metavar="COUNT",
    help="Number of made images of digits to add: handwriting fonts (fetched with npm), national variants and changed "
    "training images; 0 for none.  [default: the recipe's]",
)
@click.option(
    "--lines",
    type=click.IntRange(min=1),
    metavar="COUNT",
    help="Number of made lines of numbers for the training of number.  [default: the recipe's]",
)
@click.option("--no-distillation", is_flag=True, help="Train on the labels even if the recipe has teachers.")
@click.option(
    "--distillation-cache",
    metavar="FOLDER",
    help="Folder of the teachers and soft targets, for students with equal distillation, augmentation, data and "
    "validation.  [default: in the run folder]",
)
@click.option(
    "--stream", is_flag=True, help="Convert a CSV or pictures to a file on disk, for data larger than memory."
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    help="Seed of weights, order and dropout; without distillation also of the augmentation.",
)
@click.option("--resume", is_flag=True, help="Continue after the last finished epoch in the run folder.")
@overwrite_option
@json_option
@click.pass_context
def command(
    context: click.Context,
    /,
    name: str | None,
    output: str | None,
    data: str | None,
    pictures: PictureOptions,
    recipe: str,
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
    """Train a Keras model.

    NAME is perceptron, mlp, mlp-dropout, mlp-wide, cnn-small, cnn, resnet, kaggle-cnn or edge; or number, which reads
    lines of numbers that are made of the data's digits, fonts and drawn strokes. The data is MNIST unless --data is
    given. Options that are not given have the recipe's values.

    With a folder of pictures as --data, each sub-folder is a class: FOLDER/CLASS/…, or FOLDER/train/CLASS/… and
    FOLDER/test/CLASS/…. Without test/, a fifth of the pictures of each class is reserved for testing.

    The run folder receives model.keras, history.csv, recipe.json, curves.png and a checkpoint. A part of the data is
    used for validation and chooses the epoch; the test set is not used.

    To continue an interrupted training, run `train NAME --resume` or `train --resume -o FOLDER`. It uses the settings
    of the run and gives the same result as an uninterrupted one.

    With --folds the output folder receives a run folder per fold, and folds.json with the mean accuracy and its
    standard deviation.
    """
    with needs_extra("train"):
        from digits_edge.train.training.run_folder import refuse_cross_validation, refuse_run

    if folds is not None and settings["validation"] is not None:
        raise click.UsageError("--validation applies only without --folds, which validates on each fold.")
    if folds is not None and distillation_cache is not None:
        raise click.UsageError("--distillation-cache applies only without --folds: each fold has its own teachers.")
    started = None
    if resume and context.get_parameter_source("recipe") is ParameterSource.DEFAULT:
        started = _started_recipe(name, output, folds)
    source = _RecipeSource(name, recipe, _changes(settings, augmentation, no_distillation), started)
    folder = _default_folder(source.model) if output is None else file_path(output)
    refuse = refuse_run if folds is None else refuse_cross_validation
    refuse(folder, resume=resume, overwrite=overwrite)
    cache_folder = None if distillation_cache is None else file_path(distillation_cache)
    result = _train(source, _Options(folder, data, pictures, folds, cache_folder, stream, resume, overwrite))
    if folds is not None:
        _print_folds(result, as_json)
    else:
        _print_run(folder, result, as_json)


@dataclass(frozen=True)
class _Options:
    """Options of a training besides its recipe.

    Attributes:
        folder: output folder.
        data: value of `--data`.
        pictures: how the images are read.
        folds: number of folds; None for a single training.
        cache_folder: distillation cache; None for the default.
        stream: read a CSV or pictures through a file on disk.
        resume: resume the run in the folder.
        overwrite: replace the run in the folder.
    """

    folder: Path
    data: str | None
    pictures: PictureOptions
    folds: int | None
    cache_folder: Path | None
    stream: bool
    resume: bool
    overwrite: bool


def _changes(settings: dict[str, Any], augmentation: str | None, no_distillation: bool) -> dict[str, Any]:
    """Fields of the recipe that options change."""
    with needs_extra("train"):
        from digits_edge.train import AUGMENTATIONS, Hands, Lines

    changes = {setting: value for setting, value in settings.items() if value is not None}
    if "hands" in changes:
        changes["hands"] = Hands(changes["hands"]) if changes["hands"] else None
    if "lines" in changes:
        changes["lines"] = Lines(changes["lines"])
    if augmentation is not None:
        changes["augmentation"] = AUGMENTATIONS[augmentation]
    if no_distillation:
        changes["distillation"] = None
    return changes


def _default_folder(model: str | None) -> Path:
    if model is None:
        raise click.UsageError("Pass NAME, or the run folder with --output.")
    return Path("runs") / model


def _started_recipe(name: str | None, output: str | None, folds: int | None) -> Path | None:
    """Recipe file of the run to resume (of the first fold of a cross-validation); None if there is no run."""
    from digits_edge.train.training.run_folder import RECIPE

    folder = file_path(output) if output is not None else _default_folder(name)
    recipe = (folder if folds is None else folder / f"fold-1-of-{folds}") / RECIPE
    if recipe.is_file():
        return recipe
    if name is None:
        raise click.UsageError(f"{folder} holds no run to resume; pass NAME to start one.")
    note(f"{folder} holds no run; starting a new one")
    return None


class _RecipeSource:
    """The recipe that the command line selects.

    Args:
        name: name of the model; None if a file names it.
        recipe: value of `--recipe`: "best", "document" or a file.
        changes: fields of the recipe that options change.
        started: recipe file of the run to resume, which replaces `recipe`.

    Raises:
        click.UsageError: no model is named, or the file is the recipe of another model.
    """

    def __init__(self, name: str | None, recipe: str, changes: dict[str, Any], started: Path | None) -> None:
        from digits_edge.train import RECIPES, named_recipe, read_recipe

        self._kind, self._changes = recipe, changes
        self._resumes = started is not None
        self._file = started or (None if recipe in RECIPES else file_path(recipe))
        if self._file is None and name is None:
            raise click.UsageError("Pass NAME, or a recipe file with --recipe.")
        self._recipe = named_recipe(recipe, str(name)) if self._file is None else read_recipe(self._file)
        self.model = self._recipe.model
        if name not in (None, self.model):
            raise click.UsageError(f"{self._file} is a recipe of {self.model}, not of {name}.")

    def data_name(self, data: str | None) -> str:
        """Name of the default data set: that of the recipe file, or mnist.

        Raises:
            click.UsageError: the recipe file names an unknown data set, and `--data` is not given.
        """
        from digits_edge.runtime.datasets import CATALOGUE
        from digits_edge.train import recipe_data

        if self._file is None:
            return "mnist"
        trained_on, _ = recipe_data(self._file)
        if data is None and trained_on not in CATALOGUE:
            raise click.UsageError(
                f"{self._file} was trained on {trained_on!r}; pass the path of the data with --data."
            )
        return trained_on

    @property
    def images(self) -> "ReadingOptions | None":
        """Input and preprocessing steps that the recipe file records; None without a file."""
        from digits_edge.train import recipe_images

        return None if self._file is None else recipe_images(self._file)

    def recipe_for(self, dataset: "Dataset") -> "Recipe":
        """The recipe for a data set, with the changes of the options."""
        from digits_edge.train import augmentation_for, named_recipe, recipe_data

        if self._file is None:
            changes = dict(self._changes)
            if "augmentation" in changes:
                changes["augmentation"] = augmentation_for(changes["augmentation"], dataset.image)
            return named_recipe(self._kind, self.model, data=dataset.name, image=dataset.image, **changes)
        trained_on, sha256 = recipe_data(self._file)
        if sha256 is not None and sha256 != dataset.sha256 and not self._resumes:
            note(f"{dataset.name} is not the data of {self._file} ({trained_on}, SHA-256 {sha256[:12]}…)")
        return replace(self._recipe, **self._changes)


def _train(source: _RecipeSource, options: _Options) -> dict[str, Any]:
    """Load the data and train; return the content of recipe.json or, with folds, of folds.json."""
    from numpy import memmap

    folder = options.folder
    with ExitStack() as stack:
        disk = Path(stack.enter_context(_folder_beside(folder))) if options.stream else None
        name = source.data_name(options.data)
        dataset = options.pictures.load(name, "train", options.data, recorded=source.images, disk=disk)
        recipe = source.recipe_for(dataset)
        if options.stream and not isinstance(dataset.images, memmap):
            note(f"--stream has no effect: {dataset.name} is neither a CSV file nor a folder of pictures")
        if options.cache_folder is not None and recipe.distillation is None:
            raise click.UsageError(
                f"--distillation-cache applies only to recipes with distillation; that of {recipe.model} has none."
            )
        with needs_extra("train"):
            from digits_edge.train import cross_validate, train
        display = _Display(recipe.epochs)
        common: dict[str, Any] = {
            "resume": options.resume,
            "overwrite": options.overwrite,
            "on_step": display.step,
            "on_epoch": display.epoch,
            "on_part": display.part,
        }
        try:
            if options.folds is not None:
                return cross_validate(recipe, dataset, folder, options.folds, on_fold=display.fold, **common)
            return train(recipe, dataset, folder, cache_folder=options.cache_folder, **common)
        except KeyboardInterrupt as interrupt:
            interrupt.add_note(f"finished epochs are stored in {folder}; repeat the command with --resume to continue")
            raise


def _folder_beside(folder: Path) -> "tempfile.TemporaryDirectory[str]":
    """Temporary folder on the disk of the run folder, because /tmp may be in memory."""
    from digits_edge.runtime.errors import InputError

    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent)
    except OSError as error:
        raise InputError(
            f"{folder.parent} cannot store the streamed images: {error.strerror}; name another folder with --output"
        ) from error


def _print_run(folder: Path, record: dict[str, Any], as_json: bool) -> None:
    result = record["result"]
    if as_json:
        print_json({"run": str(folder), **result})
        return
    say(
        f"{folder}: stored epoch {result['kept_epoch']} of {result['epochs']}, "
        f"validation accuracy {percent(result['validation_accuracy'])}, loss {result['validation_loss']:.4f}, "
        f"{result['seconds']:.0f} s"
    )
    from digits_edge.train import ENOUGH_STEPS

    steps = result["epochs"] * -(-record["data"]["images"] // record["recipe"]["batch_size"])
    if steps < ENOUGH_STEPS:
        note(f"{steps} steps are few; with a smaller --batch-size or more --epochs, the model may become better")


def _print_folds(summary: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(summary)
        return
    for run, accuracy in zip(summary["runs"], summary["accuracies"], strict=True):
        say(f"{run}: validation accuracy {percent(accuracy)}")
    low, high = summary["interval"]
    say(
        f"mean {percent(summary['mean'])}, standard deviation {percent(summary['standard_deviation'])}; all folds: "
        f"{summary['errors']} errors of {summary['images']:,}, accuracy {percent(summary['accuracy'])} "
        f"(95 %: {percent(low)} to {percent(high)})"
    )


class _Display:
    """Progress of a training: on a terminal a bar per epoch, and always a line after each epoch."""

    def __init__(self, epochs: int) -> None:
        self._epochs = epochs
        self._fold = self._part = ""
        self._bar = progress("")

    def fold(self, fold: int, folds: int) -> None:
        self._fold = f"fold {fold}/{folds}, "

    def part(self, part: str, epochs: int) -> None:
        """Show a part at once; parts without epochs, such as the teachers' predictions, take a while."""
        self._part = f"{part}, " if epochs else ""
        self._epochs = epochs or self._epochs
        show(f"{self._fold}{part}")

    def step(self, epoch: int, step: int, steps: int, loss: float) -> None:
        if step == 1:
            self._bar = progress(f"{self._fold}{self._part}epoch {epoch + 1}/{self._epochs}")
        self._bar(step, steps)

    def epoch(self, epoch: int, row: dict[str, float]) -> None:
        note(
            f"{self._fold}{self._part}epoch {epoch + 1}/{self._epochs}: loss {row['loss']:.4f}, "
            f"validation loss {row['val_loss']:.4f}, validation accuracy {percent(row['val_accuracy'])}"
        )
