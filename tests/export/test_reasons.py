"""Errors of Keras and the converters are reported with their cause and a remedy, on one line."""

import keras
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import layers

from digits_edge.export.graph.convert import convert
from digits_edge.export.reasons import reason
from digits_edge.runtime.errors import ModelError


class Scale(layers.Layer):
    """A layer of the user's program, which export does not know."""

    def call(self, inputs: keras.KerasTensor) -> keras.KerasTensor:
        """Fail after the model is built."""
        if getattr(self, "fails", False):
            raise ValueError("the images need three colours")
        return inputs


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        (
            "Unrecognized keyword arguments passed to LSTM: {'a': 1}",
            "another version of Keras: save the model there with",
        ),
        (
            "Could not interpret activation function identifier: mine",
            "pass the class or function with --custom-objects",
        ),
        ("Layer count mismatch: expected 0 layers, found 1", "call the model on images before saving it as .keras"),
        ("No cast function available.", ".h5 files cannot store bfloat16: save the model as .keras"),
        ("No Op registered for Erfinv with domain_version of 17", "ONNX has no such operator: replace the layer"),
        ("Unable to open file (truncated file: eof = 96)", "damaged or not a Keras file: save the model again"),
    ],
)
def test_known_error_has_a_remedy(text: str, remedy: str) -> None:
    assert reason(ValueError(text)).startswith(text[:20]) and remedy in reason(ValueError(text))


def conversion_error(*body: layers.Layer, armed: Scale | None = None) -> str:
    model = keras.Sequential([keras.Input((28, 28)), *body, layers.Flatten(), layers.Dense(10)])
    if armed is not None:
        armed.fails = True
    with pytest.raises(ModelError, match="cannot be converted: ") as caught:
        convert(model)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_conversion_names_the_layers_own_error() -> None:
    layer = Scale()
    assert "the images need three colours" in conversion_error(layer, armed=layer)


@given(st.lists(st.text(max_size=400), min_size=1, max_size=5))
def test_reason_is_one_printable_line_that_is_not_empty(texts: list[str]) -> None:
    error: Exception | None = None
    for text in reversed(texts):
        outer = KeyError(text) if len(text) % 2 else ValueError(text)
        outer.__cause__ = error
        error = outer
    assert error is not None
    found = reason(error)
    assert found.isprintable() and found.strip() and len(found) < 500


def test_key_of_a_key_error_does_not_hide_the_outer_error() -> None:
    outer = ValueError("the layer Dense has no kernel")
    outer.__cause__ = KeyError("kernel")
    assert reason(outer) == "the layer Dense has no kernel"
    assert reason(KeyError("kernel")) == "KeyError: 'kernel'"
    outer.__cause__.__cause__ = outer  # a circle ends
    assert reason(outer)
