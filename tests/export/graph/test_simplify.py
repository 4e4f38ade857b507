"""Graph rewriting removes shape arithmetic and BatchNorm, and does not change predictions."""

from collections import Counter

import keras
import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest

from digits_edge.export.graph.contract import end_in_probabilities, take_quantized_pixels
from digits_edge.export.graph.convert import convert
from digits_edge.export.graph.folding import divide_logits, scale_input
from digits_edge.export.precision.quantize import layer_names, quantize
from digits_edge.export.source import Source
from digits_edge.runtime.datasets import Dataset
from tests.export.conftest import KINDS, convert_once

SHAPE_ARITHMETIC = {
    "Transpose",
    "Shape",
    "Gather",
    "Slice",
    "Concat",
    "Cast",
    "Squeeze",
    "Unsqueeze",
    "ConstantOfShape",
}
every_kind = pytest.mark.parametrize("source", KINDS, indirect=True)
#: A dense layer on a feature map needs channels last, so its Transpose remains.
TRANSPOSED = ["dense-on-pixels"]


@pytest.fixture
def graph(source: Source) -> ir.Model:
    """The graph of the network that the test selects."""
    return convert_once(source.model)


def operators(model: ir.Model) -> Counter[str]:
    return Counter(node.op_type for node in model.graph)


@pytest.mark.parametrize("source", [kind for kind in KINDS if kind not in TRANSPOSED], indirect=True)
def test_transpose_and_shape_arithmetic_are_removed(graph: ir.Model) -> None:
    assert not SHAPE_ARITHMETIC & set(operators(graph))


@every_kind
def test_every_reshape_has_constant_sizes(graph: ir.Model) -> None:
    for node in graph.graph:
        if node.op_type == "Reshape":
            assert node.inputs[1].const_value is not None


@pytest.mark.parametrize("source", ["batch-norm-before-pooling", "residual"], indirect=True)
def test_batch_norm_is_folded(graph: ir.Model) -> None:
    graph = scale_input(divide_logits(graph, 1.3), 1 / 255).graph
    assert "Mul" not in {node.op_type for node in graph}
    shifts = [node for node in graph if node.op_type == "Add" and any(v.const_value is not None for v in node.inputs)]
    assert not shifts


@pytest.mark.parametrize("source", ["batch-norm-before-padding"], indirect=True)
def test_shift_before_a_padded_convolution_is_not_folded(graph: ir.Model) -> None:
    assert operators(graph) == Counter(Conv=2, Relu=2, MaxPool=2, Reshape=2, Add=1, Gemm=1)


@every_kind
@pytest.mark.parametrize("temperature", [1.0, 1.7])
def test_rewritten_graph_predicts_like_keras(
    source: Source, graph: ir.Model, drawn: Dataset, temperature: float
) -> None:
    model = scale_input(divide_logits(graph, temperature), source.pixel_range.factor)
    session = onnxruntime.InferenceSession(ir.to_proto(model).SerializeToString(), providers=["CPUExecutionProvider"])
    for count in (1, 2, 7, 64):
        images = drawn.images[:count]
        logits = session.run(None, {"image": images.astype(np.float32)})[0]
        expected = source.logits(images) / temperature
        # a softmax's logits are known up to a constant per row
        centred = [values - values.mean(axis=1, keepdims=True) for values in (logits, expected)]
        np.testing.assert_allclose(*centred, atol=2e-4)


@pytest.mark.parametrize("source", [kind for kind in KINDS if kind != "batch-norm-of-rows"], indirect=True)
def test_raw_pixels_are_the_int8_input(source: Source, graph: ir.Model, drawn: Dataset) -> None:
    images = drawn.images[:100].astype(np.float32) * source.pixel_range.factor
    model = end_in_probabilities(take_quantized_pixels(quantize(graph, images), source.pixel_range.factor))
    (image,) = model.graph.inputs
    assert image.dtype == ir.DataType.UINT8
    first = next(node for node, _ in image.uses())
    if first.op_type == "Reshape":
        first = next(node for node, _ in first.outputs[0].uses())
    assert first.op_type == "DequantizeLinear"
    assert first.inputs[1].const_value.numpy() == np.float32(source.pixel_range.factor)
    assert first.inputs[2].const_value.numpy() == 0
    assert not {"Cast", "Mul"} & set(operators(model))
    onnx.checker.check_model(ir.to_proto(model), full_check=True)


@every_kind
def test_int8_quantizes_every_layer_but_not_the_logits(source: Source, graph: ir.Model, drawn: Dataset) -> None:
    float_model = graph
    layers = layer_names(float_model)
    model = quantize(float_model, drawn.images[:100].astype(np.float32) * source.pixel_range.factor)
    quantized = [
        node
        for node in model.graph
        if node.op_type in ("Conv", "Gemm")
        and all(
            value.producer() is not None and value.producer().op_type == "DequantizeLinear" for value in node.inputs[:2]
        )
    ]
    assert len(quantized) == len(layers)
    assert model.graph.outputs[0].producer().op_type == "Gemm"
    weights = [node.inputs[1].producer().inputs for node in quantized]
    assert all(value.const_value.dtype == ir.DataType.INT8 for value, *_ in weights)
    assert all(scale.const_value.numpy().size > 1 for _, scale, *_ in weights), "scales are per channel"


@pytest.mark.parametrize("source", ["residual"], indirect=True)
def test_float_layers_are_not_quantized(source: Source, graph: ir.Model, drawn: Dataset) -> None:
    float_model = graph
    last = layer_names(float_model)[-1]
    images = drawn.images[:100].astype(np.float32) / 255
    quantized = quantize(float_model, images, float_layers=[last])
    (gemm,) = [node for node in quantized.graph if node.op_type == "Gemm"]
    assert gemm.inputs[1].const_value.dtype == ir.DataType.FLOAT


def test_batch_norm_scale_is_folded_back_across_pooling_and_its_sign_forward() -> None:
    keras.utils.set_random_seed(3)
    image = keras.Input((28, 28, 1))
    x = keras.layers.MaxPooling2D(2)(keras.layers.Conv2D(6, 3, activation="relu")(image))
    normed = keras.layers.BatchNormalization()
    x = keras.layers.Conv2D(5, 3, padding="same", use_bias=False)(normed(x))
    model = keras.Model(image, keras.layers.Dense(10)(keras.layers.Flatten()(x)))
    gains = np.array([3, -2, 0.5, 0, -0.01, 40], np.float32)
    normed.set_weights([gains, np.arange(6) / 10, np.full(6, 0.2), np.linspace(0.01, 2, 6)])
    before = np.abs(model.layers[4].get_weights()[0]).max(axis=(0, 1, 3))

    converted = convert(model)
    first, second = (node.inputs[1].const_value.numpy() for node in converted.graph if node.op_type == "Conv")
    assert "Mul" not in operators(converted)
    np.testing.assert_allclose(np.abs(second).max(axis=(0, 2, 3)), before, rtol=1e-5)
    expected = np.abs(gains) / np.sqrt(np.linspace(0.01, 2, 6) + 1e-3)
    kernel = np.abs(model.layers[1].get_weights()[0]).max(axis=(0, 1, 2))
    np.testing.assert_allclose(np.abs(first).max(axis=(1, 2, 3)), kernel * expected, rtol=1e-4)

    images = np.random.default_rng(0).random((4, 28, 28), np.float32)
    session = onnxruntime.InferenceSession(
        ir.to_proto(converted).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    np.testing.assert_allclose(
        session.run(None, {"image": images})[0], np.asarray(model(images[..., None], training=False)), atol=1e-4
    )
