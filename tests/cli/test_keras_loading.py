"""Keras models with code of the user and several outputs in `export` and `verify`."""

from pathlib import Path

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="needs the extra [export]")
pytest.importorskip("tf2onnx", reason="needs the extra [export]")

MODULE = """
import keras

class Scale(keras.layers.Layer):
    def call(self, inputs):
        return inputs * 0.5
"""


@pytest.fixture
def two_outputs(drawn: Path) -> Path:
    """A classifier with the user's layer in `users_layer.py`, fitted by least squares, and a second output."""
    Path("users_layer.py").write_text(MODULE)
    names: dict = {"__name__": "users_layer"}
    exec(MODULE, names)
    image = keras.Input((28, 28))
    pixels = keras.layers.Flatten()(names["Scale"](name="half")(image))
    ends = {"digit": keras.layers.Dense(10)(pixels), "odd": keras.layers.Dense(2)(pixels)}
    model = keras.Model(image, ends)
    with np.load(drawn) as data:
        pixels, labels = data["x_train"].reshape(-1, 784) / 510, data["y_train"]
    kernel = pixels.T @ np.linalg.solve(pixels @ pixels.T + 0.05 * np.eye(len(pixels)), 9.0 * np.eye(10)[labels])
    model.layers[-2].set_weights([kernel.astype(np.float32), np.zeros(10, np.float32)])
    model.save("m.keras")
    return Path("m.keras")


def test_model_is_exported_and_verified_with_the_users_layer(run, drawn, two_outputs):
    command = ("export", two_outputs, "--input-scale", "1", "--data", drawn, "--precision", "fp32", "-o", "m.onnx")
    without = run(*command)
    assert without.code == 3
    assert without.error.startswith("m.keras: the layer half needs the class Scale, which is not part of Keras; ")
    several = run(*command, "--custom-objects", "users_layer.py:Scale")
    assert (several.code, several.error) == (3, "m.keras: 2 outputs, digit, odd; choose one with --keras-output NAME")
    options = ("--custom-objects", "users_layer.py:Scale", "--keras-output", "digit")
    assert run(*command, *options).code == 0
    assert run("verify", "m.onnx", "--keras", two_outputs).code == 3
    verified = run("verify", "m.onnx", "--keras", two_outputs, *options, "--json")
    assert verified.code == 0
    assert verified.objects[0]["parity"]["changed"] == 0
    assert run("verify", "m.onnx", "--keras", two_outputs, *options[:2], "--keras-output", "odds").code == 2
