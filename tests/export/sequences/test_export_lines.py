"""Exports of sequence models agree with Keras for lines of any width, and describe themselves."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

pytest.importorskip("tf2onnx", reason="the conversion needs the extra [export]")

from digits_edge.export import export_lines, is_line_run, read_line_source
from digits_edge.export.loading import load_keras
from digits_edge.export.sequences import exporting
from digits_edge.export.sequences.calibration import confidence_threshold, fit_line_temperature
from digits_edge.export.sequences.reference import reference_lines
from digits_edge.export.sequences.source import BLANK_LOGIT
from digits_edge.runtime.checks.verify_lines import verify_lines
from digits_edge.runtime.datasets.line_set import LineSet
from digits_edge.runtime.errors import CheckError, ModelError
from digits_edge.runtime.model.model_file import Metadata
from digits_edge.runtime.reader.line_model import LineModel
from tests.line_runs import TINY


def test_run_folders_of_sequence_models_are_known(line_run: Path, tmp_path: Path) -> None:
    assert is_line_run(line_run)
    assert is_line_run(line_run / "model.keras")
    assert not is_line_run(tmp_path)
    (tmp_path / "recipe.json").write_text("[]")
    assert not is_line_run(tmp_path)
    with pytest.raises(ModelError, match="not a run of a sequence model"):
        read_line_source(tmp_path)


def test_blanks_count_less_than_in_training(line_run: Path) -> None:
    source = read_line_source(line_run)
    lines = LineSet.of("one", [np.random.default_rng(0).integers(0, 255, (32, 64), np.uint8)], [""])
    [exported] = source.logits(lines)
    [trained] = replace(source, model=load_keras(line_run / "model.keras")).logits(lines)
    np.testing.assert_allclose(exported[:, :-1], trained[:, :-1], atol=1e-5)
    np.testing.assert_allclose(exported[:, -1], trained[:, -1] + BLANK_LOGIT, atol=1e-5)


def test_the_model_file_describes_itself(line_model: Path) -> None:
    model = LineModel(line_model, "cpu", 1)
    metadata = model.metadata
    assert (metadata.name, metadata.output, metadata.column_px) == ("number-fp32", "columns", 2)
    assert (metadata.input.height, metadata.input.width) == (32, None)
    assert [step.step for step in metadata.preprocessing] == ["line"]
    assert "".join(metadata.labels) == "0123456789.,-/=$€"
    assert metadata.parity is not None
    assert metadata.parity["lines"] == 24
    assert metadata.accuracy_checked
    verification = verify_lines(model)
    assert verification.holds, verification.problems


@pytest.mark.parametrize("width", [16, 17, 18, 19, 100, 777])
def test_lines_of_any_width_have_keras_columns(line_run: Path, line_model: Path, width: int) -> None:
    image = np.random.default_rng(width).integers(0, 255, (32, width), np.uint8)
    columns = LineModel(line_model, "cpu", 1).columns(image)
    assert columns.shape == (2 * -(-width // 4), 18)
    np.testing.assert_allclose(columns.sum(axis=1), 1, rtol=1e-5)
    source = read_line_source(line_run)
    lines = LineSet.of("one", [image], [""])
    temperature = LineModel(line_model, "cpu", 1).metadata.temperature
    logits = source.logits(lines)[0] / temperature
    expected = np.exp(logits - logits.max(axis=1, keepdims=True))
    expected /= expected.sum(axis=1, keepdims=True)
    # Keras reads the line with paper up to the next multiple of four; only the last columns see it
    same = len(expected) if width % 4 == 0 else max(0, len(expected) - 20)
    np.testing.assert_allclose(columns[:same], expected[:same], atol=1e-4)


def test_the_graph_has_no_other_operators(line_model: Path) -> None:
    operators = [node.op_type for node in onnx.load(line_model).graph.node]
    assert set(operators) == {"Cast", "Unsqueeze", "Conv", "Relu", "Squeeze", "Transpose", "Reshape", "Softmax"}
    assert operators.count("Transpose") == 1


def test_a_graph_that_changes_strings_is_not_written(
    line_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = exporting.fixed_width_graph

    def damaged(model: object, height: int, temperature: float) -> object:
        return original(model, height, -temperature)  # type: ignore[arg-type]

    monkeypatch.setattr(exporting, "fixed_width_graph", damaged)
    with pytest.raises(CheckError, match="disagrees with Keras, nothing is written"):
        export_lines(read_line_source(line_run), tmp_path / "model.onnx", precision="fp32")
    assert not (tmp_path / "model.onnx").exists()


def test_temperature_and_threshold() -> None:
    rng = np.random.default_rng(0)
    logits, texts = [], []
    for row in range(400):
        # twice as confident as right
        truth = row % 2
        scores = np.zeros((1, 3))
        scores[0, truth] = 2.0
        noisy = rng.random() < 1 / (1 + 2 * np.exp(-2.0))
        logits.append((2 * (scores if noisy else np.roll(scores, 1, axis=1))).astype(np.float32))
        texts.append("01"[truth])
    temperature = fit_line_temperature(logits, "01", texts)
    assert temperature is not None
    assert 1.6 < temperature < 2.5
    columns = [np.array([[0.9 if row < 300 else 0.6, 0.05, 0.05]], np.float32) for row in range(400)]
    truths = ["0"] * 300 + ["1"] * 100
    assert 0.6 < confidence_threshold(columns, "01", truths) <= 0.9
    assert confidence_threshold(columns[:5], "01", truths[:5]) == Metadata.uncertain_below


def test_reference_lines_are_numbers_of_one_width() -> None:
    lines = reference_lines()
    assert lines.shape == (6, 32, 128)
    assert (lines.max(axis=(1, 2)) == 255).all()
    assert not lines.flags.writeable


@pytest.mark.slow
def test_a_trained_model_is_exported_in_every_precision(tmp_path: Path) -> None:
    from digits_edge.train import Lines, train
    from tests.line_runs import EASY, digits

    network = {"filters": [8, 12, 16, 16, 16, 24], "context": [24, 24]}
    lines = Lines(600, validation=100, settings=EASY)
    recipe = replace(TINY, epochs=12, learning_rate=0.01, structure=network, lines=lines, average_decay=0.98)
    train(recipe, digits(), tmp_path / "run")
    source = read_line_source(tmp_path / "run")
    for precision in ("fp32", "fp16", "int8"):
        file = tmp_path / f"{precision}.onnx"
        exported = export_lines(source, file, precision=precision)  # type: ignore[arg-type]
        assert exported.parity.changed_confident == 0
        verification = verify_lines(LineModel(file, "cpu", 1))
        assert verification.holds, verification.problems
        if precision == "int8":
            assert exported.metadata.overflow_free
            assert verification.exact_difference is not None
            assert exported.metadata.int8_share > 0.8
