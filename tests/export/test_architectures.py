"""Every architecture of ours, of its full size, in every precision."""

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
from digits_edge.train import build, names
from digits_edge.train.models.architectures import input_scale

_IMAGES = 300
_RIDGE = 0.1
#: Logits of the class and of the others that the last layer is fitted to: clear answers, but not certain ones.
_SAID, _NOT_SAID = 5.0, 0.0


@pytest.fixture(scope="module")
def few(drawn: Dataset) -> Dataset:
    return drawn.taken(np.arange(_IMAGES), "few")


@pytest.fixture(scope="module")
def network(request: pytest.FixtureRequest, few: Dataset) -> Source:
    """An architecture that tells the drawn digits apart after one look at them.

    Training the larger ones takes minutes. Here the hidden layers keep the weights they start from, batch norms take
    the statistics of the images, and the last layer is fitted by least squares to what the one before answers.
    """
    keras.utils.set_random_seed(5)
    model = build(request.param)
    white = input_scale(model)
    pixels = few.images[..., np.newaxis].astype(np.float32) * np.float32(white / 255)
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for norm in norms:
        # one after the other: each sees what those before it answer from now on
        seen = keras.ops.convert_to_numpy(keras.Model(model.input, norm.input)(pixels, training=False))
        axes = tuple(range(seen.ndim - 1))
        gamma, beta, *_ = norm.get_weights()
        norm.set_weights([gamma, beta, seen.mean(axes), seen.var(axes)])
    last = model.layers[-1]
    seen = keras.ops.convert_to_numpy(keras.Model(model.input, last.input)(pixels, training=False)).astype(np.float64)
    rows = np.hstack([seen, np.ones((len(seen), 1))])
    wanted = np.where(few.labels[:, np.newaxis] == np.arange(10), _SAID, _NOT_SAID)
    # the dual form: as many equations as there are images
    alike = rows @ rows.T
    fitted = rows.T @ np.linalg.solve(alike + _RIDGE * np.trace(alike) / len(rows) * np.eye(len(rows)), wanted)
    last.set_weights([fitted[:-1].astype(np.float32), fitted[-1].astype(np.float32)])
    return Source(request.param, request.param, model, white, few.class_names)


#: The small networks of `test_exporting.py` are of most architectures' kinds, in every precision; `kaggle-cnn` alone
#: has elu and batch norm behind padding in full depth.
_LARGE = ("resnet", "kaggle-cnn")
CASES = [(name, "int8") for name in names() if name not in _LARGE] + [
    pytest.param(*case, marks=pytest.mark.slow)
    for case in (("resnet", "int8"), ("kaggle-cnn", "int8"), ("kaggle-cnn", "fp32"), ("kaggle-cnn", "fp16"))
]


@pytest.mark.parametrize(("network", "precision"), CASES, indirect=["network"])
def test_every_architecture_exports_and_answers_like_keras(
    network: Source, precision: Precision, few: Dataset, tmp_path: Path
) -> None:
    exported = export(network, tmp_path / "m.onnx", precision=precision, training=few)
    assert len(exported.float_layers) < 2, "all but at most one layer compute in int8"
    assert exported.metadata.parameters == network.model.count_params()
    with Classifier(exported.path, provider="cpu") as classifier:
        rows = parts(few.labels).validation
        expected = calibrated_outputs(network, few.images[rows], exported.metadata.temperature)
        parity = compare(expected, classifier.predict_batch(few.images[rows]), few.labels[rows])
        assert parity.clear > 20, "else the comparison says little"
        assert not shortfalls(parity, precision)
        found = verify(classifier)
    assert found.holds, found.problems
    if precision == "int8":
        _check_front(exported.path)


def _check_front(path: Path) -> None:
    """The raw pixel is the quantized input: only bytes are moved before the first layer, and no weights are float."""
    graph = onnx.load_from_string(read_model_file(path)).graph
    assert not {"Cast", "Mul", "Transpose"} & {node.op_type for node in graph.node}
    value, kinds = "image", []
    while not kinds or kinds[-1] not in ("Conv", "Gemm"):
        (node,) = [node for node in graph.node if value in node.input]
        kinds.append(node.op_type)
        value = node.output[0]
    assert [kind for kind in kinds if kind not in ("Reshape", "SpaceToDepth")] == ["DequantizeLinear", kinds[-1]]
