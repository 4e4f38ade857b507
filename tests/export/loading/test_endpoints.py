"""Models with several inputs or outputs, or with dicts and lists of them."""

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from digits_edge.export.loading import load_keras
from digits_edge.runtime.errors import ModelError, UsageError

IMAGES = np.random.default_rng(2).uniform(0, 1, (2, 4, 4)).astype(np.float32)


def model_of(kind: str) -> keras.Model:
    image = keras.Input((4, 4), name="image")
    pixels = layers.Flatten()(image)
    digit, odd = layers.Dense(10, name="digit")(pixels), layers.Dense(2, name="odd")(pixels)
    meta = keras.Input((3,), name="meta")
    both = layers.Dense(10)(layers.Concatenate()([pixels, meta]))
    kinds = {
        "dict input": ({"image": image}, digit),
        "list input": ([image], digit),
        "dict output": (image, {"class": digit}),
        "list output": (image, [digit]),
        "two outputs": (image, [odd, digit]),
        "two in a dict": (image, {"odd": odd, "digit": digit}),
        "parts of one layer": (image, keras.ops.split(digit, 2, axis=1)),
        "two inputs": ([image, meta], both),
        "dict of inputs": ({"image": image, "meta": meta}, both),
    }
    return keras.Model(*kinds[kind])


@pytest.mark.parametrize("kind", ["dict input", "list input", "dict output", "list output"])
def test_single_tensor_in_a_structure_is_used(tmp_path: Path, kind: str) -> None:
    model = model_of(kind)
    model.save(tmp_path / "m.keras")
    loaded = load_keras(tmp_path / "m.keras")
    given = {"image": IMAGES} if kind == "dict input" else IMAGES
    (expected,) = keras.tree.flatten(model(given))
    assert isinstance(loaded.input, keras.KerasTensor)
    np.testing.assert_allclose(loaded(IMAGES), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("kind", "names", "chosen"),
    [
        ("two outputs", "odd, digit", "digit"),
        ("two in a dict", "odd, digit", "digit"),
        ("parts of one layer", r"split\w*:0, split\w*:1", None),
    ],
)
def test_one_of_several_outputs_is_chosen_by_name(tmp_path: Path, kind: str, names: str, chosen: str | None) -> None:
    model = model_of(kind)
    model.save(tmp_path / "m.keras")
    message = rf"m\.keras: 2 outputs, ({names}); choose one with --keras-output NAME"
    with pytest.raises(ModelError, match=message) as caught:
        load_keras(tmp_path / "m.keras")
    name = chosen or str(caught.value).partition(", ")[2].partition(";")[0].split(", ")[1]
    outputs = model(IMAGES)
    expected = outputs["digit"] if isinstance(outputs, dict) else outputs[1]
    np.testing.assert_allclose(load_keras(tmp_path / "m.keras", output=name)(IMAGES), expected, rtol=1e-5)
    with pytest.raises(UsageError, match=rf"m\.keras: no output other; pass --keras-output with one of: {names}"):
        load_keras(tmp_path / "m.keras", output="other")


def test_layers_of_other_outputs_are_dropped(tmp_path: Path) -> None:
    model_of("two outputs").save(tmp_path / "m.keras")
    assert load_keras(tmp_path / "m.keras", output="odd").count_params() == 16 * 2 + 2


def test_name_of_the_only_output_is_accepted(tmp_path: Path) -> None:
    keras.Sequential([keras.Input((4, 4)), layers.Flatten(), layers.Dense(3, name="end")]).save(tmp_path / "m.keras")
    assert load_keras(tmp_path / "m.keras", output="end").output_shape == (None, 3)


@pytest.mark.parametrize("kind", ["two inputs", "dict of inputs"])
def test_several_inputs_are_named(tmp_path: Path, kind: str) -> None:
    model_of(kind).save(tmp_path / "m.keras")
    message = r"m\.keras: 2 inputs, image \(None, 4, 4\), meta \(None, 3\); export takes models with one image"
    with pytest.raises(ModelError, match=message):
        load_keras(tmp_path / "m.keras")
