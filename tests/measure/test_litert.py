"""Model files are converted for LiteRT without their Keras source, and with their own integers."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

tf = pytest.importorskip("tensorflow", reason="needs the extra [bench]")

from digits_edge.measure import tensorflow_graph  # noqa: E402
from digits_edge.measure.litert import to_litert, write_litert  # noqa: E402
from digits_edge.measure.peers import Subject, measure_peers  # noqa: E402
from digits_edge.measure.stored_tensor import CHANNELS_LAST, StoredTensor  # noqa: E402
from digits_edge.measure.tensorflow_graph import TensorFlowGraph  # noqa: E402
from digits_edge.measure.tensorflow_operators import OPERATORS  # noqa: E402
from digits_edge.runtime.errors import ModelError  # noqa: E402
from digits_edge.runtime.model.model_file import read_model_file  # noqa: E402
from digits_edge.runtime.session.library import load_onnxruntime  # noqa: E402
from tests.export.conftest import KINDS  # noqa: E402


def predictions(subject):
    graph = TensorFlowGraph(subject.path)
    graph.observe(subject.golden.images)
    return graph(tf.constant(graph.inputs(subject.golden.images))).numpy()


#: Fitting these takes seconds; the others have the same operators, and a test of each operator is below.
SLOW_KINDS = ("residual", "batch-norm-before-padding")


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[pytest.mark.slow] if kind in SLOW_KINDS else []) for kind in KINDS]
)
def test_networks_of_every_kind_are_converted(kind, export_once):
    subject = Subject.of(str(export_once(kind, "fp32").path))
    np.testing.assert_allclose(predictions(subject), subject.probabilities, atol=1e-5)


@pytest.mark.parametrize("model", ["cnn-small-int8", "edge-int8", "fashion-int8", "cnn-small-fp32"])
def test_bundled_models_are_converted(model):
    subject = Subject.of(model)
    assert np.abs(predictions(subject) - subject.probabilities).max() < 0.02


def test_litert_file_has_the_integers_of_the_model_file(tmp_path):
    interpreter = pytest.importorskip("ai_edge_litert.interpreter", reason="needs the extra [bench]")
    subject = Subject.of("edge-int8")
    [(_, path)] = write_litert(subject.path, "int8", subject.golden.images, [1], tmp_path)
    opened = interpreter.Interpreter(model_path=str(path))
    opened.allocate_tensors()
    kernels = {
        details["shape"].tobytes(): opened.get_tensor(details["index"])
        for details in opened.get_tensor_details()
        if details["dtype"] == np.int8 and len(details["quantization_parameters"]["scales"]) > 1
    }
    graph = onnx.load_from_string(read_model_file(subject.path)).graph
    own = [
        array for array in map(numpy_helper.to_array, graph.initializer) if array.dtype == np.int8 and array.ndim == 4
    ]
    assert len(own) == 4
    for array in own:
        expected = array.transpose(0, 2, 3, 1)
        np.testing.assert_array_equal(kernels[np.array(expected.shape, np.int32).tobytes()], expected)
    assert opened.get_input_details()[0]["dtype"] == np.uint8
    assert not [tensor for tensor in opened.get_tensor_details() if "transpose" in tensor["name"].lower()]


def test_unknown_operator_is_a_reason_to_skip_litert(monkeypatch):
    pytest.importorskip("ai_edge_litert", reason="needs the extra [bench]")
    monkeypatch.setattr(
        tensorflow_graph, "OPERATORS", {name: each for name, each in OPERATORS.items() if name != "MaxPool"}
    )
    skipped = []
    rows = measure_peers(
        Subject.of("cnn-small-int8"), threads=[1], batch_sizes=[2], rounds=1, seconds=0, on_skip=skipped.append
    )
    assert "litert" not in {row.engine for row in rows}
    assert "the conversion failed: the operator MaxPool is not converted" in {each.skipped for each in skipped}


def test_failure_of_the_converter_is_an_error():
    def broken(images):
        raise ValueError("broken")

    broken.quantizes_pixels = False
    with pytest.raises(ModelError, match=r"the conversion failed: .*broken"):
        to_litert(broken, "fp32", (1, 28, 28))


def node_model(node, shape, *, constants):
    """A model of one node, whose input is an image batch (N, C, H, W)."""
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    tensors = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph([node], "g", inputs, outputs, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


RANDOM = np.random.default_rng(5)
KERNEL = RANDOM.normal(size=(4, 3, 3, 3)).astype(np.float32)
DEPTHWISE = RANDOM.normal(size=(6, 1, 3, 3)).astype(np.float32)
COLUMN = RANDOM.normal(size=(1, 3, 1, 1)).astype(np.float32)
CASES = [
    ("Conv", {"pads": [1, 0, 2, 1], "strides": [2, 1]}, {"w": KERNEL}),
    ("Conv", {"pads": [1, 1, 1, 1]}, {"w": KERNEL}),
    ("Conv", {"pads": [0, 0, 1, 1], "strides": [2, 2]}, {"w": KERNEL}),
    ("Conv", {"dilations": [2, 2]}, {"w": KERNEL}),
    ("Conv", {"group": 3}, {"w": DEPTHWISE}),
    ("Conv", {"group": 3, "pads": [1, 1, 1, 1], "strides": [2, 2]}, {"w": DEPTHWISE}),
    ("Conv", {"group": 3, "strides": [2, 1]}, {"w": DEPTHWISE}),
    ("MaxPool", {"kernel_shape": [3, 2], "strides": [2, 2]}, {}),
    ("AveragePool", {"kernel_shape": [2, 2], "strides": [2, 2]}, {}),
    ("GlobalAveragePool", {}, {}),
    ("ReduceMean", {"axes": [2, 3], "keepdims": 0}, {}),
    ("ReduceMean", {"axes": [1]}, {}),
    ("Transpose", {"perm": [0, 2, 3, 1]}, {}),
    ("Flatten", {}, {}),
    ("Reshape", {}, {"s": np.array([0, -1])}),
    ("Reshape", {}, {"s": np.array([0, 2, -1])}),
    ("SpaceToDepth", {"blocksize": 2}, {}),
    ("Slice", {}, {"start": np.array([1]), "end": np.array([5]), "axis": np.array([3])}),
    ("Slice", {}, {"start": np.array([0, 1]), "end": np.array([2, 3])}),
    ("Pad", {}, {"widths": np.array([0, 0, 1, 2, 0, 0, 0, 3]), "fill": np.float32(0.5)}),
    ("Add", {}, {"c": COLUMN}),
    ("Mul", {}, {"c": COLUMN[0]}),
    ("Clip", {}, {"low": np.float32(0), "high": np.float32(6)}),
    ("Clip", {}, {"low": np.float32(-1), "high": np.float32(0.5)}),
    ("LeakyRelu", {"alpha": 0.3}, {}),
    ("Concat", {"axis": 1}, {"c": np.zeros((2, 1, 8, 6), np.float32)}),
    ("BatchNormalization", {}, {name: np.abs(RANDOM.normal(size=3)).astype(np.float32) for name in "sbmv"}),
]


@pytest.mark.parametrize("is_channels_last", [True, False])
@pytest.mark.parametrize(("operator", "attributes", "constants"), CASES)
def test_operators_compute_the_same_as_onnxruntime(operator, attributes, constants, is_channels_last):
    images = RANDOM.normal(size=(2, 3, 8, 6)).astype(np.float32)
    node = helper.make_node(operator, ["x", *constants], ["y"], **attributes)
    model = node_model(node, images.shape, constants=constants)
    session = load_onnxruntime().InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    [expected] = session.run(None, {"x": images})
    stored = StoredTensor(tf.constant(images))
    if is_channels_last:
        stored = StoredTensor(tf.constant(images.transpose(0, 2, 3, 1)), CHANNELS_LAST)
    values = {name: attribute.value for name, attribute in ir.from_proto(model).graph[0].attributes.items()}
    result = OPERATORS[operator](values, [stored, *map(StoredTensor, constants.values())])
    np.testing.assert_allclose(np.asarray(result.in_file_order()), expected, atol=1e-5)
    assert result.shape == expected.shape


@pytest.mark.parametrize("shape", [[0, -1], [-1, 60], [2, 60], [2, -1]])
def test_flattening_moves_no_pixel(shape):
    images = RANDOM.normal(size=(2, 3, 4, 5)).astype(np.float32)
    stored = StoredTensor(tf.constant(images.transpose(0, 2, 3, 1)), CHANNELS_LAST)
    result = OPERATORS["Reshape"]({}, [stored, StoredTensor(np.array(shape))])
    np.testing.assert_array_equal(result.tensor, images.transpose(0, 2, 3, 1).reshape(2, 60))
    np.testing.assert_array_equal(result.in_file_order(), images.reshape(2, 60))


def test_weights_follow_the_order_of_flattened_pixels():
    images, weights = (
        RANDOM.normal(size=(2, 3, 4, 5)).astype(np.float32),
        RANDOM.normal(size=(60, 7)).astype(np.float32),
    )
    rows = StoredTensor(tf.constant(images.transpose(0, 2, 3, 1)), CHANNELS_LAST).flattened()
    result = OPERATORS["Gemm"]({}, [rows, StoredTensor(weights)])
    np.testing.assert_allclose(result.tensor, images.reshape(2, 60) @ weights, atol=1e-4)


@pytest.mark.parametrize(
    ("operator", "attributes", "message"),
    [
        ("MaxPool", {"kernel_shape": [2, 2], "pads": [1, 1, 0, 0]}, "a padding"),
        ("AveragePool", {"kernel_shape": [2, 2], "ceil_mode": 1}, "a padding"),
        ("Flatten", {"axis": 2}, "does not keep the batch axis"),
        ("Gemm", {"alpha": 2.0}, "alpha, beta or transA"),
        ("MatMul", {}, "two computed matrices"),
        ("Elu", {"alpha": 2.0}, "an Elu with alpha"),
    ],
)
def test_operators_without_an_equivalent_are_errors(operator, attributes, message):
    images = StoredTensor(tf.zeros([2, 3, 8, 6]))
    with pytest.raises(ModelError, match=message):
        OPERATORS[operator](attributes, [images, images])
