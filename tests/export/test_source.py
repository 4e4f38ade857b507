"""Supported Keras files and run folders, and the errors for others."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from digits_edge.export import read_source
from digits_edge.runtime.datasets import Dataset
from digits_edge.runtime.errors import ModelError, UsageError
from digits_edge.runtime.model.pixel_range import PixelRange


def saved(path: Path, *stack: Any, shape: tuple[int, ...] = (28, 28, 1)) -> Path:
    keras.Sequential([keras.Input(shape), *stack]).save(path)
    return path


def test_h5_file_is_read(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.h5", layers.Flatten(), layers.Dense(10))
    assert read_source(path, pixel_range=PixelRange(1)).labels == tuple("0123456789")


def test_rescaling_layer_sets_input_scale_255(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.keras", layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(10))
    assert read_source(path).pixel_range.scale == 255


def test_rescaling_layer_in_a_nested_model_is_found(tmp_path: Path) -> None:
    nested = keras.Sequential([keras.Input((28, 28, 1)), layers.Rescaling(1 / 127.5, offset=-1)])
    assert read_source(saved(tmp_path / "m.keras", nested, layers.Flatten(), layers.Dense(10))).pixel_range.scale == 255


def test_rescaling_of_scaled_images_sets_input_scale_1(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.keras", layers.Rescaling(2.0, offset=-1), layers.Flatten(), layers.Dense(10))
    assert read_source(path).pixel_range.scale == 1


def run_folder(folder: Path) -> Path:
    folder.mkdir()
    saved(folder / "model.keras", layers.Flatten(), layers.Dense(10))
    recipe = {"recipe": {"model": "tiny"}, "data": {"name": "mnist", "input_scale": 1}}
    (folder / "recipe.json").write_text(json.dumps(recipe))
    return folder


def test_images_for_the_calibration_are_read_from_a_run_folder(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "run")
    assert read_source(run).calibration is None
    np.savez_compressed(run / "calibration.npz", images=np.ones((2, 28, 28), np.uint8), labels=np.ones(2, np.uint8))
    found = read_source(run).calibration
    assert found is not None and (found.images.shape, found.labels.tolist()) == ((2, 28, 28), [1, 1])


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04", "no labels", "floats", "too many labels"])
def test_damaged_images_for_the_calibration_are_named(tmp_path: Path, damage: bytes | str) -> None:
    path = run_folder(tmp_path / "run") / "calibration.npz"
    images, labels = np.ones((2, 28, 28), np.uint8), np.ones(2, np.uint8)
    if isinstance(damage, bytes):
        path.write_bytes(damage)
    elif damage == "no labels":
        np.savez(path, images=images)
    else:
        few = damage == "too many labels"
        np.savez(path, images=images if few else images / 2, labels=np.ones(3, np.uint8) if few else labels)
    with pytest.raises(ModelError, match=r"calibration\.npz .*; train again, or remove the file"):
        read_source(path.parent)


@pytest.mark.parametrize("labels", [["a"] * 10, [*"abcdefghi", ""]])
def test_labels_must_be_unique_and_not_empty(tmp_path: Path, labels: list[str]) -> None:
    path = saved(tmp_path / "m.keras", layers.Flatten(), layers.Dense(10))
    with pytest.raises(UsageError, match="empty or repeated"):
        read_source(path, pixel_range=PixelRange(1), labels=labels)


def test_unknown_input_scale_is_an_error(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.keras", layers.Flatten(), layers.Dense(10))
    with pytest.raises(UsageError, match="--input-scale"):
        read_source(path)


@pytest.mark.parametrize("shape", [(32, 32, 4), (783,), (28,), (2000, 2000, 1)])
def test_unsupported_input_shape_is_in_the_error(tmp_path: Path, shape: tuple[int, ...]) -> None:
    pooling = layers.GlobalAveragePooling2D() if len(shape) == 3 else layers.Flatten()  # few weights
    path = saved(tmp_path / "m.keras", pooling, layers.Dense(10), shape=shape)
    with pytest.raises(ModelError, match=str(shape[0])):
        read_source(path, pixel_range=PixelRange(1))


def test_single_output_stands_for_two_classes(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.keras", layers.Flatten(), layers.Dense(1, activation="sigmoid"))
    source = read_source(path, pixel_range=PixelRange(1), labels=["even", "odd"])
    images = np.random.default_rng(0).integers(0, 256, (5, 28, 28), np.uint8)
    probabilities = source.probabilities(source.outputs(images))
    np.testing.assert_allclose(probabilities[:, 1:], source.outputs(images), atol=1e-6)
    assert np.allclose(probabilities.sum(axis=1), 1)


def test_other_number_of_classes_needs_labels(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.keras", layers.Flatten(), layers.Dense(3))
    with pytest.raises(UsageError, match="--labels"):
        read_source(path, pixel_range=PixelRange(1))
    assert read_source(path, pixel_range=PixelRange(1), labels=["a", "b", "c"]).labels == ("a", "b", "c")


def test_code_in_a_file_is_not_executed(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.keras", layers.Lambda(lambda x: x * 2), layers.Flatten(), layers.Dense(10))
    with pytest.raises(ModelError, match="code of the Lambda layer"):
        read_source(path, pixel_range=PixelRange(1))


@pytest.mark.parametrize("content", [b"", b"not a model", b"PK\x03\x04broken"])
def test_error_for_a_damaged_file_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.keras"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"broken\.keras") as caught:
        read_source(path, pixel_range=PixelRange(1))
    assert "\n" not in str(caught.value)


def test_missing_file_and_folder_without_recipe_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        read_source(tmp_path / "none.keras")
    with pytest.raises(ModelError, match="not a run folder"):
        read_source(tmp_path)


@pytest.mark.parametrize("name", ["m.weights.h5", "old.h5"])
def test_file_with_weights_only_is_named(tmp_path: Path, name: str) -> None:
    model = keras.Sequential([keras.Input((28, 28, 1)), layers.Flatten(), layers.Dense(10)])
    model.save_weights(tmp_path / "m.weights.h5")
    (tmp_path / "m.weights.h5").rename(tmp_path / name)
    with pytest.raises(ModelError, match=r"it has weights but no layers: .*model.save\('FILE.keras'\)"):
        read_source(tmp_path / name, pixel_range=PixelRange(1))


@pytest.mark.parametrize("shape", [(784,), (28, 28), (28, 28, 1)])
def test_model_without_a_fixed_batch_and_with_any_image_shape_is_read(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = saved(tmp_path / "m.keras", layers.Flatten(), layers.Dense(10), shape=shape)
    assert read_source(path, pixel_range=PixelRange(1)).labels == tuple("0123456789")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_an_error(tmp_path: Path, value: float) -> None:
    model = keras.Sequential([keras.Input((28, 28, 1)), layers.Flatten(), layers.Dense(10)])
    model.layers[-1].bias.assign([value] + [0] * 9)
    model.save(tmp_path / "m.keras")
    with pytest.raises(ModelError, match="values that are not finite; check its weights"):
        read_source(tmp_path / "m.keras", pixel_range=PixelRange(1)).outputs(np.zeros((2, 28, 28), np.uint8))


def test_run_folder_contains_scale_labels_and_data(tmp_path: Path) -> None:
    saved(tmp_path / "model.keras", layers.Flatten(), layers.Dense(10))
    recipe = {
        "recipe": {"model": "mine"},
        "data": {"name": "mnist", "sha256": "ab", "input_scale": 1, "classes": list("abcdefghij")},
    }
    (tmp_path / "recipe.json").write_text(json.dumps(recipe))
    for path in (tmp_path, tmp_path / "model.keras"):
        source = read_source(path)
        about = (source.name, source.pixel_range.scale, source.labels[0], source.data["name"])
        assert about == ("mine", 1, "a", "mnist")
        with pytest.raises(UsageError, match="input scale 1, not 255"):
            read_source(path, pixel_range=PixelRange(255))
    for content in ("{}", "no JSON", json.dumps({"recipe": "pancakes", "data": []})):
        (tmp_path / "recipe.json").write_text(content)
        with pytest.raises(UsageError, match="--input-scale 1"):
            read_source(tmp_path / "model.keras")
        with pytest.raises(ModelError, match="not a run folder"):
            read_source(tmp_path)


def test_softmax_of_recovered_logits_equals_the_probabilities(trained: Callable[[str], Path], drawn: Dataset) -> None:
    source = read_source(trained("softmax-rows"), pixel_range=PixelRange(1))
    logits, probabilities = source.logits(drawn.images[:50]), source.outputs(drawn.images[:50])
    recovered = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(recovered, probabilities, atol=1e-6)
