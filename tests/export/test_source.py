"""Which Keras files are taken, and how the others are refused."""

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


def saved(path: Path, *stack: Any, shape: tuple[int, ...] = (28, 28, 1)) -> Path:
    keras.Sequential([keras.Input(shape), *stack]).save(path)
    return path


def test_an_h5_file_of_the_old_kind_is_read(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.h5", layers.Flatten(), layers.Dense(10))
    assert read_source(path, input_scale=1).labels == tuple("0123456789")


def test_a_rescaling_layer_says_that_raw_pixels_are_taken(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.keras", layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(10))
    assert read_source(path).input_scale == 255


def test_a_rescaling_layer_within_another_model_counts_too(tmp_path: Path) -> None:
    within = keras.Sequential([keras.Input((28, 28, 1)), layers.Rescaling(1 / 127.5, offset=-1)])
    assert read_source(saved(tmp_path / "m.keras", within, layers.Flatten(), layers.Dense(10))).input_scale == 255


def test_a_rescaling_of_scaled_images_leaves_their_white_at_one(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.keras", layers.Rescaling(2.0, offset=-1), layers.Flatten(), layers.Dense(10))
    assert read_source(path).input_scale == 1


@pytest.mark.parametrize("labels", [["a"] * 10, [*"abcdefghi", ""]])
def test_labels_must_be_different_names(tmp_path: Path, labels: list[str]) -> None:
    path = saved(tmp_path / "m.keras", layers.Flatten(), layers.Dense(10))
    with pytest.raises(UsageError, match="different"):
        read_source(path, input_scale=1, labels=labels)


def test_an_unknown_scale_must_be_said(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.keras", layers.Flatten(), layers.Dense(10))
    with pytest.raises(UsageError, match="--input-scale"):
        read_source(path)


@pytest.mark.parametrize("shape", [(32, 32, 1), (28, 28, 3), (783,), (28,)])
def test_other_inputs_are_refused_with_their_shape(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = saved(tmp_path / "m.keras", layers.Flatten(), layers.Dense(10), shape=shape)
    with pytest.raises(ModelError, match=str(shape[0])):
        read_source(path, input_scale=1)


def test_an_output_that_is_no_row_of_classes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="at least two"):
        read_source(saved(tmp_path / "m.keras", layers.Flatten(), layers.Dense(1)), input_scale=1)


def test_another_number_of_classes_needs_its_labels(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.keras", layers.Flatten(), layers.Dense(3))
    with pytest.raises(UsageError, match="--labels"):
        read_source(path, input_scale=1)
    assert read_source(path, input_scale=1, labels=["a", "b", "c"]).labels == ("a", "b", "c")


def test_code_in_a_file_never_runs(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.keras", layers.Lambda(lambda x: x * 2), layers.Flatten(), layers.Dense(10))
    with pytest.raises(ModelError, match="safely"):
        read_source(path, input_scale=1)


@pytest.mark.parametrize("content", [b"", b"not a model", b"PK\x03\x04broken"])
def test_a_broken_file_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.keras"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"broken\.keras") as caught:
        read_source(path, input_scale=1)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_that_is_no_run_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        read_source(tmp_path / "none.keras")
    with pytest.raises(ModelError, match="not a run folder"):
        read_source(tmp_path)


def test_a_run_folder_knows_scale_labels_and_data(tmp_path: Path) -> None:
    saved(tmp_path / "model.keras", layers.Flatten(), layers.Dense(10))
    about = {
        "recipe": {"model": "mine"},
        "data": {"name": "mnist", "sha256": "ab", "input_scale": 1, "classes": list("abcdefghij")},
    }
    (tmp_path / "recipe.json").write_text(json.dumps(about))
    source = read_source(tmp_path)
    assert (source.name, source.input_scale, source.labels[0], source.data["name"]) == ("mine", 1, "a", "mnist")
    with pytest.raises(UsageError, match="white as 1, not 255"):
        read_source(tmp_path, input_scale=255)


def test_logits_of_a_softmax_give_its_probabilities_back(trained: Callable[[str], Path], drawn: Dataset) -> None:
    source = read_source(trained("softmax-rows"), input_scale=1)
    logits, answers = source.logits(drawn.images[:50]), source.answers(drawn.images[:50])
    again = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(again, answers, atol=1e-6)
