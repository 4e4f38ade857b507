"""Models of Keras 2 predict as they did, from `.h5` and `.keras` files."""

import json
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import h5py
import keras
import numpy as np
import pytest
from keras import layers

from digits_edge.export.loading import load_keras
from digits_edge.export.loading.keras2 import translated, without_unused_arguments
from digits_edge.export.loading.tf_op import TFOp
from digits_edge.runtime.errors import ModelError
from tests.export.loading.keras2_files import save_as_keras_2

ROWS, IMAGE = (7, 8), (8, 8, 1)


def sequential(shape: tuple[int, ...], *stack: layers.Layer) -> keras.Model:
    return keras.Sequential([keras.Input(shape), *stack, layers.Flatten(), layers.Dense(3)])


def convolutions() -> keras.Model:
    """Layers with other arguments in Keras 2, two of a class, and a random one with a variable in Keras 3."""
    return sequential(
        IMAGE,
        layers.Conv2D(3, 3, kernel_regularizer="l2"),
        layers.Dropout(0.1),
        layers.BatchNormalization(),
        layers.LeakyReLU(0.3),
        layers.DepthwiseConv2D(2),
        layers.SeparableConv2D(2, 2),
        layers.Conv2D(2, 2),
        layers.PReLU(),
        layers.Dropout(0.1),
    )


def recurrent() -> keras.Model:
    return sequential(
        ROWS,
        layers.Bidirectional(layers.LSTM(3, return_sequences=True)),
        layers.TimeDistributed(layers.Dense(4)),
        layers.GRU(3),
    )


def preprocessing() -> keras.Model:
    given = layers.Normalization(axis=None)
    given.adapt(np.arange(64.0).reshape(1, *IMAGE))
    augmentation = [layers.RandomFlip(), layers.RandomRotation(0.1), layers.RandomZoom(0.1)]
    return sequential(IMAGE, given, *augmentation, layers.Resizing(6, 6))


def functional() -> keras.Model:
    """Nested models, a second tensor as keyword, two outputs of a layer, a function of TensorFlow, and slashes."""
    image = keras.Input(ROWS)
    body = keras.Sequential([keras.Input(ROWS), layers.Dense(8)], name="body")
    inner = keras.Input(ROWS)
    branch = keras.Model(inner, layers.Concatenate()([inner, layers.Dense(2, name="block__dense")(inner)]))
    x = layers.Rescaling(0.5, name="tf.math.multiply")(body(image))
    x = layers.Add(name="block__add")([x, layers.MultiHeadAttention(2, 3)(x, body(x))])
    return keras.Model(image, layers.Dense(3)(layers.Flatten()(branch(x))))


MODELS: tuple[Callable[[], keras.Model], ...] = (convolutions, recurrent, preprocessing, functional)


def with_random_weights(model: keras.Model) -> keras.Model:
    """Give every weight another value, so that no two can be exchanged."""
    rng = np.random.default_rng(5)
    model.set_weights(
        [
            weight if weight.dtype.kind == "i" or not weight.shape else rng.uniform(0.1, 0.9, weight.shape)
            for weight in model.get_weights()
        ]
    )
    return model


@pytest.mark.parametrize("build", MODELS, ids=lambda build: build.__name__)
@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_model_of_keras_2_predicts_as_before(tmp_path: Path, build: Callable[[], keras.Model], suffix: str) -> None:
    model = with_random_weights(build())
    path = save_as_keras_2(model, tmp_path / f"old{suffix}")
    images = np.random.default_rng(1).uniform(0, 1, (3, *model.input_shape[1:])).astype(np.float32)
    expected = model(images, training=False)
    np.testing.assert_allclose(load_keras(path)(images, training=False), expected, rtol=1e-4, atol=1e-5)


