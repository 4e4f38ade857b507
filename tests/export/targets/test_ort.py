"""Files in the ORT format have the predictions and metadata of their model files."""

import re
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from digits_edge.export.targets.ort import export_ort
from digits_edge.runtime.classifier import Classifier
from digits_edge.runtime.datasets.synthetic_digits import draw_image
from digits_edge.runtime.errors import CheckError, ModelError, UsageError
from digits_edge.runtime.model.bundled import bundled_classifiers
from digits_edge.runtime.model.golden import GoldenValues
from digits_edge.runtime.session.precision import find_model

IMAGES = np.stack([draw_image(digit % 10, np.random.default_rng(digit)) for digit in range(50)])


@pytest.mark.parametrize("name", [model.name for model in bundled_classifiers()])
def test_ort_file_has_the_same_predictions_and_metadata(name: str, tmp_path: Path) -> None:
    exported = export_ort(find_model(name, "cpu"), tmp_path / "m.ort")
    with Classifier(name, provider="cpu") as model, Classifier(exported.path, provider="cpu") as converted:
        assert converted.metadata == model.metadata == exported.metadata
        difference = np.abs(converted.predict_batch(IMAGES) - model.predict_batch(IMAGES)).max()
        # the NCHWc layout, which is disabled, changes the rounding of float graphs on some processors
        assert difference <= (0 if model.metadata.precision == "int8" else 1e-6)
    assert exported.path.read_bytes()[4:8] == b"ORTM"


def test_operators_of_the_graph_are_listed(tmp_path: Path) -> None:
    exported = export_ort(find_model("cnn-small-fp32", "cpu"), tmp_path / "m.ort")
    lines = exported.operators_path.read_text().splitlines()
    assert lines[0] == "# the operators of m.ort"
    listed = {name for line in lines[1:] for name in re.findall(r"(\w+)(?:\{[^;]*?\}\})?(?:,|$)", line.split(";")[2])}
    options = onnxruntime.SessionOptions()
    options.enable_profiling, options.profile_file_prefix = True, str(tmp_path / "profile")
    session = onnxruntime.InferenceSession(exported.path.read_bytes(), options, providers=["CPUExecutionProvider"])
    session.run(None, {"image": IMAGES})
    executed = set(re.findall(r'"op_name" ?: ?"(\w+)"', Path(session.end_profiling()).read_text()))
    assert executed and executed <= listed


def test_file_that_disagrees_with_keras_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unpack = GoldenValues.unpack
    monkeypatch.setattr(
        GoldenValues,
        "unpack",
        lambda text: GoldenValues(unpack(text).images, unpack(text).probabilities[::-1].copy(), 0.01),
    )
    with pytest.raises(CheckError, match="not written: its outputs differ from Keras"):
        export_ort(find_model("cnn-small", "cpu"), tmp_path / "m.ort")
    assert not list(tmp_path.iterdir())


def test_existing_files_are_replaced_only_with_overwrite(tmp_path: Path) -> None:
    (tmp_path / "m.required_operators.config").write_text("mine")
    with pytest.raises(UsageError, match="config already exists"):
        export_ort(find_model("cnn-small", "cpu"), tmp_path / "m.ort")
    assert [path.name for path in tmp_path.iterdir()] == ["m.required_operators.config"]
    export_ort(find_model("cnn-small", "cpu"), tmp_path / "m.ort", overwrite=True)


def test_ort_and_damaged_files_are_rejected(tmp_path: Path) -> None:
    path = export_ort(find_model("cnn-small", "cpu"), tmp_path / "m.ort").path
    with pytest.raises(UsageError, match="format already"):
        export_ort(path, tmp_path / "n.ort")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelError, match="is damaged"):
        Classifier(path)
    with pytest.raises(ModelError, match="is damaged"):
        export_ort(path, tmp_path / "n.ort")


def test_old_file_whose_weights_may_overflow_is_rejected(tmp_path):
    old = Path(__file__).parents[2] / "data" / "edge-int8-1.0.0.onnx"
    with pytest.raises(UsageError, match="may overflow"):
        export_ort(old, tmp_path / "m.ort")
    assert list(tmp_path.iterdir()) == []
