"""The `digits-edge evaluate` command."""

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from digits_edge.cli.data_options import PictureOptions, reading_options
from digits_edge.cli.extras import needs_extra
from digits_edge.cli.labelled_images import Split, choose_data, note_other_classes
from digits_edge.cli.line_evaluation import LineOptions, evaluate_lines
from digits_edge.cli.loaded_model import LoadedModel, is_keras, open_model
from digits_edge.cli.options import (
    data_option,
    examples,
    file_path,
    json_option,
    labels_option,
    output_option,
    overwrite_option,
    pixel_range_options,
    session_options,
    split_option,
)
from digits_edge.cli.output import percent, print_json, print_table, say, show
from digits_edge.runtime.datasets import Dataset
from digits_edge.runtime.datasets.catalogue import DIGITS
from digits_edge.runtime.errors import SequenceModelError
from digits_edge.runtime.files import refuse_existing
from digits_edge.runtime.model.pixel_range import PixelRange

if TYPE_CHECKING:
    from digits_edge.train.evaluation.evaluation import Evaluation, Scores


@click.command(
    epilog=examples(
        "digits-edge evaluate edge-int8 --data mnist -o evaluation.html", "digits-edge evaluate runs/cnn --json"
    )
)
@click.argument("model", metavar="MODEL")
@data_option
@reading_options
@split_option
@labels_option
@output_option("HTML page with charts and images.", required=False)
@session_options
@pixel_range_options
@overwrite_option
@json_option
def command(
    model: str,
    data: str | None,
    pictures: PictureOptions,
    split: Split | None,
    labels: str | None,
    output: str | None,
    provider: str,
    threads: int | None,
    pixel_range: PixelRange,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Evaluate a model on labelled images.

    MODEL is a bundled model, a model file, a run folder, or a .keras or .h5 file.

    For a classifier, prints accuracy with its confidence interval; precision, recall and F1 score per class; ROC AUC
    (one-vs-rest), log loss and expected calibration error (15 bins). The page of --output adds the confusion matrix,
    reliability diagram, ROC curves, misclassified images, saliency maps, layers and, for a run folder, the training
    curves.

    For a model that reads lines of numbers, --data is a folder with pictures of lines and labels.csv with the columns
    file and text; the default of a run is its validation lines. Prints the share of strings that are right, the digit
    error rate, and the share of lines that can be accepted with a precision of 99 %.
    """
    target = None if output is None else file_path(output)
    if target is not None:
        refuse_existing(target, overwrite=overwrite)
    with needs_extra("train"):
        from digits_edge.train.evaluation.evaluation import evaluate
    names = labels.split(",") if labels else None
    line_options = LineOptions(data, provider, threads, target, as_json)
    if _is_line_run(model):
        evaluate_lines(model, line_options, is_run=True)
        return
    try:
        loaded = open_model(model, provider=provider, threads=threads, pixel_range=pixel_range, labels=names)
    except SequenceModelError:
        evaluate_lines(model, line_options, is_run=False)
        return
    dataset, split = choose_data([loaded], data, split, pictures)
    true_labels = dataset.labels_for(len(loaded.labels), model)
    if names is None and loaded.data:
        note_other_classes(model, loaded.labels, dataset)
    elif names is None and loaded.labels == DIGITS:  # the default names of a model without class names
        loaded = replace(loaded, labels=dataset.class_names)
    show(f"predicting {len(dataset):,} images")
    probabilities = loaded.probabilities(dataset.images)
    evaluation = evaluate(probabilities, true_labels, loaded.labels)
    if target is not None:
        from digits_edge.cli.evaluation_report import write_evaluation_page

        write_evaluation_page(target, loaded, dataset, split, probabilities, evaluation)
    if as_json:
        print_json(
            {
                "model": model,
                "provider": loaded.provider,
                "data": dataset.name,
                "split": split,
                **evaluation.to_json(),
                **({} if target is None else {"page": str(target)}),
            }
        )
        return
    _print(loaded, dataset, split, evaluation)
    if target is not None:
        say(f"wrote {target}")


def _is_line_run(model: str) -> bool:
    """Whether a path is the run of a sequence model."""
    if not is_keras(file_path(model)):
        return False
    with needs_extra("export"):
        from digits_edge.export import is_line_run
    return is_line_run(file_path(model))


def _print(model: LoadedModel, dataset: Dataset, split: Split, evaluation: "Evaluation") -> None:
    accuracy = evaluation.accuracy
    low, high = accuracy.interval()
    say(
        f"{model.name} on {model.provider}, {dataset.name} {split}: {accuracy.errors} errors of {accuracy.images:,}, "
        f"{percent(accuracy.value)} accuracy (95 % interval: {percent(low)} to {percent(high)})"
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
    print_table(["class", "precision", "recall", "F1", "support", "confused with"], rows)
    area = "-" if evaluation.roc_auc is None else f"{evaluation.roc_auc:.5f}"
    say(
        f"ROC AUC {area} (one-vs-rest, macro average), log loss {evaluation.log_loss:.4f}, "
        f"ECE {percent(evaluation.calibration_error)} ({len(evaluation.bins)} bins of equal width)"
    )


def _scores(scores: "Scores") -> list[str]:
    return ["-" if value is None else percent(value) for value in (scores.precision, scores.recall, scores.f1)]
