"""The page of an evaluation, at its ends: no mistakes, nothing but mistakes, one class, branches in the diagram."""

import re
import warnings

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="needs the extra [train]")

from digits_edge.train.charts.curves import curve_figures, draw_curves
from digits_edge.train.evaluation.evaluation import evaluate
from digits_edge.train.models.layer import Layer
from digits_edge.train.report.diagram import draw_diagram, layer_table
from digits_edge.train.report.evaluation_page import ModelSection, evaluation_page
from digits_edge.train.report.predictions import Predicted

NAMES = tuple("0123456789")
TEN = np.arange(10, dtype=np.uint8)
RIGHT, WRONG = np.eye(10, dtype=np.float32), np.roll(np.eye(10, dtype=np.float32), 1, axis=1)


def layer(name, *inputs, parameters=3):
    return Layer(name, "Add" if len(inputs) > 1 else "Conv2D", "", (28, 28, 1), parameters, inputs)


LAYERS = [layer("a"), layer("b", "a"), layer("c", "a"), layer("d", "b"), layer("e", "d", "c"), layer("f", "e", "a")]


def page(labels, probabilities):
    images = np.random.default_rng(0).integers(0, 256, (len(labels), 28, 28), dtype=np.uint8)
    portrait = ModelSection(
        "title", "subtitle", LAYERS, [], lambda _, classes: np.zeros((*classes.shape, 28, 28)), "maps"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return evaluation_page(
            evaluate(probabilities, labels, NAMES), Predicted(images, labels, probabilities, NAMES), portrait
        )


def test_without_mistakes_the_page_says_so():
    found = page(TEN, RIGHT)
    assert "There is none: every image was answered rightly." in found
    assert "<dd>0 of 10</dd>" in found


def test_with_nothing_but_mistakes_the_worst_are_shown():
    found = page(TEN, WRONG)
    assert "<dd>10 of 10</dd>" in found
    assert "Images that were answered wrongly" in found
    assert "one clear image" not in found


def test_data_of_one_class_has_no_roc_curves():
    found = page(np.full(3, 4, np.uint8), np.full((3, 10), 0.1, np.float32))
    assert "All images are of one class" in found
    assert not re.search('alt="ROC', found)


def test_worst_mistakes_are_the_most_confident_ones():
    probabilities = np.array([[0.4, 0.6], [0.1, 0.9], [0.9, 0.1], [0.3, 0.7]], np.float32)
    answered = Predicted(np.zeros((4, 28, 28), np.uint8), np.zeros(4, np.uint8), probabilities, ("a", "b"))
    assert answered.worst_mistakes(2).tolist() == [1, 3]
    assert answered.clearest().tolist() == [2]


def test_diagram_has_a_box_for_each_layer_and_a_line_for_each_way_round():
    [axes] = draw_diagram(LAYERS).axes
    assert len(axes.patches) == len(LAYERS)
    # a to c, b to d, c to e, a to f
    assert len(axes.lines) == 4
    sides = sorted(float(line.get_xdata()[1]) for line in axes.lines)
    assert len(set(sides)) >= 3  # those beside each other take lanes of their own
    assert layer_table(LAYERS).caption == "18 parameters in all"


def test_curves_are_three_charts_and_one_wide_picture(tmp_path):
    history = [
        {"epoch": e, "accuracy": 1 - 0.1 / e, "loss": 1 / e, "val_accuracy": 1.0, "val_loss": 2 / e, "learning_rate": 0}
        for e in (1.0, 2.0, 3.0)
    ]
    assert list(curve_figures(history, history[1])) == ["errors", "loss", "learning rate"]
    draw_curves(history, history[1], tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_a_loss_of_zero_has_its_place_on_the_logarithmic_axis(tmp_path):
    row = {"epoch": 1.0, "accuracy": 1.0, "val_accuracy": 1.0, "loss": 0.0, "val_loss": 0.0, "learning_rate": 0.001}
    draw_curves([row], row, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 1000
