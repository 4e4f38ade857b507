"""The int8 graph of any pixel range, and the message if none agrees with Keras."""

import keras
import numpy as np
import onnx_ir as ir
import pytest
from keras import layers

from digits_edge.export.gate import Gate, GraphOutputs
from digits_edge.export.graph.convert import convert
from digits_edge.export.int8 import int8_graph
from digits_edge.export.keras_outputs import ReferenceOutputs
from digits_edge.export.temperature import softmax
from digits_edge.runtime.errors import CheckError, UsageError
from digits_edge.runtime.model.golden import GoldenValues
from digits_edge.runtime.model.image_input import ImageInput
from digits_edge.runtime.model.pixel_range import PixelRange

RGB = ImageInput(16, 16, 3)
IMAGES = np.random.default_rng(0).integers(0, 256, (60, 16, 16, 3), np.uint8)


def model(padding: str = "same") -> keras.Model:
    keras.utils.set_random_seed(1)
    image = keras.Input((16, 16, 3))
    x = layers.Conv2D(8, 3, padding=padding, activation="relu")(image)
    x = layers.Conv2D(8, 3, strides=2, activation="relu")(x)
    return keras.Model(
        image, layers.Dense(4, kernel_initializer=keras.initializers.RandomNormal(0, 0.5))(layers.Flatten()(x))
    )


def gate_of(probabilities: np.ndarray) -> Gate:
    golden = GoldenValues(IMAGES[:10], probabilities[:10], 0.1)
    return Gate("int8", ReferenceOutputs(IMAGES, probabilities), golden)


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("pixels", [PixelRange(1, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25)), PixelRange(1, std=0.5)])
def test_pixels_are_the_input_of_the_graph(pixels: PixelRange, padding: str) -> None:
    network = model(padding)
    inputs = (IMAGES.astype(np.float32) * np.float32(pixels.factors) + np.float32(pixels.offsets)).astype(np.float32)
    probabilities = softmax(np.asarray(network(inputs, training=False)))
    graph, float_layers = int8_graph(convert(network, RGB), pixels, IMAGES, gate_of(probabilities))
    (image,) = graph.graph.inputs
    assert (image.dtype, list(image.shape)[1:]) == (ir.DataType.UINT8, [16, 16, 3])
    assert float_layers == ()
    assert np.abs(GraphOutputs(graph)(IMAGES) - probabilities).max() < 0.2
    first = next(node for node in graph.graph if node.op_type == "Conv")
    assert first.inputs[0].producer().op_type == first.inputs[1].producer().op_type == "DequantizeLinear"


def test_message_lists_what_was_tried() -> None:
    wrong = np.full((60, 4), 0.1, np.float32)
    wrong[:, 0] = 0.7
    wrong[::2] = wrong[::2, ::-1]
    with pytest.raises(CheckError) as error:
        int8_graph(convert(model(), RGB), PixelRange(1), IMAGES, gate_of(wrong))
    message = str(error.value)
    assert message.startswith("no int8 model agrees with Keras (0 of 3 layers float: changed clear predictions ")
    assert "; 3 of 3 layers float: " in message and message.endswith("use --precision fp16, or --quantization-aware 3")
    assert "\n" not in message


def test_unknown_float_layer_is_an_error() -> None:
    with pytest.raises(UsageError, match="the model has no layer 'conv_9'; its layers are conv_1, conv_3, gemm_6"):
        int8_graph(convert(model(), RGB), PixelRange(1), IMAGES, gate_of(np.eye(4)[[0] * 60]), float_layers=("conv_9",))
