"""The evaluation page in edge cases: no errors, only errors, one class, and skip connections in the diagram."""

import re
import warnings

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="needs the extra [train]")

from digits_edge.train.charts.confusion import draw_confusion
from digits_edge.train.charts.curves import curve_figures, draw_curves
from digits_edge.train.charts.data_charts import draw_classes, draw_samples
from digits_edge.train.charts.drawing import as_png, as_svg
from digits_edge.train.charts.gallery import Tile, draw_gallery
from digits_edge.train.charts.roc import draw_roc
from digits_edge.train.evaluation.evaluation import evaluate
from digits_edge.train.models.layer import Layer
from digits_edge.train.report.diagram import draw_diagram, layer_table
from digits_edge.train.report.evaluation_page import ModelSection, evaluation_page
from digits_edge.train.report.predictions import Predicted, misclassified_images

NAMES = tuple("0123")
FOUR = np.arange(4, dtype=np.uint8)
CORRECT, WRONG = np.eye(4, dtype=np.float32), np.roll(np.eye(4, dtype=np.float32), 1, axis=1)


def layer(name, *inputs, parameters=3):
    return Layer(name, "Add" if len(inputs) > 1 else "Conv2D", "", (28, 28, 1), parameters, inputs)


LAYERS = [layer("a"), layer("b", "a"), layer("c", "a"), layer("d", "b"), layer("e", "d", "c"), layer("f", "e", "a")]


def page(labels, probabilities):
    images = np.random.default_rng(0).integers(0, 256, (len(labels), 28, 28), dtype=np.uint8)
    section = ModelSection(
        "title", "subtitle", LAYERS, [], lambda _, classes: np.zeros((*classes.shape, 28, 28)), "maps"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return evaluation_page(
            evaluate(probabilities, labels, NAMES), Predicted(images, labels, probabilities, NAMES), section
        )


def test_page_without_errors():
    found = page(FOUR, CORRECT)
    assert "All images are classified correctly." in found
    assert "<dd>0 of 4</dd>" in found


def test_page_with_errors_only():
    found = page(FOUR, WRONG)
    assert "<dd>4 of 4</dd>" in found
    assert 'alt="Misclassified images"' in found
    assert "one image per class" not in found


def test_data_of_one_class_has_no_roc_curves():
    found = page(np.full(3, 2, np.uint8), np.full((3, 4), 0.25, np.float32))
    assert "ROC curves need images of more than one class" in found
    assert not re.search('alt="ROC', found)


def test_worst_mistakes_have_the_highest_confidence():
    probabilities = np.array([[0.4, 0.6], [0.1, 0.9], [0.9, 0.1], [0.3, 0.7]], np.float32)
    predicted = Predicted(np.zeros((4, 28, 28), np.uint8), np.zeros(4, np.uint8), probabilities, ("a", "b"))
    assert predicted.worst_mistakes(2).tolist() == [1, 3]
    assert predicted.clearest().tolist() == [2]


def test_diagram_has_a_box_per_layer_and_a_line_per_skip_connection():
    [axes] = draw_diagram(LAYERS).axes
    assert len(axes.patches) == len(LAYERS)
    # a to c, b to d, c to e, a to f
    assert len(axes.lines) == 4
    sides = sorted(float(line.get_xdata()[1]) for line in axes.lines)
    assert len(set(sides)) >= 3  # overlapping connections have different lanes
    assert layer_table(LAYERS).caption == "18 parameters in total"


def test_curves_are_three_charts_or_one_wide_picture(tmp_path):
    history = [
        {"epoch": e, "accuracy": 1 - 0.1 / e, "loss": 1 / e, "val_accuracy": 1.0, "val_loss": 2 / e, "learning_rate": 0}
        for e in (1.0, 2.0, 3.0)
    ]
    assert list(curve_figures(history, history[1])) == ["errors", "loss", "learning rate"]
    draw_curves(history, history[1], tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_loss_of_zero_is_on_the_logarithmic_axis(tmp_path):
    row = {"epoch": 1.0, "accuracy": 1.0, "val_accuracy": 1.0, "loss": 0.0, "val_loss": 0.0, "learning_rate": 0.001}
    draw_curves([row], row, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 1000


def random_evaluation(classes, images=None):
    """An evaluation of about ten images a class with some errors."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(classes), 10).astype(np.uint16)
    logits = rng.normal(size=(len(labels), classes))
    logits[np.arange(len(labels)), labels] += 3
    probabilities = (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)).astype(np.float32)
    names = tuple(f"c{number}" for number in range(classes))
    return evaluate(probabilities, labels, names), labels, probabilities, names


@pytest.mark.parametrize(("classes", "shown"), [(62, 62), (70, 62)])
def test_the_confusion_matrix_of_many_classes_has_a_readable_cell_for_each(classes, shown):
    evaluation, _, _, names = random_evaluation(classes)
    figure = draw_confusion(evaluation.confusion, names)
    axes = figure.axes[0]
    figure.draw_without_rendering()
    cell_inches = axes.get_window_extent().width / figure.dpi / shown
    assert cell_inches > 0.15
    assert len(axes.get_xticklabels()) == shown
    errors = np.array(evaluation.confusion)
    wrong = errors.sum(axis=0) + errors.sum(axis=1) - 2 * errors.diagonal()
    drawn = {label.get_text() for label in axes.get_xticklabels()}
    assert min(wrong[names.index(name)] for name in drawn) >= max(
        (wrong[index] for index, name in enumerate(names) if name not in drawn), default=0
    )


def test_roc_curves_of_many_classes_are_those_with_the_smallest_areas():
    evaluation, labels, probabilities, names = random_evaluation(30)
    [axes] = draw_roc(probabilities, labels, names).axes
    drawn = {text.get_text() for text in axes.get_legend().get_texts()}
    areas = sorted((found.roc_auc, found.name) for found in evaluation.classes)
    assert drawn == {name for _, name in areas[: len(drawn)]}
    assert len(drawn) == 18


def test_images_in_colour_are_drawn_in_colour():
    images = np.zeros((4, 20, 30, 3), np.uint8)
    images[..., 0] = 250
    predicted = Predicted(images, FOUR, WRONG, NAMES, "as-photographed")
    figure = draw_gallery([Tile(image, "x") for image in images], 2, polarity="as-photographed")
    assert figure.axes[0].images[0].to_rgba(figure.axes[0].images[0].get_array())[0, 0, 0] == pytest.approx(250 / 255)
    blocks = misclassified_images(predicted)
    assert len(blocks) == 2


@pytest.mark.parametrize(("polarity", "level"), [("white-on-black", 0.0), ("as-photographed", 1.0)])
def test_only_ink_is_drawn_inverted(polarity, level):
    figure = draw_gallery([Tile(np.full((28, 28), 255, np.uint8), "x")], 1, polarity=polarity)
    [shown] = figure.axes[0].images
    assert shown.to_rgba(shown.get_array())[0, 0, 0] == level


def test_any_class_name_is_drawn():
    names = ("a$_$", "雪", "b\\c{" + "a" * 80, "_d")
    images = np.zeros((4, 28, 28), np.uint8)
    probabilities = CORRECT.copy()
    probabilities[:2] = WRONG[:2]
    section = ModelSection("title", "", LAYERS, [], lambda _, classes: np.zeros((*classes.shape, 28, 28)), "maps")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = evaluation_page(
            evaluate(probabilities, FOUR, names), Predicted(images, FOUR, probabilities, names), section
        )
        as_png(draw_samples([(name, list(images)) for name in names], 4))
        as_svg(draw_classes({"train": [0.25] * 4}, names))
    assert all(name in found for name in names)
