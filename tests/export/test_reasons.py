"""Errors of Keras and the converters are reported with their cause and a remedy, on one line."""

import json
from pathlib import Path
from zipfile import ZipFile

import keras
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import layers

from digits_edge.export import read_source
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


def error_of(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        read_source(path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 700
    return str(caught.value).removeprefix(f"{path} is not a Keras model that can be loaded safely: ")


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("k2_cnn.keras", "passed to Conv2D: {'batch_input_shape'"),
        ("k2_depthwise.h5", "passed to DepthwiseConv2D: {'groups': 1}"),
        ("k2_lstm.h5", "passed to LSTM: {'time_major': False}"),
        ("k2_rescale_aug.h5", "passed to RandomRotation: {'rng_type'"),
    ],
)
def test_file_of_keras_2_names_the_argument_and_the_version(data_folder: Path, name: str, cause: str) -> None:
    folder = data_folder.parent / "cases" / "keras2"
    if not folder.is_dir():
        pytest.skip("the files of Keras 2 are not available")
    error = error_of(folder / name)
    assert cause in error
    assert "from another version of Keras: build the model in Keras 3" in error


@pytest.mark.parametrize("layer", [layers.LSTM(4), layers.Flatten(), layers.BatchNormalization()])
def test_argument_that_keras_3_does_not_know_is_named(tmp_path: Path, layer: layers.Layer) -> None:
    keras.Sequential([keras.Input((28, 28)), layer, layers.Flatten(), layers.Dense(10)]).save(tmp_path / "new.keras")
    with ZipFile(tmp_path / "new.keras") as new, ZipFile(tmp_path / "old.keras", "w") as old:
        for name in new.namelist():
            content = new.read(name)
            if name == "config.json":
                config = json.loads(content)
                config["config"]["layers"][1]["config"]["time_major"] = False
                content = json.dumps(config).encode()
            old.writestr(name, content)
    error = error_of(tmp_path / "old.keras")
    assert f"passed to {type(layer).__name__}: {{'time_major': False}}; the file is from another version" in error


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("nested", [False, True])
def test_custom_layer_is_named(tmp_path: Path, suffix: str, nested: bool) -> None:
    inner = keras.Sequential([keras.Input((28, 28, 1)), Scale()]) if nested else Scale()
    model = keras.Sequential([keras.Input((28, 28, 1)), inner, layers.Flatten(), layers.Dense(10)])
    model.save(tmp_path / f"m{suffix}")
    error = error_of(tmp_path / f"m{suffix}")
    assert "Scale'" in error and "config" not in error
    assert error.endswith("replace the custom object by standard Keras layers, or register it and export from Python")


def test_lambda_layer_has_a_remedy_that_executes_no_code(tmp_path: Path) -> None:
    stack = [keras.Input((28, 28, 1)), layers.Lambda(lambda x: x * 2), layers.Flatten(), layers.Dense(10)]
    keras.Sequential(stack).save(tmp_path / "m.keras")
    error = error_of(tmp_path / "m.keras")
    assert "replace the Lambda layer by standard Keras layers" in error
    assert "safe_mode" not in error


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04broken"])
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_damaged_file_has_a_remedy(tmp_path: Path, content: bytes, suffix: str) -> None:
    (tmp_path / f"m{suffix}").write_bytes(content)
    assert "it is damaged or not a Keras file: save the model again" in error_of(tmp_path / f"m{suffix}")


def conversion_error(*body: layers.Layer, armed: Scale | None = None) -> str:
    model = keras.Sequential([keras.Input((28, 28)), *body, layers.Flatten(), layers.Dense(10)])
    if armed is not None:
        armed.fails = True
    with pytest.raises(ModelError, match="cannot be converted: ") as caught:
        convert(model)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_conversion_names_the_operator_or_the_layers_own_error() -> None:
    assert "No Op registered for Erfc" in (error := conversion_error(layers.Dense(4, activation="gelu")))
    assert "ONNX has no such operator: replace the layer" in error
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
