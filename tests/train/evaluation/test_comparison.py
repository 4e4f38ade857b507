"""Comparison of models: metrics, significance tests, charts and page."""

import itertools
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("scipy", reason="needs the extra [train]")
pytest.importorskip("matplotlib", reason="needs the extra [train]")

from digits_edge.runtime.checks.accuracy import Accuracy
from digits_edge.runtime.datasets import Dataset
from digits_edge.runtime.errors import DataError
from digits_edge.train.charts.log_axis import log_ticks
from digits_edge.train.charts.units import size_text, time_text
from digits_edge.train.evaluation.comparison import (
    Candidate,
    ComparedModel,
    Latency,
    TrainingCost,
    compare,
    training_cost,
    unique_names,
)
from digits_edge.train.evaluation.significance import Difference, differences_to_best, holm, mcnemar
from digits_edge.train.report.comparison_chart import draw_models
from digits_edge.train.report.comparison_page import comparison_page, verdict

LABELS = (np.arange(40) % 10).astype(np.uint8)
IMAGES = np.zeros((40, 28, 28), np.uint8)
IMAGES[:, 0, 0] = np.arange(40)
DATA = Dataset("marked", IMAGES, LABELS, tuple("0123456789"), "unknown", "0" * 64)


@pytest.fixture(autouse=True)
def _short_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Latencies are not tested."""
    monkeypatch.setattr("digits_edge.train.evaluation.comparison._SECONDS", 0.0)


def described(name: str, engine: str, size_bytes: int) -> dict[str, Any]:
    known = {"provider": "cpu", "precision": "fp32", "parameters": 100}
    return {"name": name, "engine": engine, "size_bytes": size_bytes, **known}


def candidate(name: str, wrong: set[int], *, size_bytes: int = 1000, classes: int = 10) -> Candidate:
    """A model that reads the number of an image from its first pixel and misclassifies the given numbers."""

    def predict(images: np.ndarray) -> np.ndarray:
        numbers = images[:, 0, 0].astype(int)
        predicted = (numbers + [number in wrong for number in numbers]) % classes
        return np.eye(classes, dtype=np.float32)[predicted]

    about = described(name, "onnx", size_bytes)
    return Candidate(**about, predict=predict)


def compared(name: str, errors: int, size_bytes: int, time_us: float, engine: str = "onnx") -> ComparedModel:
    single, batch = Latency(1, time_us, time_us * 0.9, time_us * 1.3), Latency(32, time_us, time_us, time_us)
    accuracy, difference = Accuracy(errors, 10_000), Difference(9, 2, 0.2)
    about = described(name, engine, size_bytes)
    return ComparedModel(**about, accuracy=accuracy, difference=difference, single=single, batch=batch)


def test_errors_are_counted_and_the_best_model_is_found() -> None:
    models = compare([candidate("poor", set(range(12))), candidate("good", {1})], DATA, batch_size=4)
    assert [model.accuracy for model in models] == [Accuracy(12, 40), Accuracy(1, 40)]
    assert models[1].difference is None
    assert models[0].difference is not None
    assert (models[0].difference.only_this, models[0].difference.only_best) == (11, 0)
    assert models[0].difference.p_value == pytest.approx(2 / 2**11)
    assert (verdict(models[0]), verdict(models[1])) == ("yes, p < 0.001", "best")
    assert json.loads(json.dumps(models[0].to_json()))["difference_to_best"]["is_more_than_chance"]


def test_errors_are_counted_first_and_latencies_are_measured_round_robin() -> None:
    steps_done: list[str] = []
    models = [candidate("a", set()), candidate("b", set())]
    compare(models, DATA, batch_size=2, on_step=lambda step, done, steps: steps_done.append(f"{step} {done}/{steps}"))
    assert steps_done[:4] == [
        "predicting 40 images: a 0/16",
        "predicting 40 images: b 1/16",
        "timing a 2/16",
        "timing b 3/16",
    ]
    assert [line.split()[2] for line in steps_done[2:]] == [f"{done}/16" for done in range(2, 16)]
    assert [line.split()[1] for line in steps_done[2:]] == [*["a", "b", "b", "a"] * 3, "a", "b"]


def test_latency_is_within_the_range_of_the_rounds() -> None:
    [model] = compare([candidate("a", set())], DATA, batch_size=8)
    for latency in (model.single, model.batch):
        assert 0 < latency.lowest_us <= latency.median_us <= latency.highest_us
    assert model.batch.images_per_second == pytest.approx(8e6 / model.batch.median_us)


def test_smaller_of_two_models_with_equal_errors_is_best() -> None:
    models = compare([candidate("large", {1}, size_bytes=9), candidate("small", {2}, size_bytes=8)], DATA)
    assert [model.difference is None for model in models] == [False, True]


def test_error_names_the_model_with_too_few_classes() -> None:
    with pytest.raises(DataError, match="5 classes of few"):
        compare([candidate("few", set(), classes=5)], DATA)


def test_unlabelled_data_is_refused() -> None:
    with pytest.raises(DataError, match="labelled"):
        compare([candidate("a", set())], Dataset("rows", IMAGES, None, DATA.class_names, "unknown", "0" * 64))


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_the_two_sided_binomial_test(first: int, second: int) -> None:
    """McNemar 1947, exact: twice the tail of a binomial distribution with probability 1/2."""
    n = first + second
    tail = sum(math.comb(n, k) for k in range(min(first, second) + 1)) / 2**n
    assert mcnemar(first, second) == pytest.approx(min(1.0, 2 * tail))


def test_holm_multiplies_by_the_number_of_remaining_tests() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_models_with_equal_errors_do_not_differ() -> None:
    wrong = np.array([True, False, False])
    _, differences = differences_to_best([wrong, wrong.copy()], [1, 2])
    assert differences[1] == Difference(0, 0, 1.0)


def test_p_values_are_corrected_for_all_pairs() -> None:
    """Three models have three pairs, so the smallest p-value is multiplied by 3."""
    wrong = np.zeros((3, 20), bool)
    wrong[1, :6] = wrong[2, 10:16] = True
    best, differences = differences_to_best(list(wrong), [1, 2, 3])
    assert best == 0
    assert differences[1] == Difference(6, 0, pytest.approx(3 * mcnemar(6, 0)))
    assert differences[0] == Difference(0, 0, 1.0)


def test_equal_names_get_their_folders() -> None:
    assert unique_names(["cnn-int8", "runs/cnn", "runs/mlp/model.keras"]) == ["cnn-int8", "cnn", "model.keras"]
    assert unique_names(["/a/x/m.onnx", "/b/x/m.onnx", "n.onnx"]) == ["a/x/m.onnx", "b/x/m.onnx", "n.onnx"]
    assert unique_names(["cnn-int8", "cnn-int8", "x"]) == ["cnn-int8 (1)", "cnn-int8 (2)", "x"]


@given(st.lists(st.sampled_from(["m", "a/m", "b/m", "/a/m", "b/a/m", "n.onnx", ".", "/"]), min_size=1, max_size=6))
def test_names_are_unique(models: list[str]) -> None:
    names = unique_names(models)
    assert len(set(names)) == len(models) == len(names)
    assert all(names)


def test_training_cost_is_read_from_the_run_folder(tmp_path: Path) -> None:
    assert training_cost(tmp_path) is None
    (tmp_path / "recipe.json").write_text('{"recipe": {}}')
    assert training_cost(tmp_path) is None
    (tmp_path / "recipe.json").write_text('{"result": {"epochs": 40, "seconds": 795.0}}')
    assert training_cost(tmp_path) == TrainingCost(40, 795.0)


@pytest.mark.parametrize("count", [1, 2, 9])
@pytest.mark.parametrize("alike", [True, False])
def test_chart_labels_do_not_overlap_labels_or_points(count: int, alike: bool) -> None:
    rng = np.random.default_rng(count)
    models = [
        compared(f"model-{index}-int8", 40 if alike else int(rng.integers(25, 60)), int(size), 50.0 + index)
        for index, size in enumerate(50_000 * np.exp(rng.uniform(0, 0.3 if alike else 5, count)))
    ]
    figure = draw_models(models)
    figure.draw_without_rendering()
    axes = figure.axes[0]
    boxes = [text.get_window_extent() for text in axes.texts]
    assert len(boxes) == count
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
    points = axes.transData.transform([(model.size_bytes, model.accuracy.errors / 100) for model in models])
    assert not any(box.contains(*point) for box in boxes for point in points)
    frame = axes.get_window_extent()
    assert all(frame.containsx(x) and frame.containsy(y) for box in boxes for x, y in (box.min, box.max))


def test_each_label_is_nearest_to_its_own_point() -> None:
    models = [compared("left", 56, 218_842, 40.0), compared("right", 56, 229_274, 3000.0), compared("a", 33, 9**7, 9.0)]
    figure = draw_models(models)
    figure.draw_without_rendering()
    axes = figure.axes[0]
    points = axes.transData.transform([(model.size_bytes, model.accuracy.errors / 100) for model in models])
    for text, own in zip(axes.texts, points, strict=True):
        low, high = text.get_window_extent().get_points()
        distances = [np.linalg.norm(point - np.clip(point, low, high)) for point in points]
        assert np.linalg.norm(own - np.clip(own, low, high)) <= min(distances) + 1


def test_model_without_errors_is_on_the_logarithmic_axis() -> None:
    low, high = draw_models([compared("perfect", 0, 1000, 50.0)]).axes[0].get_ylim()
    assert 0 < low < 0.005 < high


@given(st.floats(1e-3, 1e9), st.floats(1.2, 1e6))
def test_ticks_are_few_and_within_the_limits(low: float, ratio: float) -> None:
    ticks = log_ticks(low, low * ratio)
    assert all(low * 0.99 <= tick <= low * ratio * 1.01 for tick in ticks)
    assert 1 <= len(ticks) <= 12


def test_sizes_and_times_have_units() -> None:
    assert [size_text(size) for size in (900, 74_437, 1_494_303)] == ["900 B", "74.4 kB", "1.49 MB"]
    assert [time_text(time) for time in (43.21, 4103.0)] == ["43.2 µs", "4.1 ms"]


def test_page_has_the_metrics_of_every_model() -> None:
    models = [compared("first", 20, 5000, 90.0), compared("second", 31, 900, 40.0, "keras")]
    models[0] = replace(models[0], difference=None, training=TrainingCost(40, 795.0))
    page = comparison_page(models, data="mnist test", threads=2)
    assert "20 (0.20 %)" in page and "31 (0.31 %)" in page
    assert "40 ep., 13 min" in page and ">–<" in page
    assert "first: 20" in page and "second: 900 B" in page and "second: 40 µs" in page
    assert page.count("data:image/svg+xml") == 2


@pytest.mark.parametrize(
    ("name", "architecture", "title"),
    [
        ("a", "cnn", "a (cnn)"),
        ("cnn", "cnn", "cnn"),
        ("cnn-small-int8", "cnn-small", "cnn-small-int8"),
        ("cnn-small-int8", "cnn", "cnn-small-int8 (cnn)"),
        ("resnet-int8.onnx", "resnet", "resnet-int8.onnx"),
        ("edge-26k.onnx", "edge", "edge-26k.onnx"),
        ("edgewise", "edge", "edgewise (edge)"),
        ("mine.keras", None, "mine.keras"),
    ],
)
def test_title_has_the_architecture_if_the_name_does_not(name, architecture, title):
    assert replace(compared(name, 0, 1000, 1.0), architecture=architecture).title == title
