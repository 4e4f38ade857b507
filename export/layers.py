"""The layers of a Keras model: `every_layer`."""

from collections.abc import Iterator
from typing import Any


def every_layer(model: Any) -> Iterator[Any]:
    """Yield all layers of a Keras model, including those of nested models.

    Example:
        >>> import keras
        >>> inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="inside")])
        >>> [layer.name for layer in every_layer(keras.Sequential([inner]))][-1]
        'inside'
    """
    for layer in model.layers:
        yield layer
        if hasattr(layer, "layers"):
            yield from every_layer(layer)
