"""The architectures by name: `build(name)` returns the untrained `keras.Model`.

Every model takes float32 (N, 28, 28, 1) in 0…1 and answers with logits, (N, 10): the loss is computed from logits,
which stays exact where a softmax saturates, and the exporter adds the (calibrated) softmax. Structures and counts are
those of the documents.
"""

from collections.abc import Callable
from typing import Any

import keras
from keras import layers

from digits_edge.runtime.errors import UsageError

INPUT_SHAPE = (28, 28, 1)


def build(name: str, *, classes: int = 10) -> keras.Model:
    """Build an untrained model by its name.

    Args:
        name: one of `names()`.
        classes: how many classes the last layer tells apart.

    Returns:
        A functional model from float32 (N, 28, 28, 1) to logits, float32 (N, classes).

    Raises:
        UsageError: no model has this name.
    """
    try:
        body = _BODIES[name]
    except KeyError:
        raise UsageError(f"no model is called {name!r}; there are: {', '.join(names())}") from None
    image = keras.Input(INPUT_SHAPE, name="image")
    # float32 also where the training's dtype policy is mixed: softmax and loss need the range
    logits = layers.Dense(classes, dtype="float32", name="logits")(body(image))
    return keras.Model(image, logits, name=name.replace("-", "_"))


def names() -> tuple[str, ...]:
    """The names that `build` knows."""
    return tuple(_BODIES)


def _cnn_small(x: Any) -> Any:
    for filters in (32, 64):
        x = layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
        x = layers.MaxPooling2D(2)(x)
    return layers.Flatten()(x)


def _cnn(x: Any) -> Any:
    for filters in (128, 192):
        x = layers.Conv2D(filters, 3, activation="relu")(x)
        x = layers.BatchNormalization()(x)
        x = layers.MaxPooling2D(2)(x)
        x = layers.Dropout(0.25)(x)
    return _dense_head(x)


def _resnet(x: Any) -> Any:
    for filters in (64, 128):
        x = layers.ReLU()(_convolution(x, filters))
        residual = _convolution(layers.ReLU()(_convolution(x, filters)), filters)
        x = layers.ReLU()(layers.Add()([residual, x]))
        x = layers.MaxPooling2D(2)(x)
        x = layers.Dropout(0.25)(x)
    return _dense_head(x)


def _convolution(x: Any, filters: int) -> Any:
    return layers.BatchNormalization()(layers.Conv2D(filters, 3, padding="same")(x))


def _dense_head(x: Any) -> Any:
    x = layers.Dense(256, activation="relu")(layers.Flatten()(x))
    return layers.Dropout(0.5)(layers.BatchNormalization()(x))


_BODIES: dict[str, Callable[[Any], Any]] = {
    "cnn-small": _cnn_small,
    "cnn": _cnn,
    "resnet": _resnet,
}
