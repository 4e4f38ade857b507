"""Export of every architecture in its full size."""

from pathlib import Path

import keras
import numpy as np
import onnx
import pytest

from digits_edge.export import Source, calibrated_outputs, export
from digits_edge.runtime.checks.parity import compare, shortfalls
from digits_edge.runtime.checks.verify import verify
from digits_edge.runtime.classifier import Classifier
from digits_edge.runtime.datasets import Dataset, parts
from digits_edge.runtime.model.model_file import Precision, read_model_file
from digits_edge.runtime.model.pixel_range import PixelRange
from digits_edge.train import build, names
from digits_edge.train.models.architectures import input_scale
from tests.export.conftest import fit

_IMAGES = 300


@pytest.fixture(scope="module")
def few(drawn: Dataset) -> Dataset:
    return drawn.taken(np.arange(_IMAGES), "few")


@pytest.fixture(scope="module")
def network(request: pytest.FixtureRequest, few: Dataset) -> Source:
    """An architecture in its full size, fitted without training, which takes minutes for the larger ones."""
    keras.utils.set_random_seed(5)
    model = build(request.param)
    scale = input_scale(model)
    fit(model, few.images[..., np.newaxis].astype(np.float32) * np.float32(scale / 255), few.labels, ridge=0.1)
    return Source(request.param, request.param, model, PixelRange(scale), few.class_names)


#: The small networks of `test_exporting.py` resemble most architectures and cover every precision. Only `kaggle-cnn`
#: has elu and batch norm after padding in full depth.
_QUICK = ("edge", "cnn-small")
CASES = [(name, "int8") for name in _QUICK] + [
    pytest.param(*case, marks=pytest.mark.slow)
    for case in [
        *((name, "int8") for name in names() if name not in _QUICK),
        ("kaggle-cnn", "fp32"),
        ("kaggle-cnn", "fp16"),
    ]
]


@pytest.mark.parametrize(("network", "precision"), CASES, indirect=["network"])
def test_every_architecture_is_exported_and_predicts_like_keras(
    network: Source, precision: Precision, few: Dataset, tmp_path: Path
) -> None:
    exported = export(network, tmp_path / "m.onnx", precision=precision, training=few)
    assert len(exported.float_layers) < 2, "at most one layer is computed in float"
    assert exported.metadata.parameters == network.model.count_params()
    with Classifier(exported.path, provider="cpu") as classifier:
        rows = parts(few.labels).validation
        expected = calibrated_outputs(network, few.images[rows], exported.metadata.temperature)
        parity = compare(expected, classifier.predict_batch(few.images[rows]), few.labels[rows])
        assert parity.clear > 20, "the comparison needs clear predictions"
        assert not shortfalls(parity, precision)
        result = verify(classifier)
    assert result.holds, result.problems
    if precision == "int8":
        _check_front(exported.path)


def _check_front(path: Path) -> None:
    """Check that raw pixels are the quantized input: before the first layer, they are only moved and dequantized."""
    graph = onnx.load_from_string(read_model_file(path)).graph
    assert not {"Cast", "Mul", "Transpose"} & {node.op_type for node in graph.node}
    operators, waiting = set(), ["image"]
    while waiting:
        value = waiting.pop()
        for node in graph.node:
            if value in node.input and node.op_type not in ("Conv", "Gemm"):
                operators.add(node.op_type)
                waiting.append(node.output[0])
    assert operators - {"Reshape", "SpaceToDepth", "Pad", "Slice", "Concat"} == {"DequantizeLinear"}
