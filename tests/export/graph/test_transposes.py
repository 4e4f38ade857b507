"""Transposes around activations cancel, and recurrent layers are unrolled only while they are traced."""

import keras
import numpy as np
import pytest
from keras import layers

from digits_edge.export.graph.convert import convert
from digits_edge.export.graph.folding import scale_input
from digits_edge.export.graph.tracing import MAX_STEPS
from digits_edge.runtime.errors import ModelError
from digits_edge.runtime.model.image_input import ImageInput

from .running import run_graph

RGB = ImageInput(24, 24, 3)


def convolutions(*activations: keras.layers.Layer) -> keras.Model:
    keras.utils.set_random_seed(2)
    image = keras.Input((24, 24, 3))
    x = image
    for activation in activations:
        x = activation(layers.Conv2D(6, 3, strides=2, bias_initializer="random_normal")(x))
    return keras.Model(image, layers.Dense(10)(layers.Flatten()(x)))


@pytest.mark.parametrize("activation", ["gelu", "mish", "hard_silu", "prelu", "gelu_tanh"])
def test_only_the_transpose_of_the_image_remains(activation: str) -> None:
    def layer() -> keras.layers.Layer:
        if activation == "prelu":
            return layers.PReLU(alpha_initializer="random_uniform")
        if activation == "gelu_tanh":
            return layers.Activation(lambda x: keras.activations.gelu(x, approximate=True))
        return layers.Activation(activation)

    model = convolutions(layer(), layer())
    graph = convert(model, RGB)
    assert [node.op_type for node in graph.graph].count("Transpose") == 1
    images = np.random.default_rng(1).normal(size=(5, 24, 24, 3)).astype(np.float32)
    np.testing.assert_allclose(run_graph(graph, images), np.asarray(model(images, training=False)), atol=2e-6)


def test_a_mean_and_deviation_per_channel_are_folded_where_that_is_exact() -> None:
    images = np.random.default_rng(1).integers(0, 256, (5, 24, 24, 3)).astype(np.float32)
    factors, offsets = (0.1, 0.02, 0.5), (-1.0, 0.3, 2.0)
    for padding, remaining in (("valid", set()), ("same", {"Add"})):
        image = keras.Input((24, 24, 3))
        x = layers.Conv2D(6, 3, padding=padding)(image)
        model = keras.Model(image, layers.Dense(10)(layers.GlobalAveragePooling2D()(x)))
        graph = scale_input(convert(model, RGB), factors, offsets)
        assert {node.op_type for node in graph.graph} & {"Mul", "Add"} == remaining
        expected = np.asarray(model(images * np.float32(factors) + np.float32(offsets), training=False))
        np.testing.assert_allclose(run_graph(graph, images), expected, atol=1e-3)


def test_weights_of_recurrent_steps_are_stored_once_and_the_model_is_unchanged() -> None:
    image = keras.Input((28, 28))
    recurrent = layers.LSTM(64)
    model = keras.Model(image, layers.Dense(10)(recurrent(image)))
    graph = convert(model)
    assert not recurrent.unroll
    assert not {"Loop", "Scan", "If"} & {node.op_type for node in graph.graph}


def test_long_recurrent_layer_is_refused_with_a_remedy() -> None:
    image = keras.Input((MAX_STEPS + 1, 8))
    model = keras.Model(image, layers.Dense(10)(layers.GRU(4, name="my_gru")(image)))
    with pytest.raises(ModelError, match=rf"my_gru has {MAX_STEPS + 1} steps, more than {MAX_STEPS}; shorten"):
        convert(model, ImageInput(MAX_STEPS + 1, 8))


def test_images_of_another_size_are_refused() -> None:
    model = keras.Sequential([keras.Input((28, 28)), layers.Flatten(), layers.Dense(10)])
    with pytest.raises(ModelError, match="images of 32×32×3 do not fit the model, which takes 28×28"):
        convert(model, ImageInput(32, 32, 3))
