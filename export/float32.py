"""Keras models in float32: `in_float32` rebuilds a model that computes in another floating-point type."""

from collections.abc import Callable
from typing import Any

import keras

from digits_edge.export.layers import every_layer
from digits_edge.runtime.errors import ModelError

_FLOAT32 = "float32"


def in_float32(model: keras.Model, custom_objects: dict[str, Any] | None = None) -> keras.Model:
    """Rebuild a model whose layers compute in float16, bfloat16 or float64, so that all compute in float32.

    A mixed dtype policy is a setting of the training: the weights are stored in float32, and ONNX models compute in the
    precision of the export. Without this, graphs would have operators with inputs of two types.

    Args:
        model: a Keras model, sequential or functional; not modified.
        custom_objects: the user's classes and functions in it by name; None if only layers of Keras are trusted.

    Returns:
        The model itself if it computes in float32, else a copy with the same weights.

    Raises:
        ModelError: Keras has quantized a layer, or a custom layer computes in another type whatever its configuration.

    Example:
        >>> layers = [keras.Input((28, 28)), keras.layers.Flatten(), keras.layers.Dense(10, dtype="mixed_float16")]
        >>> model = keras.Sequential(layers)
        >>> model.layers[-1].compute_dtype, in_float32(model).layers[-1].compute_dtype
        ('float16', 'float32')
        >>> copy = in_float32(model)
        >>> in_float32(copy) is copy
        True
    """
    for layer in every_layer(model):
        if getattr(layer, "quantization_mode", None):
            raise ModelError(
                f"the layer {layer.name} was quantized by Keras; export the model from before model.quantize()"
            )
    config = {**keras.saving.serialize_keras_object(model), "compile_config": None}
    converted = _converted(config)
    if converted == config:
        return model
    copy: keras.Model = keras.saving.deserialize_keras_object(
        converted, custom_objects=custom_objects, safe_mode=custom_objects is None
    )
    copy.set_weights(model.get_weights())
    for layer in every_layer(copy):
        if hasattr(layer, "finalize_state"):  # Normalization computes with values derived from its weights
            layer.finalize_state()
        if keras.backend.is_float_dtype(layer.compute_dtype) and layer.compute_dtype != _FLOAT32:
            raise ModelError(
                f"the layer {layer.name} sets the type {layer.compute_dtype} in its code; use that of its dtype policy"
            )
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
