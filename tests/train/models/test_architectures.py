"""Architectures have the structures and parameter counts of the reference documents."""

from typing import Literal

import keras
import numpy as np
import pytest

from digits_edge.runtime.errors import UsageError
from digits_edge.runtime.model.image_input import ImageInput
from digits_edge.train import build, names, structure_of
from digits_edge.train.models.architectures import input_scale

#: Parameter counts in the reference documents.
PARAMETERS = {
    "perceptron": 7_850,
    "mlp": 55_050,
    "mlp-dropout": 118_282,
    "mlp-wide": 669_706,
    "cnn-small": 50_186,
    "cnn": 1_456_586,
    "resnet": 2_055_306,
    "kaggle-cnn": 2_686_858,
    "edge": 108_826,
}
LAYERS = {
    "edge": " ".join(["Conv2D BatchNormalization ReLU"] * 4 + ["Flatten Dense"]),
    "perceptron": "Flatten Dense",
    "mlp": "Flatten Dense Dense Dense",
    "mlp-dropout": "Flatten Dense Dropout Dense Dropout Dense",
    "mlp-wide": "Flatten Dense Dropout Dense Dropout Dense",
    "kaggle-cnn": (
        "Rescaling Conv2D MaxPooling2D BatchNormalization Conv2D Conv2D MaxPooling2D BatchNormalization "
        "Conv2D Conv2D MaxPooling2D BatchNormalization Flatten Dense Dropout Dense Dropout Dense Dense"
    ),
    "cnn-small": "Conv2D MaxPooling2D Conv2D MaxPooling2D Flatten Dense",
    "cnn": (
        "Conv2D BatchNormalization MaxPooling2D Dropout Conv2D BatchNormalization MaxPooling2D Dropout "
        "Flatten Dense BatchNormalization Dropout Dense"
    ),
    "resnet": " ".join(
        2
        * [
            "Conv2D BatchNormalization ReLU Conv2D BatchNormalization ReLU Conv2D BatchNormalization Add ReLU "
            "MaxPooling2D Dropout"
        ]
        + ["Flatten Dense BatchNormalization Dropout Dense"]
    ),
}


@pytest.mark.parametrize("name", names())
def test_parameter_count(name: str) -> None:
    assert build(name).count_params() == PARAMETERS[name]


@pytest.mark.parametrize("name", names())
def test_order_of_layers(name: str) -> None:
    kinds = [type(layer).__name__ for layer in build(name).layers]
    assert " ".join(kinds[1:]) == LAYERS[name]


@pytest.mark.parametrize("name", names())
def test_output_is_ten_logits(name: str) -> None:
    assert build(name)(np.zeros((2, 28, 28, 1), np.float32)).shape == (2, 10)


def test_settings_of_kaggle_cnn() -> None:
    model = build("kaggle-cnn")
    assert sum(int(np.prod(weight.shape)) for weight in model.non_trainable_weights) == 896
    assert input_scale(model) == 255
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert [c.filters for c in convolutions] == [64, 128, 128, 256, 256]
    assert [c.kernel_size for c in convolutions] == [(5, 5)] + 4 * [(3, 3)]
    assert all(c.padding == "same" and c.activation is keras.activations.relu for c in convolutions)
    dense = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    assert [d.activation.__name__ for d in dense] == ["elu", "elu", "elu", "linear"]
    assert all(isinstance(d.kernel_regularizer, keras.regularizers.L2) for d in dense)
    he_normal = [*convolutions, *dense[:3]]
    assert all(isinstance(layer.kernel_initializer, keras.initializers.HeNormal) for layer in he_normal)


def test_structure_can_be_changed() -> None:
    assert structure_of("mlp") == {"units": [64, 64], "dropout": 0.0}
    assert build("mlp", units=[64, 64, 64]).count_params() == 55_050 + 64 * 65
    assert build("cnn", filters=[8, 16], dense_units=32).layers[1].filters == 8


@pytest.mark.parametrize(
    ("name", "structure"),
    [
        ("perceptron", {"units": [3]}),
        ("mlp", {"units": 64}),
        ("mlp", {"units": []}),
        ("mlp", {"dropout": 1.0}),
        ("cnn", {"dense_units": 0}),
        ("cnn", {"filters": [3.5]}),
    ],
)
def test_invalid_settings_of_the_structure_are_named(name: str, structure: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=f"^{name}( has no setting '|: invalid ){next(iter(structure))}"):
        build(name, **structure)


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match="cnn-small"):
        build("cnn-smal")


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize(("height", "width", "channels", "classes"), [(32, 32, 3, 3), (64, 48, 1, 62)])
def test_structures_are_the_same_for_other_images_and_classes(
    name: str, height: int, width: int, channels: Literal[1, 3], classes: int
) -> None:
    model = build(name, classes=classes, image=ImageInput(height, width, channels))
    assert model.input_shape == (None, height, width, channels)
    assert model.output_shape == (None, classes)
    assert " ".join(type(layer).__name__ for layer in model.layers[1:]) == LAYERS[name]


def test_parameter_count_for_photographs() -> None:
    first, second, dense = 32 * (3 * 9 + 1), 64 * (32 * 9 + 1), 3 * (8 * 8 * 64 + 1)
    assert build("cnn-small", classes=3, image=ImageInput(32, 32, 3)).count_params() == first + second + dense


def test_images_that_are_too_small_are_named() -> None:
    with pytest.raises(UsageError, match=r"edge cannot be built with its default structure: .* reduce 9×9×3 pixels"):
        build("edge", image=ImageInput(9, 9, 3))