def test_weights_of_the_first_keras_files_are_found(tmp_path: Path) -> None:
    model = with_random_weights(sequential(IMAGE, layers.Dense(4), layers.Dense(4)))
    path = save_as_keras_2(model, tmp_path / "old.keras", weights="_layer_checkpoint_dependencies")
    for before, after in zip(model.get_weights(), load_keras(path).get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


def test_missing_weights_are_counted(tmp_path: Path) -> None:
    model = sequential(IMAGE, layers.Dense(4))
    path = save_as_keras_2(model, tmp_path / "old.keras", weights="elsewhere")
    with pytest.raises(ModelError, match=r"old\.keras: the file has 0 of the 4 weights of the model"):
        load_keras(path)


@pytest.mark.parametrize("kind", ["link", "external", "bomb"])
def test_weights_that_are_not_in_the_file_are_not_read(tmp_path: Path, kind: str) -> None:
    path = save_as_keras_2(sequential(IMAGE, layers.Dense(4)), tmp_path / "old.keras")
    with ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    weights = tmp_path / "w.h5"
    weights.write_bytes(content.pop("model.weights.h5"))
    with h5py.File(weights, "r+") as file:
        variables = file["layers/dense/vars"]
        del variables["0"]
        if kind == "link":
            variables["0"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/secret")
        elif kind == "external":
            variables.create_dataset("0", (1, 4), "f4", external=[(str(tmp_path / "other"), 0, 16)])
        else:
            variables.create_dataset("0", (1_000_000, 100), "f4", chunks=(1000, 100), compression="gzip")
    with ZipFile(path, "w") as archive:
        for name, each in content.items():
            archive.writestr(name, each)
        archive.write(weights, "model.weights.h5")
    with pytest.raises(ModelError, match=r"old\.keras: its weights 0 (are not in the file|unpack to 1\d+ numbers)"):
        load_keras(path)


@pytest.mark.parametrize("name", ["k2_cnn.keras", "k2_depthwise.h5", "k2_lstm.h5", "k2_rescale_aug.h5", "savedmodel"])
def test_real_file_of_keras_2_is_loaded(data_folder: Path, name: str) -> None:
    folder = data_folder.parent / "cases" / "keras2"
    if not folder.is_dir():
        pytest.skip("the files of Keras 2 are not available")
    model = load_keras(folder / name)
    probabilities = np.asarray(model(np.zeros((2, *model.input_shape[1:]), np.float32)))
    assert probabilities.shape == (2, 10)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


def test_argument_with_an_effect_is_named(tmp_path: Path) -> None:
    path = save_as_keras_2(sequential(ROWS, layers.LSTM(3)), tmp_path / "old.h5")
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        config["config"]["layers"][1]["config"]["time_major"] = True
        file.attrs["model_config"] = json.dumps(config)
    with pytest.raises(ModelError, match=r"passed to LSTM: \{'time_major': True\}; the file is from another version"):
        load_keras(path)


def test_layer_that_keras_3_does_not_have_has_a_remedy(tmp_path: Path) -> None:
    path = save_as_keras_2(sequential(IMAGE, layers.Conv2D(2, 3, name="local")), tmp_path / "old.h5")
    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = file.attrs["model_config"].replace('"Conv2D"', '"LocallyConnected2D"')
    with pytest.raises(ModelError, match=r"layer local has the class LocallyConnected2D.*model\.export\('FOLDER'\)"):
        load_keras(path)


def test_hdf5_content_in_a_keras_file_is_read(tmp_path: Path) -> None:
    model = sequential(IMAGE, layers.Dense(4))
    path = save_as_keras_2(model, tmp_path / "old.h5").rename(tmp_path / "old.keras")
    np.testing.assert_array_equal(load_keras(path).get_weights()[0], model.get_weights()[0])


def test_oldest_sequential_models_have_the_shape_in_their_first_layer() -> None:
    dense = {"class_name": "Dense", "config": {"name": "d", "units": 3, "batch_input_shape": [None, 5]}}
    config = translated({"class_name": "Sequential", "config": [dense]})
    assert keras.saving.deserialize_keras_object(config).input_shape == (None, 5)


@pytest.mark.parametrize(
    ("old", "argument"),
    [
        ({"class_name": "LeakyReLU", "config": {"alpha": 0.4}}, {"negative_slope": 0.4}),
        ({"class_name": "ThresholdedReLU", "config": {"theta": 0.4}}, {"threshold": 0.4}),
        ({"class_name": "RandomHeight", "config": {"factor": 0.1, "interpolation": "bilinear", "name": "h"}}, {}),
        ({"class_name": "SyncBatchNormalization", "config": {"axis": [3], "epsilon": 0.1}}, {"epsilon": 0.1}),
    ],
)
def test_layers_and_arguments_that_keras_3_does_not_have_are_replaced(old: dict, argument: dict) -> None:
    new = translated(old)
    assert argument.items() <= new["config"].items()
    layer = keras.saving.deserialize_keras_object(new)
    assert argument.items() <= layer.get_config().items()


def test_configuration_of_a_custom_layer_is_unchanged() -> None:
    custom = {"class_name": "Mine", "config": {"groups": 1, "kernel_initializer": "zeros"}, "registered_name": "a>Mine"}
    assert translated(custom, {"Mine"}) == custom == translated(custom, {"a>Mine"})


def test_axes_of_a_layer_in_h5_files_are_read(tmp_path: Path) -> None:
    """Keras 3.15 ignores them: `axis=(1, 2)` in a `.h5` file becomes the last axis."""
    model = keras.Sequential([keras.Input((4, 3)), layers.Softmax(axis=(1, 2)), layers.Flatten(), layers.Dense(2)])
    model.save(tmp_path / "m.h5")
    images = np.arange(12, dtype=np.float32).reshape(1, 4, 3)
    np.testing.assert_allclose(load_keras(tmp_path / "m.h5")(images), model(images), rtol=1e-6)


def test_unused_argument_of_a_newer_keras_3_is_dropped(tmp_path: Path) -> None:
    model = sequential(IMAGE, layers.Dense(4))
    model.save(tmp_path / "m.keras")
    with ZipFile(tmp_path / "m.keras") as old, ZipFile(tmp_path / "new.keras", "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name).replace(b'"units": 4', b'"units": 4, "invented_later": null'))
    np.testing.assert_array_equal(load_keras(tmp_path / "new.keras").get_weights()[0], model.get_weights()[0])
    used = {"class_name": "Dense", "config": {"invented_later": 1}}
    assert without_unused_arguments(used) == used


def test_functions_of_tensorflow_are_called_and_others_refused() -> None:
    image = keras.ops.reshape(keras.ops.arange(24, dtype="float32"), (2, 3, 4))
    np.testing.assert_array_equal(TFOp("math.subtract")(first=1.0, y=image), 1 - image)
    np.testing.assert_array_equal(TFOp("__operators__.add")(image, y=image), 2 * image)
    sliced = TFOp("__operators__.getitem")(image, slice_spec=[{"class_name": "__ellipsis__"}, {"start": 1, "stop": 3}])
    np.testing.assert_array_equal(sliced, image[..., 1:3])
    for name in ("io.read_file", "py_function", "math.__loader__", "nn._x", "math.none", "__operators__.setitem"):
        with pytest.raises(ModelError, match="does not support"):
            TFOp(name)
