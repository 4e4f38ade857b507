"""Quantization leaves float what has to be float, also after onnxruntime's own optimizations."""

from pathlib import Path

import keras
import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from keras import layers

from digits_edge.export.graph.convert import convert
from digits_edge.export.precision.quantize import candidate_groups, layer_names, quantize
from digits_edge.runtime.model.image_input import ImageInput

IMAGES = np.random.default_rng(0).random((40, 16, 16), np.float32)


def converted(body) -> ir.Model:
    keras.utils.set_random_seed(4)
    image = keras.Input((16, 16, 1))
    return convert(keras.Model(image, layers.Dense(10)(layers.Flatten()(body(image)))), ImageInput(16, 16))


def float_operators(model: ir.Model, path: Path) -> list[str]:
    """The operators with float weights after onnxruntime's optimizations."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(path)
    options.log_severity_level = 3
    serialized = ir.to_proto(model).SerializeToString()
    onnxruntime.InferenceSession(serialized, options, providers=["CPUExecutionProvider"])
    return [node.op_type for node in onnx.load(path).graph.node if node.op_type in ("Conv", "FusedConv", "Gemm")]


@pytest.mark.parametrize("after", ["nothing", "relu", "pooling", "reshape"])
def test_onnxruntime_does_not_quantize_a_float_layer(after: str, tmp_path: Path) -> None:
    def body(x):
        x = layers.Conv2D(8, 3, activation="relu")(x)
        x = layers.Conv2D(8, 3, activation="relu" if after == "relu" else None, name="float")(x)
        x = layers.MaxPooling2D(2)(x) if after == "pooling" else x
        if after == "reshape":
            return layers.Dense(16, activation="relu")(layers.Flatten()(x))
        return layers.Conv2D(8, 3, activation="relu")(x)

    model = converted(body)
    middle = layer_names(model)[1]
    assert float_operators(quantize(model, IMAGES), tmp_path / "int8.onnx") == []
    assert len(float_operators(quantize(model, IMAGES, float_layers=[middle]), tmp_path / "mixed.onnx")) == 1


def test_attention_normalization_and_their_sums_stay_float() -> None:
    def body(x):
        x = layers.Reshape((16, 8))(layers.Conv2D(8, 4, strides=4)(x))
        y = layers.LayerNormalization()(x)
        x = layers.Add()([x, layers.MultiHeadAttention(2, 4)(y, y)])
        return layers.Dense(8, activation="gelu")(layers.LayerNormalization()(x))

    model = converted(body)
    quantized = quantize(model, IMAGES)
    products = [node for node in quantized.graph if node.op_type == "MatMul"]
    of_activations = [node for node in products if not is_dequantized(node.inputs[1])]
    assert len(of_activations) == 2, "queries by keys, and attention by values"
    assert not any(is_dequantized(value) for node in of_activations for value in node.inputs)
    sums = [node for node in quantized.graph if node.op_type in ("Add", "GlobalAveragePool", "ReduceMean")]
    followed = [user.op_type for node in sums for user, _ in node.outputs[0].uses()]
    assert sums and not any(is_dequantized(node.inputs[1]) for node in sums if node.op_type == "Add")
    assert followed.count("QuantizeLinear") <= 2, "only what a layer reads"
    assert len(layer_names(model)) == len([n for n in model.graph if n.op_type in ("Conv", "Gemm", "MatMul")]) - 2


def is_dequantized(value: ir.Value) -> bool:
    producer = value.producer()
    return producer is not None and producer.op_type == "DequantizeLinear"


def test_sum_of_a_residual_block_can_be_float_and_that_of_a_hard_swish_is() -> None:
    def body(x):
        x = layers.Conv2D(8, 3, padding="same", activation="relu")(x)
        y = layers.Conv2D(8, 3, padding="same", activation="relu")(x)
        return layers.Conv2D(8, 3, activation="hard_silu")(layers.Add()([x, y]))

    model = converted(body)
    sums = [node.name for node in model.graph if node.op_type == "Add"]
    assert len(sums) == 2
    assert [name for name in candidate_groups(model) if name in sums] == sums[:1]


def test_steps_of_a_recurrent_layer_are_one_candidate_for_each_weight() -> None:
    image = keras.Input((16, 16))
    model = convert(keras.Model(image, layers.Dense(10)(layers.GRU(24)(image))), ImageInput(16, 16))
    groups = candidate_groups(model)
    assert sorted(map(len, groups.values())) == [1, 16, 16]
    assert len(layer_names(model)) == 33
