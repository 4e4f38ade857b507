"""`digits-edge evaluate`: how well a model answers a data set, as figures and as a page."""

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import click

from digits_edge.cli.extras import needs_extra
from digits_edge.cli.labelled_images import Split, choose_data, note_other_classes
from digits_edge.cli.loaded_model import LoadedModel, open_model
from digits_edge.cli.options import (
    data_option,
    file_path,
    input_scale_option,
    json_option,
    output_option,
    overwrite_option,
    session_options,
    split_option,
)
from digits_edge.cli.output import percent, print_json, print_table, say, show
from digits_edge.runtime.datasets import Dataset
from digits_edge.runtime.datasets.catalogue import DIGITS
from digits_edge.runtime.files import refuse_existing

if TYPE_CHECKING:
    from digits_edge.train.evaluation.evaluation import Evaluation, Scores


@click.command()
@click.argument("model", metavar="MODEL")
@data_option
@split_option
@click.option(
    "--labels", metavar="A,B,…", help="The classes' names, in order.  [default: the model's, or the data set's]"
)
@output_option("Also write a page with pictures, an HTML file.", required=False)
@session_options
@input_scale_option
@overwrite_option
@json_option
def command(
    model: str,
    data: str | None,
    split: Split | None,
    labels: str | None,
    output: str | None,
    provider: str,
    threads: int | None,
    input_scale: Literal[1, 255] | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Measure MODEL (a bundled name, a model file, a .keras or .h5 file, a run folder) on a labelled data set.

    Accuracy with its interval, precision, recall and F1 of each class, ROC-AUC (one class against the rest), log loss
    and the expected calibration error over 15 bins of confidence. The page of -o adds the confusion matrix, reliability
    and ROC curves, the worst mistakes, where the model looks, its layers and, for a run folder, its training.
    """
    target = None if output is None else file_path(output)
    if target is not None:
        refuse_existing(target, overwrite=overwrite)
    with needs_extra("train"):
        from digits_edge.train.evaluation.evaluation import evaluate
    names = labels.split(",") if labels else None
    opened = open_model(model, provider=provider, threads=threads, input_scale=input_scale, labels=names)
    dataset, split = choose_data([opened], data, split)
    true_labels = dataset.labels_for(len(opened.labels), model)
    if names is None and opened.data:
        note_other_classes(model, opened.labels, dataset)
    elif names is None and opened.labels == DIGITS:  # its classes are not known but guessed
        opened = replace(opened, labels=dataset.class_names)
    show(f"answering {len(dataset):,} images")
    probabilities = opened.probabilities(dataset.images)
    evaluation = evaluate(probabilities, true_labels, opened.labels)
    if target is not None:
        from digits_edge.cli.evaluation_report import write_evaluation_page

        write_evaluation_page(target, opened, dataset, split, probabilities, evaluation)
    if as_json:
        print_json(
            {
                "model": model,
                "provider": opened.provider,
                "data": dataset.name,
                "split": split,
                **evaluation.to_json(),
                **({} if target is None else {"page": str(target)}),
            }
        )
        return
    _say(opened, dataset, split, evaluation)
    if target is not None:
        say(f"{target}: the page")


def _say(model: LoadedModel, dataset: Dataset, split: Split, evaluation: "Evaluation") -> None:
    accuracy = evaluation.accuracy
    low, high = accuracy.interval()
    say(
        f"{model.asked} on {model.provider}, {dataset.name} {split}: {accuracy.errors} errors of {accuracy.images:,}, "
        f"{percent(accuracy.value)} right (95 %: {percent(low)} to {percent(high)})"
    )
    rows = [
        [
            found.name,
            *_scores(found.scores),
            str(found.support),
            ", ".join(f"{name} ({count}x)" for name, count in found.taken_for[:3]),
        ]
        for found in evaluation.classes
    ]
    images = str(accuracy.images)
    rows.append(["macro", *_scores(evaluation.macro), images, ""])
    rows.append(["weighted", *_scores(evaluation.weighted), images, ""])
    print_table(["class", "precision", "recall", "F1", "support", "taken for"], rows)
    area = "-" if evaluation.roc_auc is None else f"{evaluation.roc_auc:.5f}"
    say(
        f"ROC-AUC {area} (one class against the rest, macro), log loss {evaluation.log_loss:.4f}, "
        f"ECE {percent(evaluation.calibration_error)} ({len(evaluation.bins)} bins of equal width)"
    )


def _scores(scores: "Scores") -> list[str]:
    return ["-" if value is None else percent(value) for value in (scores.precision, scores.recall, scores.f1)]
