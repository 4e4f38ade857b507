"""A convolution that covers its whole input becomes a Gemm with the same outputs."""

import keras
import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digits_edge.export.graph.convert import convert
from digits_edge.runtime.model.image_input import ImageInput

from .running import run_graph


def network(*, rows: int, columns: int, kernel: tuple[int, int], activation: str | None, padding: str = "valid"):
    image = keras.Input((rows, columns, 1))
    x = keras.layers.Conv2D(5, 3, padding="same", activation="relu")(image)
    x = keras.layers.Conv2D(4, kernel, padding=padding, activation=activation)(x)
    return keras.Model(image, keras.layers.Dense(3)(keras.layers.Flatten()(x)))


def operators(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph if node.op_type in ("Conv", "Gemm")]


@settings(max_examples=8)
@given(rows=st.integers(8, 12), columns=st.integers(8, 12), activation=st.sampled_from([None, "relu", "elu"]))
def test_outputs_are_those_of_keras(rows: int, columns: int, activation: str | None) -> None:
    model = network(rows=rows, columns=columns, kernel=(rows, columns), activation=activation)
    images = np.random.default_rng(1).random((3, rows, columns), np.float32)
    converted = convert(model, ImageInput(rows, columns))
    assert operators(converted) == ["Conv", "Conv" if activation == "elu" else "Gemm", "Gemm"]
    np.testing.assert_allclose(run_graph(converted, images), model(images[..., np.newaxis]), atol=1e-4)


@pytest.mark.parametrize(("kernel", "padding"), [((8, 7), "valid"), ((8, 8), "same")])
def test_other_convolutions_are_unchanged(kernel: tuple[int, int], padding: str) -> None:
    model = network(rows=8, columns=8, kernel=kernel, activation="relu", padding=padding)
    assert operators(convert(model, ImageInput(8, 8))) == ["Conv", "Conv", "Gemm"]
