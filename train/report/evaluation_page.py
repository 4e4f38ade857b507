"""The page of an evaluation: figures, charts, mistakes, where the model looks, its layers and its training."""

from collections.abc import Sequence
from dataclasses import dataclass

from digits_edge.train.charts.confusion import draw_confusion
from digits_edge.train.charts.curves import History, curve_figures
from digits_edge.train.charts.drawing import as_svg
from digits_edge.train.charts.roc import draw_roc
from digits_edge.train.evaluation.evaluation import BINS, Evaluation, Scores
from digits_edge.train.models.layer import Layer
from digits_edge.train.report.calibration import draw_reliability
from digits_edge.train.report.class_scores import draw_class_scores
from digits_edge.train.report.diagram import draw_diagram, layer_table
from digits_edge.train.report.page import Block, Facts, Picture, Section, Table, Text, render_page
from digits_edge.train.report.predictions import Explain, Predicted, looking, mistakes, predictions


@dataclass(frozen=True, eq=False)
class ModelSection:
    """What the page says of the model itself.

    Attributes:
        title: the page's.
        subtitle: which data, how many images, what computed the answers.
        layers: of the model.
        facts: what is known of it besides: precision, temperature, parity.
        explain: draws where it looks.
        explained: what the maps show and how they were made, in a sentence or two.
        history: of its training; empty where that is not known.
        kept: the row of the history whose weights the model has.
        training: the figures of its training: epochs, cost.
        settings: everything else of it: the recipe, the versions.
    """

    title: str
    subtitle: str
    layers: Sequence[Layer]
    facts: Sequence[tuple[str, str]]
    explain: Explain
    explained: str
    history: History = ()
    kept: dict[str, float] | None = None
    training: Sequence[tuple[str, str]] = ()
    settings: Sequence[tuple[str, str]] = ()


def evaluation_page(evaluation: Evaluation, answered: Predicted, portrait: ModelSection) -> str:
    """The whole page as HTML."""
    sections = [
        Section("Result", [Facts(_result(evaluation)), class_table(evaluation)]),
        Section("What is taken for what", _confusion(evaluation)),
        Section("Confidence", _confidence(evaluation, answered)),
        Section("The worst mistakes", mistakes(answered)),
        Section("Predictions", predictions(answered)),
        Section("Where the model looks", looking(answered, portrait.explain, portrait.explained)),
        Section("The model", _model(portrait)),
    ]
    if portrait.training or portrait.history:
        sections.append(Section("Training", _training(portrait)))
    return render_page(portrait.title, portrait.subtitle, sections)


def class_table(evaluation: Evaluation) -> Table:
    """A row for each class, then the averages."""
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
    return Table(["class", "precision", "recall", "F1", "support", "ROC-AUC", "taken for"], rows)


def score(value: float | None) -> str:
    """A share as a percentage, or a dash."""
    return "–" if value is None else f"{100 * value:.2f} %"


def area(value: float | None) -> str:
    """An area under a ROC curve, or a dash."""
    return "–" if value is None else f"{value:.5f}"


def _scores(found: Scores) -> list[str]:
    return [score(found.precision), score(found.recall), score(found.f1)]


def _result(evaluation: Evaluation) -> list[tuple[str, str]]:
    accuracy = evaluation.accuracy
    low, high = accuracy.interval()
    return [
        ("errors", f"{accuracy.errors:,} of {accuracy.images:,}"),
        ("accuracy", score(accuracy.value)),
        ("95 % interval", f"{100 * low:.2f} to {100 * high:.2f} %"),
        ("macro F1", score(evaluation.macro.f1)),
        ("ROC-AUC, macro", area(evaluation.roc_auc)),
        ("log loss", f"{evaluation.log_loss:.4f}"),
        (f"ECE, {BINS} bins", score(evaluation.calibration_error)),
    ]


def _confusion(evaluation: Evaluation) -> list[Block]:
    names = [found.name for found in evaluation.classes]
    matrix = "Rows: what was true. Columns: what was said. Colour counts errors only; the right answers are grey."
    scores = "Recall: how many of a class are found. Precision: how many of those called so are of the class."
    return [
        Picture(as_svg(draw_confusion(evaluation.confusion, names)), "Confusion matrix", matrix),
        Picture(as_svg(draw_class_scores(evaluation.classes)), "Precision and recall of each class", scores),
    ]


def _confidence(evaluation: Evaluation, answered: Predicted) -> list[Block]:
    reliability = Picture(
        as_svg(draw_reliability(evaluation.bins)),
        "Reliability diagram",
        f"Bars under the dashed line: more confident than right. ECE {score(evaluation.calibration_error)} over "
        f"{BINS} bins of equal width (Guo et al. 2017).",
    )
    if evaluation.roc_auc is None:
        return [reliability, Text("All images are of one class, so there are no ROC curves.")]
    roc = Picture(
        as_svg(draw_roc(answered.probabilities, answered.labels, answered.names)),
        "ROC curves",
        f"The false alarms are on a logarithm. Mean area under the curves: {area(evaluation.roc_auc)}.",
    )
    return [reliability, roc]


def _model(portrait: ModelSection) -> list[Block]:
    blocks: list[Block] = [Facts(portrait.facts)] if portrait.facts else []
    diagram = Picture(
        as_svg(draw_diagram(portrait.layers)), "Diagram of the layers", "From the image down to the answer."
    )
    return [*blocks, layer_table(portrait.layers), diagram]


def _training(portrait: ModelSection) -> list[Block]:
    blocks: list[Block] = [Facts(portrait.training)] if portrait.training else []
    if portrait.history and portrait.kept is not None:
        figures = curve_figures(portrait.history, portrait.kept)
        blocks += [Picture(as_svg(figure), f"{name} per epoch") for name, figure in figures.items()]
    if portrait.settings:
        blocks.append(Table(["setting", "value"], portrait.settings, "How it was trained", left=2))
    return blocks
