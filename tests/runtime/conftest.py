"""Fixtures: a small valid model file, built without TensorFlow. Each class is a bright square at its own position."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from digits_edge.runtime.classifier import Classifier
from digits_edge.runtime.model.golden import GoldenValues
from digits_edge.runtime.model.model_file import GOLDEN_KEY, METADATA_KEY, Metadata, with_digest

METADATA = Metadata(
    name="squares-fp32",
    version="1",
    architecture="squares",
    precision="fp32",
    labels=tuple("0123456789"),
    parameters=7850,
)
MakeModel = Callable[..., Path]


@pytest.fixture
def squares() -> np.ndarray:
    """Images, uint8 (10, 28, 28): image c belongs to class c."""
    return _squares()


@pytest.fixture
def keras_probabilities() -> Callable[[np.ndarray], np.ndarray]:
    """Function that computes the expected probabilities, float32 (N, 10), of images (N, 28, 28) with numpy."""
    return _keras_probabilities


@pytest.fixture
def metadata() -> Metadata:
    return METADATA


def _squares() -> np.ndarray:
    images = np.zeros((10, 28, 28), np.uint8)
    for digit in range(10):
        row, column = divmod(digit, 5)
        images[digit, 4 + 10 * row : 10 + 10 * row, 2 + 5 * column : 6 + 5 * column] = 200
    return images


def _keras_probabilities(images: np.ndarray) -> np.ndarray:
    logits = images.reshape(-1, 784).astype(np.float64) @ _weights()
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (exponentials / exponentials.sum(axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def make_model(tmp_path: Path) -> MakeModel:
    """Write a model file and return its path; arguments replace parts of a valid file."""

    def make(
        path: Path | None = None,
        *,
        metadata: Metadata | None = METADATA,
        golden: GoldenValues | None = None,
        batch: str | int = "N",
        side: int = 28,
        output: str = "probabilities",
        complete: bool = True,
        weights_in: str | None = None,
    ) -> Path:
        images = _squares()
        golden = golden or GoldenValues(images, _keras_probabilities(images), 1e-4)
        model = _graph(batch, side, output)
        if weights_in is not None:
            _move_weights(model, weights_in)
        properties = {} if metadata is None else {METADATA_KEY: metadata.to_json(), GOLDEN_KEY: golden.pack()}
        helper.set_model_props(model, properties)
        content = model.SerializeToString()
        path = path or tmp_path / "squares.onnx"
        path.write_bytes(with_digest(content) if complete else content)
        return path

    return make


@pytest.fixture
def model_path(make_model: MakeModel) -> Path:
    return make_model()


@pytest.fixture
def classifier(model_path: Path) -> Classifier:
    return Classifier(model_path, provider="cpu", threads=1)


@pytest.fixture
def models_folder(tmp_path: Path) -> Path:
    """An empty folder of bundled models."""
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "index.json").write_text('{"schema_version": 1, "models": []}')
    return folder


def _move_weights(model: onnx.ModelProto, location: str) -> None:
    """Make a model load its weights from an external file."""
    [weights] = [each for each in model.graph.initializer if each.name == "weights"]
    external = {"location": location, "offset": "0", "length": str(len(weights.raw_data))}
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    for key, value in external.items():
        entry = weights.external_data.add()
        entry.key, entry.value = key, value


def _weights() -> np.ndarray:
    return (_squares().reshape(10, 784).T / 200 * 5e-3).astype(np.float32)


def _graph(batch: str | int, side: int, output: str) -> onnx.ModelProto:
    pixels = side * side
    weights = np.zeros((pixels, 10), np.float32)
    weights[: min(784, pixels)] = _weights()[:pixels]
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["float", "shape"], ["flat"]),
        helper.make_node("Gemm", ["flat", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], [output], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "squares",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [batch, side, side])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, [batch, 10])],
        [numpy_helper.from_array(np.array([-1, pixels]), "shape"), numpy_helper.from_array(weights, "weights")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
