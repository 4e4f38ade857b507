"""HTML page of an evaluation."""

from collections.abc import Sequence
from dataclasses import dataclass

from digits_edge.train.charts.confusion import MAX_CLASSES, draw_confusion
from digits_edge.train.charts.curves import History, curve_figures
from digits_edge.train.charts.drawing import as_svg
from digits_edge.train.charts.roc import MAX_CURVES, draw_roc
from digits_edge.train.evaluation.evaluation import BINS, Evaluation, Scores
from digits_edge.train.models.layer import Layer
from digits_edge.train.report.calibration import draw_reliability
from digits_edge.train.report.class_scores import draw_class_scores
from digits_edge.train.report.diagram import draw_diagram, layer_table
from digits_edge.train.report.page import Block, Facts, Picture, Section, Table, Text, render_page
from digits_edge.train.report.predictions import (
    Explain,
    Predicted,
    misclassified_images,
    saliency_maps,
    sample_predictions,
)


@dataclass(frozen=True, eq=False)
class ModelSection:
    """Information about the model and its training.

    Attributes:
        title: title of the page.
        subtitle: data, number of images and provider.
        layers: layers of the model.
        facts: other properties, such as precision and temperature.
        explain: function that computes saliency maps.
        explanation: description of the saliency maps.
        history: history of the training; empty if unknown.
        kept: row of the history for the weights of the model.
        training: figures of the training, such as epochs and time.
        settings: recipe and library versions.
    """

    title: str
    subtitle: str
    layers: Sequence[Layer]
    facts: Sequence[tuple[str, str]]
    explain: Explain
    explanation: str
    history: History = ()
    kept: dict[str, float] | None = None
    training: Sequence[tuple[str, str]] = ()
    settings: Sequence[tuple[str, str]] = ()


def evaluation_page(evaluation: Evaluation, predicted: Predicted, section: ModelSection) -> str:
    """Render the page as HTML.

    Args:
        evaluation: metrics.
        predicted: images and predictions of these metrics.
        section: information about the model.
    """
    sections = [
        Section("Metrics", [Facts(_metrics(evaluation)), class_table(evaluation)]),
        Section("Confusion matrix", _confusion(evaluation)),
        Section("Reliability diagram and ROC curves", _confidence(evaluation, predicted)),
        Section("Misclassified images", misclassified_images(predicted)),
        Section("Sample predictions", sample_predictions(predicted)),
        Section("Saliency maps", saliency_maps(predicted, section.explain, section.explanation)),
        Section("Model", _model(section)),
    ]
    if section.training or section.history:
        sections.append(Section("Training", _training(section)))
    return render_page(section.title, section.subtitle, sections)


def class_table(evaluation: Evaluation) -> Table:
    """Create a table with a row per class and the averages."""
    rows = [
        [
            found.name,
            *_scores(found.scores),
            f"{found.support:,}",
            area(found.roc_auc),
            ", ".join(f"{name} ({count}×)" for name, count in found.taken_for[:3]) or "–",
        ]
        for found in evaluation.classes
    ]
    images = f"{evaluation.accuracy.images:,}"
    rows.append(["macro average", *_scores(evaluation.macro), images, area(evaluation.roc_auc), ""])
    rows.append(["weighted average", *_scores(evaluation.weighted), images, "", ""])
    return Table(["class", "precision", "recall", "F1", "support", "ROC AUC", "confused with"], rows)


def score(value: float | None) -> str:
    """Format a score as a percentage, or a dash for None.

    Example:
        >>> score(0.9938), score(None)
        ('99.38 %', '–')
    """
    return "–" if value is None else f"{100 * value:.2f} %"


def area(value: float | None) -> str:
    """Format an area under a ROC curve, or a dash for None."""
    return "–" if value is None else f"{value:.5f}"


def _scores(found: Scores) -> list[str]:
    return [score(found.precision), score(found.recall), score(found.f1)]


def _metrics(evaluation: Evaluation) -> list[tuple[str, str]]:
    accuracy = evaluation.accuracy
    low, high = accuracy.interval()
    return [
        ("errors", f"{accuracy.errors:,} of {accuracy.images:,}"),
        ("accuracy", score(accuracy.value)),
        ("95 % interval", f"{100 * low:.2f} to {100 * high:.2f} %"),
        ("macro F1", score(evaluation.macro.f1)),
        ("ROC AUC, macro", area(evaluation.roc_auc)),
        ("log loss", f"{evaluation.log_loss:.4f}"),
        (f"ECE, {BINS} bins", score(evaluation.calibration_error)),
    ]


def _confusion(evaluation: Evaluation) -> list[Block]:
    names = [found.name for found in evaluation.classes]
    matrix = "Rows are true classes, columns predicted classes. Colour shows errors only; correct predictions are grey."
    if len(names) > MAX_CLASSES:
        matrix += f" The {MAX_CLASSES} classes with the most errors are shown."
    scores = (
        "Recall is the share of a class's images that are predicted correctly. Precision is the share of correct "
        "predictions among all predictions of a class."
    )
    return [
        Picture(as_svg(draw_confusion(evaluation.confusion, names)), "Confusion matrix", matrix),
        Picture(as_svg(draw_class_scores(evaluation.classes)), "Precision and recall of each class", scores),
    ]


def _confidence(evaluation: Evaluation, predicted: Predicted) -> list[Block]:
    reliability = Picture(
        as_svg(draw_reliability(evaluation.bins)),
        "Reliability diagram",
        "The model is overconfident where bars end below the dashed line. Expected calibration error (ECE): "
        f"{score(evaluation.calibration_error)} with {BINS} equal-width bins (Guo et al. 2017).",
    )
    if evaluation.roc_auc is None:
        return [reliability, Text("ROC curves need images of more than one class.")]
    roc = Picture(
        as_svg(draw_roc(predicted.probabilities, predicted.labels, predicted.names)),
        "ROC curves",
        f"The false positive rate is on a logarithmic axis. Mean area under the curves: {area(evaluation.roc_auc)}."
        + (
            f" The {MAX_CURVES} classes with the smallest areas are shown." if len(predicted.names) > MAX_CURVES else ""
        ),
    )
    return [reliability, roc]


def _model(section: ModelSection) -> list[Block]:
    blocks: list[Block] = [Facts(section.facts)] if section.facts else []
    diagram = Picture(
        as_svg(draw_diagram(section.layers)), "Diagram of the layers", "Layers from input (top) to output."
    )
    return [*blocks, layer_table(section.layers), diagram]


def _training(section: ModelSection) -> list[Block]:
    blocks: list[Block] = [Facts(section.training)] if section.training else []
    if section.history and section.kept is not None:
        figures = curve_figures(section.history, section.kept)
        blocks += [Picture(as_svg(figure), f"{name} per epoch") for name, figure in figures.items()]
    if section.settings:
        blocks.append(Table(["setting", "value"], section.settings, "Recipe and versions", left=2))
    return blocks
