"""Keras models in float32: `in_float32` rebuilds a model that computes in another floating-point type."""

from collections.abc import Callable
from typing import Any

import keras

_FLOAT32 = "float32"


def in_float32(model: keras.Model) -> keras.Model:
    """Rebuild a model whose layers compute in float16, bfloat16 or float64, so that all compute in float32.

    A mixed dtype policy is a setting of the training: the weights are stored in float32, and ONNX models compute in the
    precision of the export. Without this, graphs would have operators with inputs of two types.

    Args:
        model: a Keras model; not modified.

    Returns:
        The model itself if it computes in float32, else a copy with the same weights.

    Example:
        >>> layers = [keras.Input((28, 28)), keras.layers.Flatten(), keras.layers.Dense(10, dtype="mixed_float16")]
        >>> model = keras.Sequential(layers)
        >>> model.layers[-1].compute_dtype, in_float32(model).layers[-1].compute_dtype
        ('float16', 'float32')
        >>> copy = in_float32(model)
        >>> in_float32(copy) is copy
        True
    """
    config = model.get_config()
    converted = _converted(config)
    if converted == config:
        return model
    copy: keras.Model = type(model).from_config(converted)
    copy.set_weights(model.get_weights())
    for layer in copy._flatten_layers():
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()  # it computes with a copy of its weights
    return copy


def _converted(config: Any) -> Any:
    """A configuration in which every dtype and dtype policy for floating-point numbers is float32."""
    if isinstance(config, dict):
        if config.get("class_name") == "DTypePolicy":
            return {**config, "config": {**config["config"], "name": _FLOAT32}}
        return {key: _dtype(value) if key == "dtype" else _converted(value) for key, value in config.items()}
    if isinstance(config, list | tuple):
        return type(config)(_converted(value) for value in config)
    return config


def _dtype(value: Any) -> Any:
    """A dtype as it is stored: its name, or the configuration of a policy."""
    if not isinstance(value, str):
        return _converted(value)
    is_float: Callable[[str], bool] = keras.backend.is_float_dtype
    return _FLOAT32 if value.startswith("mixed_") or is_float(value) else value
