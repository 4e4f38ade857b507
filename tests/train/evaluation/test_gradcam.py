"""Grad-CAM on models whose decision is known, and the layer table of Keras models."""

import keras
import numpy as np
import pytest
from keras import layers

from digits_edge.runtime.errors import UsageError
from digits_edge.runtime.model.image_input import ImageInput
from digits_edge.train.evaluation.gradcam import grad_cam, has_maps
from digits_edge.train.models.architectures import build, names
from digits_edge.train.models.layers import keras_layers

#: Kernel of a convolution that copies its input.
KERNEL = np.zeros((3, 3, 1, 1), np.float32)
KERNEL[1, 1] = 1


def brightness_model(end: str) -> keras.Model:
    """A model whose logits are the mean of the image and its negative, with the given kind of softmax."""
    image = keras.Input((28, 28, 1))
    x = layers.Conv2D(1, 3, padding="same", activation="relu", name="copy")(image)
    x = layers.GlobalAveragePooling2D()(x)
    out = layers.Dense(2, activation="softmax" if end == "dense" else None, name="end")(x)
    if end == "layer":
        out = layers.Softmax()(out)
    if end == "activation":
        out = layers.Activation("softmax")(out)
    model = keras.Model(image, out)
    model.get_layer("copy").set_weights([KERNEL, np.zeros(1)])
    model.get_layer("end").set_weights([np.array([[900.0, -900.0]]), np.zeros(2)])
    return model


@pytest.fixture
def corner():
    """An image with a bright square in the upper left, float32 (1, 28, 28, 1)."""
    image = np.zeros((1, 28, 28, 1), np.float32)
    image[0, 3:9, 4:10] = 1
    return image


@pytest.mark.parametrize("end", ["logits", "dense", "layer", "activation"])
def test_map_marks_the_deciding_region_with_any_kind_of_softmax(corner, end):
    """The softmax is saturated, so the gradient of the probability is zero."""
    model = brightness_model(end)
    before = [weight.copy() for weight in model.get_weights()]
    maps = grad_cam(model, corner, np.array([0]))
    assert (maps.shape, maps.dtype, maps.max()) == ((1, 28, 28), np.float32, 1.0)
    np.testing.assert_allclose(maps[0], corner[0, ..., 0], atol=1e-5)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_map_of_a_class_without_support_is_zero(corner):
    assert not grad_cam(brightness_model("logits"), corner, np.array([1])).any()


def test_maps_of_a_batch_equal_those_of_single_images(corner):
    model = build("cnn-small")
    other = np.flip(corner, axis=(1, 2)).copy()
    together = grad_cam(model, np.concatenate([corner, other]), np.array([3, 7]))
    single = [grad_cam(model, one, np.array([label]))[0] for one, label in ((corner, 3), (other, 7))]
    np.testing.assert_allclose(together, single, atol=1e-4)


@pytest.mark.parametrize("name", names())
def test_models_with_a_convolution_have_maps(name):
    model = build(name)
    assert has_maps(model) == ("cnn" in name or name in ("resnet", "edge"))


def test_residual_block_is_explained_after_the_addition():
    """The shortcut bypasses the last convolution, so its maps alone do not explain the prediction."""
    model = build("resnet", filters=(4, 8), dense_units=8)
    maps = grad_cam(model, np.random.default_rng(0).random((2, 28, 28, 1), np.float32), np.array([1, 2]))
    assert maps.shape == (2, 28, 28) and np.isfinite(maps).all()


def test_maps_have_the_size_of_the_images():
    model = build("cnn-small", classes=3, image=ImageInput(32, 48, 3))
    inputs = np.zeros((2, 32, 48, 3), np.float32)
    inputs[:, 20:, 30:] = 1
    maps = grad_cam(model, inputs, np.array([1, 2]), (32, 48))
    assert maps.shape == (2, 32, 48)
    assert maps.max() in (0, 1)


def test_nested_model_is_one_layer(corner):
    inner = keras.Sequential([keras.Input((28, 28, 1)), layers.Conv2D(2, 3, activation="relu")])
    model = keras.Sequential([keras.Input((28, 28, 1)), inner, layers.Flatten(), layers.Dense(3)])
    assert grad_cam(model, corner, np.array([0])).shape == (1, 28, 28)
    assert [layer.kind for layer in keras_layers(model)] == ["Input", "Sequential", "Flatten", "Dense"]


def test_model_without_convolution_is_refused():
    with pytest.raises(UsageError, match=r"needs a convolution.*occlusion"):
        grad_cam(build("perceptron"), np.zeros((1, 28, 28, 1), np.float32), np.array([0]))


def test_error_names_a_backend_without_gradients(corner, monkeypatch):
    model = brightness_model("logits")
    monkeypatch.setattr(keras.backend, "backend", lambda: "openvino")
    with pytest.raises(UsageError, match="openvino"):
        grad_cam(model, corner, np.array([0]))


@pytest.mark.parametrize("name", names())
def test_layer_table_counts_every_parameter_once(name):
    model = build(name)
    found = keras_layers(model)
    assert sum(layer.parameters for layer in found) == model.count_params()
    known = {layer.name for layer in found}
    assert len(known) == len(found)
    assert all(set(layer.inputs) <= known for layer in found)
    assert sum(len(layer.inputs) == 2 for layer in found) == (2 if name == "resnet" else 0)


def test_layer_that_is_called_twice_is_listed_twice():
    image = keras.Input((28, 28, 1))
    flat, twice = layers.Flatten()(image), layers.Dense(784, name="twice")
    model = keras.Model(image, layers.Dense(10)(twice(twice(flat))))
    assert [layer.name for layer in keras_layers(model)][2:4] == ["twice", "twice (2)"]
