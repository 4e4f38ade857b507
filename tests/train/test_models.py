"""The architectures have the documents' structures and parameter counts."""

import numpy as np
import pytest

from digits_edge.runtime.errors import UsageError
from digits_edge.train import build, names

#: SYSTEMS: the documents' own counts.
PARAMETERS = {"cnn-small": 50_186, "cnn": 1_456_586, "resnet": 2_055_306}
LAYERS = {
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
def test_parameters_are_counted_as_in_the_document(name: str) -> None:
    assert build(name).count_params() == PARAMETERS[name]


@pytest.mark.parametrize("name", names())
def test_layers_stand_in_the_documents_order(name: str) -> None:
    kinds = [type(layer).__name__ for layer in build(name).layers]
    assert " ".join(kinds[1:]) == LAYERS[name]


@pytest.mark.parametrize("name", names())
def test_a_model_answers_with_ten_logits(name: str) -> None:
    assert build(name)(np.zeros((2, 28, 28, 1), np.float32)).shape == (2, 10)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match="cnn-small"):
        build("cnn-smal")
