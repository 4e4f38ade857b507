"""Files that are not complete models have an error that says what to save."""

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from digits_edge.export import read_source
from digits_edge.export.loading import load_keras
from digits_edge.runtime.errors import ModelError
from digits_edge.runtime.model.pixel_range import PixelRange


def classifier() -> keras.Model:
    return keras.Sequential([keras.Input((28, 28, 1)), layers.Flatten(), layers.Dense(10)])


@pytest.mark.parametrize("name", ["m.weights.h5", "weights.h5", "model.keras"])
def test_weights_alone_are_named(tmp_path: Path, name: str) -> None:
    classifier().save_weights(tmp_path / "m.weights.h5")
    path = (tmp_path / "m.weights.h5").rename(tmp_path / name)
    with pytest.raises(ModelError, match=r"it has weights but no layers: build .*model\.save\('FILE\.keras'\)"):
        load_keras(path)


@pytest.mark.parametrize("name", ["model.ckpt.index", "model.data-00000-of-00001", "checkpoint"])
def test_checkpoint_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(ModelError, match="it has weights but no layers"):
        load_keras(tmp_path / name)


def test_configuration_alone_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text(classifier().to_json())
    with pytest.raises(ModelError, match=r"it has layers but no weights: save .*model\.save\('FILE\.keras'\)"):
        load_keras(tmp_path / "model.json")


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04broken", b"\x89HDF\r\n\x1a\n"])
@pytest.mark.parametrize("suffix", [".keras", ".h5", ".tflite"])
def test_damaged_file_has_a_remedy(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"m{suffix}"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="it is damaged or not a Keras file: save the model again") as caught:
        load_keras(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def test_folder_of_an_unzipped_model_is_read(tmp_path: Path) -> None:
    model = classifier()
    model.save(tmp_path / "mine", zipped=False)
    source = read_source(tmp_path / "mine", pixel_range=PixelRange(1))
    images = np.full((2, 28, 28), 255, np.uint8)
    np.testing.assert_allclose(source.outputs(images), model(np.ones((2, 28, 28, 1), np.float32)), rtol=1e-5)


def test_extension_does_not_decide(tmp_path: Path) -> None:
    model = classifier()
    model.save(tmp_path / "m.keras")
    loaded = load_keras((tmp_path / "m.keras").rename(tmp_path / "m.zip"))
    np.testing.assert_array_equal(loaded.get_weights()[0], model.get_weights()[0])
