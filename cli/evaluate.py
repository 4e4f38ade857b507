"""`digits-edge evaluate`: a model's errors on a data set."""

from typing import Literal

import click
import numpy as np
from numpy.typing import NDArray

from digits_edge.cli.keras_side import needs_extra
from digits_edge.cli.options import data_option, file_path, input_scale_option, json_option, session_options
from digits_edge.cli.output import percent, print_json, print_table, progress, say, show
from digits_edge.runtime.accuracy import Accuracy, confusion_matrix
from digits_edge.runtime.classifier import Classifier
from digits_edge.runtime.datasets import load
from digits_edge.runtime.errors import DataError


@click.command()
@click.argument("model", metavar="MODEL")
@data_option
@click.option("--split", type=click.Choice(["train", "test"]), default="test", show_default=True)
@session_options
@input_scale_option
@json_option
def command(
    model: str,
    data: str | None,
    split: Literal["train", "test"],
    provider: str,
    threads: int | None,
    input_scale: Literal[1, 255] | None,
    as_json: bool,
) -> None:
    """Count the errors of MODEL (a bundled name, a model file, a .keras or .h5 file, a run folder) on a data set."""
    dataset = load(split=split, data=data, progress=progress("downloading"))
    if dataset.labels is None or not len(dataset):
        raise DataError(f"{dataset.name} has no labelled images; errors can be counted on labelled ones only")
    show(f"answering {len(dataset):,} images")
    answers, bound = _answers(model, dataset.images, provider, threads, input_scale)
    if int(dataset.labels.max()) >= answers.shape[1]:
        raise DataError(
            f"{dataset.name} has labels beyond the {answers.shape[1]} classes of {model}; name its own data"
        )
    matrix = confusion_matrix(dataset.labels, answers.argmax(axis=1), answers.shape[1])
    accuracy = Accuracy(int(matrix.sum() - matrix.trace()), int(matrix.sum()))
    low, high = accuracy.interval()
    if as_json:
        print_json(
            {
                "model": model,
                "provider": bound,
                "data": dataset.name,
                "split": split,
                "errors": accuracy.errors,
                "images": accuracy.images,
                "accuracy": accuracy.value,
                "interval": [low, high],
                "confusion": matrix.tolist(),
            }
        )
        return
    say(
        f"{model} on {bound}, {dataset.name} {split}: {accuracy.errors} errors of {accuracy.images:,}, "
        f"{percent(accuracy.value)} right (95 %: {percent(low)} to {percent(high)})"
    )
    rows = []
    for label, row in enumerate(matrix):
        wrong = [(int(count), dataset.class_names[said]) for said, count in enumerate(row) if said != label and count]
        taken_for = ", ".join(f"{name} {count}x" for count, name in sorted(wrong, reverse=True)[:3])
        rows.append([dataset.class_names[label], str(row.sum()), str(row.sum() - row[label]), taken_for])
    print_table(["class", "images", "errors", "taken for"], rows)


def _answers(
    model: str,
    images: NDArray[np.uint8],
    provider: str,
    threads: int | None,
    input_scale: Literal[1, 255] | None,
) -> tuple[NDArray[np.float32], str]:
    """What the model answers to the images, and what computed it."""
    path = file_path(model)
    if path.is_dir() or path.suffix in (".keras", ".h5"):
        with needs_extra("export"):
            from digits_edge.export import read_source

            source = read_source(path, input_scale=input_scale)
        return source.answers(images), "keras"
    with Classifier(model, provider=provider, threads=threads) as classifier:
        return classifier.predict_batch(images), classifier.provider
