"""Ends of classifiers: softmax, its logarithm, logits, several sigmoids, and one output for two classes."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from digits_edge.export.graph.contract import end_in_probabilities
from digits_edge.export.graph.convert import convert
from digits_edge.export.graph.ends import class_count, final_activation, output_kind, to_logits
from digits_edge.export.temperature import sigmoid, softmax
from digits_edge.runtime.errors import ModelError

from .running import run_graph

IMAGES = np.random.default_rng(0).random((20, 28, 28), np.float32)


class Temperature(layers.Layer):
    """A custom layer that ends in a softmax."""

    def call(self, inputs: Any) -> Any:
        return keras.ops.softmax(inputs / 2)


def model(columns: int, end: Callable[[Any], Any]) -> keras.Model:
    keras.utils.set_random_seed(1)
    image = keras.Input((28, 28))
    return keras.Model(image, end(layers.Dense(columns)(layers.Flatten()(image))))


def nested_softmax(x: Any) -> Any:
    inner = keras.Sequential([keras.Input(x.shape[1:]), layers.Dense(x.shape[1], activation="softmax")])
    return layers.Activation("linear")(inner(x))


#: End → columns, end, activation, kind of output.
ENDS: dict[str, tuple[int, Callable[[Any], Any], str, str]] = {
    "logits": (10, lambda x: x, "linear", "softmax"),
    "softmax": (10, layers.Softmax(), "softmax", "softmax"),
    "softmax operation": (10, keras.ops.softmax, "softmax", "softmax"),
    "softmax of a custom layer": (10, Temperature(), "softmax", "softmax"),
    "softmax of a nested model": (10, nested_softmax, "softmax", "softmax"),
    "softmax, reshaped": (10, lambda x: layers.Reshape((10,))(layers.Softmax()(x)), "softmax", "softmax"),
    "log_softmax": (10, layers.Activation("log_softmax"), "log_softmax", "softmax"),
    "ten sigmoids": (10, layers.Activation("sigmoid"), "sigmoid", "sigmoid"),
    "two sigmoids": (2, layers.Activation("sigmoid"), "sigmoid", "sigmoid"),
    "one sigmoid": (1, layers.Activation("sigmoid"), "sigmoid", "softmax"),
    "one logit": (1, lambda x: x, "linear", "softmax"),
    "one logit, not of a Gemm": (4, lambda x: keras.ops.mean(x, axis=1, keepdims=True), "linear", "softmax"),
}


@pytest.mark.parametrize("end", ENDS)
def test_graph_and_keras_have_the_same_probabilities(end: str) -> None:
    columns, layer, activation, kind = ENDS[end]
    network = model(columns, layer)
    outputs = np.asarray(network(IMAGES, training=False))
    assert final_activation(network) == activation
    assert output_kind(activation, outputs.shape[1]) == kind
    logits = to_logits(outputs, activation)
    expected = sigmoid(logits) if kind == "sigmoid" else softmax(logits)
    assert expected.shape == (20, class_count(outputs.shape[1]))
    if activation in ("softmax", "sigmoid"):
        np.testing.assert_allclose(expected[:, -1], outputs[:, -1], atol=1e-6)
    graph = end_in_probabilities(convert(network), kind)
    np.testing.assert_allclose(run_graph(graph, IMAGES), expected, atol=1e-6)
    assert [node.op_type for node in graph.graph][-1] == ("Sigmoid" if kind == "sigmoid" else "Softmax")


def test_saturated_probabilities_have_finite_logits() -> None:
    for outputs in ([[0.0]], [[1.0]], [[1e-30]], [[np.nextafter(np.float32(1), np.float32(0))]]):
        logits = to_logits(np.array(outputs, np.float32), "sigmoid")
        assert np.isfinite(logits).all()
        np.testing.assert_allclose(softmax(logits)[:, 1:], outputs, atol=1e-7)


@pytest.mark.parametrize("activation", ["relu", "tanh", "hard_sigmoid", "softplus"])
def test_other_ends_are_refused_with_a_remedy(activation: str) -> None:
    with pytest.raises(
        ModelError, match=r"ends in \w+; a classifier must end in logits, .*: change its last layer"
    ) as e:
        convert(model(10, layers.Activation(activation)))
    assert "\n" not in str(e.value)
