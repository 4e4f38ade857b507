"""SavedModel folders are loaded through their serving signature."""

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

tf = pytest.importorskip("tensorflow", reason="needs the extra [export]")

from digits_edge.export import read_source  # noqa: E402
from digits_edge.export.loading import load_keras  # noqa: E402
from digits_edge.runtime.errors import ModelError, UsageError  # noqa: E402
from digits_edge.runtime.model.pixel_range import PixelRange  # noqa: E402

IMAGES = np.random.default_rng(2).uniform(0, 1, (2, 28, 28, 1)).astype(np.float32)


def classifier(**options: str) -> keras.Model:
    image = keras.Input((28, 28, 1), name="image")
    x = layers.Flatten()(layers.Conv2D(2, 3, strides=4, **options)(image))
    return keras.Model(image, layers.Dense(10, activation="softmax", name="digit")(x))


def as_keras_2(model: keras.Model, folder: Path, **outputs: str) -> None:
    """Write a folder as `model.save(folder)` did: only the signature `serving_default`, with names of layers."""
    module = tf.Module()
    module.kept = model.variables
    names = outputs or {"digit": "digit"}
    ends = keras.Model(model.input, {key: model.get_layer(name).output for key, name in names.items()})

    @tf.function(input_signature=[tf.TensorSpec([None, *model.input_shape[1:]], name="image")])
    def serve(image: tf.Tensor) -> dict[str, tf.Tensor]:
        return ends(image, training=False)

    tf.saved_model.save(module, str(folder), signatures={"serving_default": serve})


@pytest.mark.parametrize("write", [as_keras_2, lambda model, folder: model.export(folder, verbose=False)])
def test_folder_predicts_like_the_model(tmp_path: Path, write: object) -> None:
    model = classifier()
    write(model, tmp_path / "mine")
    source = read_source(tmp_path / "mine", pixel_range=PixelRange(1))
    assert (source.name, source.parameters) == ("mine", model.count_params())
    np.testing.assert_allclose(load_keras(tmp_path / "mine")(IMAGES), model(IMAGES), rtol=1e-5)


def test_one_of_several_outputs_is_chosen(tmp_path: Path) -> None:
    model = classifier()
    as_keras_2(model, tmp_path / "mine", digit="digit", pixels=model.layers[-2].name)
    with pytest.raises(ModelError, match="mine: 2 outputs, digit, pixels; choose one with --keras-output NAME"):
        load_keras(tmp_path / "mine")
    with pytest.raises(UsageError, match="mine: no output other; pass --keras-output with one of: digit, pixels"):
        load_keras(tmp_path / "mine", output="other")
    np.testing.assert_allclose(load_keras(tmp_path / "mine", output="digit")(IMAGES), model(IMAGES), rtol=1e-5)


def save_function(folder: Path, function: object, *inputs: str) -> None:
    signature = [tf.TensorSpec([None, 28, 28, 1], name=name) for name in inputs]
    traced = tf.function(function, input_signature=signature)
    tf.saved_model.save(tf.Module(), str(folder), signatures={"serving_default": traced})


def test_several_inputs_are_named(tmp_path: Path) -> None:
    save_function(tmp_path / "two", lambda a, b: {"y": a + b}, "a", "b")
    with pytest.raises(ModelError, match="two: 2 inputs, a, b; export takes models with one image as input"):
        load_keras(tmp_path / "two")


def test_graph_that_reads_files_is_not_loaded(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("1")

    def read(image: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": image * tf.strings.to_number(tf.io.read_file(str(tmp_path / "secret")))}

    save_function(tmp_path / "reads", read, "image")
    with pytest.raises(ModelError, match=r"reads: the SavedModel has the operator ReadFile, .* it is not loaded"):
        load_keras(tmp_path / "reads")


def test_folder_that_computes_in_16_bits_is_refused(tmp_path: Path) -> None:
    classifier(dtype="mixed_float16").export(tmp_path / "half", verbose=False)
    with pytest.raises(ModelError, match=r"half: the SavedModel computes in 16 bits; save the model as \.keras"):
        load_keras(tmp_path / "half")


@pytest.mark.parametrize("content", [b"", b"no graph"])
def test_damaged_folder_is_an_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "saved_model.pb").write_bytes(content)
    with pytest.raises(ModelError, match=r"saved_model\.pb is damaged; write the SavedModel again"):
        load_keras(tmp_path)


def test_folder_without_a_signature_has_a_remedy(tmp_path: Path) -> None:
    tf.saved_model.save(tf.Module(), str(tmp_path / "empty"))
    with pytest.raises(ModelError, match=r"empty: the SavedModel has no serving signature; save .* model\.export"):
        load_keras(tmp_path / "empty")
