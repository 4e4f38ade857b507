"""`digits-edge train`: data and a recipe in, a run folder out."""

from pathlib import Path
from typing import Any

import click

from digits_edge.cli.keras_side import needs_extra
from digits_edge.cli.options import data_option, file_path, json_option, output_option, overwrite_option
from digits_edge.cli.output import note, percent, print_json, progress, say


@click.command()
@click.argument("name", metavar="NAME")
@output_option("The run folder.  [default: runs/NAME]", required=False)
@data_option
@click.option("--recipe", "kind", type=click.Choice(["best", "document"]), default="best", show_default=True)
@click.option("--epochs", type=click.IntRange(min=1), help="At most.")
@click.option("--batch-size", type=click.IntRange(min=1), help="Images per step.")
@click.option("--learning-rate", type=click.FloatRange(min=0, min_open=True))
@click.option("--optimizer", type=click.Choice(["adam", "adamw", "lion", "nadam", "rmsprop", "sgd"]))
@click.option("--schedule", type=click.Choice(["constant", "cosine", "plateau"]), help="Of the learning rate.")
@click.option(
    "--augmentation", type=click.Choice(["none", "document", "hand"]), help="What is done to training images."
)
@click.option(
    "--dtype-policy",
    type=click.Choice(["float32", "mixed_bfloat16", "mixed_float16"]),
    help="mixed_bfloat16 is faster on CPUs that have it.",
)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), help="Of weights, order, augmentation and dropout.")
@click.option("--resume", is_flag=True, help="Go on from the run folder's last epoch.")
@overwrite_option
@json_option
def command(
    name: str,
    output: str | None,
    data: str | None,
    kind: str,
    augmentation: str | None,
    resume: bool,
    overwrite: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Train NAME (cnn-small, cnn, resnet) on MNIST, or on the data set that --data names.

    The run folder holds model.keras, history.csv, recipe.json, curves.png and a checkpoint. A tenth of the data
    validates and chooses the epoch; the test set is not looked at. Ctrl-C loses at most the epoch under way: --resume
    goes on, to the same end. Options left out are the recipe's.
    """
    with needs_extra("train"):
        from digits_edge.train import AUGMENTATIONS, named_recipe, train
    from digits_edge.runtime.datasets import load

    changed = {setting: value for setting, value in settings.items() if value is not None}
    if augmentation is not None:
        changed["augmentation"] = AUGMENTATIONS[augmentation]
    recipe = named_recipe(kind, name, **changed)
    dataset = load(split="train", data=data, progress=progress("downloading"))
    folder = Path("runs") / name if output is None else file_path(output)
    epochs = _Epochs(recipe.epochs)
    try:
        about = train(
            recipe,
            dataset,
            folder,
            resume=resume,
            overwrite=overwrite,
            on_step=epochs.step,
            on_epoch=epochs.finished,
        )
    except KeyboardInterrupt as interrupt:
        interrupt.add_note(f"{folder} keeps all finished epochs, and the same command with --resume goes on")
        raise
    result = about["result"]
    if as_json:
        print_json({"run": str(folder), **result})
        return
    say(
        f"{folder}: best of {result['epochs']} epochs is {result['best_epoch']}, "
        f"validation {percent(result['validation_accuracy'])} right, loss {result['validation_loss']:.4f}, "
        f"{result['seconds']:.0f} s"
    )


class _Epochs:
    """A progress bar within each epoch on a terminal, a line after each epoch everywhere."""

    def __init__(self, epochs: int) -> None:
        self._epochs = epochs
        self._bar = progress("")

    def step(self, epoch: int, step: int, steps: int, loss: float) -> None:
        if step == 1:
            self._bar = progress(f"epoch {epoch + 1}/{self._epochs}")
        self._bar(step, steps)

    def finished(self, epoch: int, row: dict[str, float]) -> None:
        note(
            f"epoch {epoch + 1}/{self._epochs}: loss {row['loss']:.4f}, validation loss {row['val_loss']:.4f}, "
            f"validation {percent(row['val_accuracy'])} right"
        )
