"""Functions of TensorFlow in functional models of Keras 2, such as `image / 255.0`: the layer `TFOp`."""

import operator
from functools import reduce
from typing import Any

import keras

from digits_edge.runtime.errors import ModelError

#: The name under which Keras finds the layer.
TF_OP = "digits_edge>TFOp"
#: Modules and functions of TensorFlow that only compute: no files, no Python.
_MODULES = ("math.", "nn.")
_FUNCTIONS = frozenset(
    {
        "cast",
        "clip_by_value",
        "compat.v1.gather",
        "compat.v1.transpose",
        "concat",
        "convert_to_tensor",
        "expand_dims",
        "gather",
        "identity",
        "image.central_crop",
        "image.convert_image_dtype",
        "image.grayscale_to_rgb",
        "image.per_image_standardization",
        "image.resize",
        "image.rgb_to_grayscale",
        "linalg.matmul",
        "ones_like",
        "pad",
        "repeat",
        "reshape",
        "reverse",
        "shape",
        "split",
        "squeeze",
        "stack",
        "tile",
        "transpose",
        "unstack",
        "zeros_like",
    }
)
_OPERATORS = {"__operators__.add": operator.add, "__operators__.eq": operator.eq, "__operators__.ne": operator.ne}


@keras.saving.register_keras_serializable("digits_edge", "TFOp")
class TFOp(keras.layers.Layer):  # type: ignore[misc]
    """A call of a function of TensorFlow that Keras 2 recorded as a layer.

    Args:
        function: the name of the function in `tensorflow`, or `__operators__.` and that of an operator of Python.
        options: the arguments of every Keras layer.

    Raises:
        ModelError: the function is not one that only computes.

    Example:
        >>> TFOp("math.truediv")(keras.ops.ones((2, 3)), y=2.0).numpy().tolist()
        [[0.5, 0.5, 0.5], [0.5, 0.5, 0.5]]
    """

    def __init__(self, function: str, **options: Any) -> None:
        super().__init__(**options)
        self._name_of_function = function
        self._function = _function(function)

    def call(self, *tensors: Any, first: Any = None, **arguments: Any) -> Any:
        """Call the function.

        Args:
            tensors: its first argument, a tensor or a list of them.
            first: its first argument if that is a constant.
            arguments: its other arguments.
        """
        return self._function(*(tensors if first is None else (first,)), **arguments)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {**super().get_config(), "function": self._name_of_function}


def _function(name: str) -> Any:
    if name == "__operators__.getitem":
        return _slice
    if name in _OPERATORS:
        return lambda x, y, **_: _OPERATORS[name](x, y)
    if (name in _FUNCTIONS or name.startswith(_MODULES)) and "._" not in name:
        import tensorflow as tf

        found = reduce(lambda module, part: getattr(module, part, None), name.split("."), tf)
        if callable(found):
            return found
    raise ModelError(f"the model has a layer for the function tf.{name}, which export does not support")


def _slice(tensor: Any, slice_spec: Any = ()) -> Any:
    """Index a tensor as recorded by Keras 2."""
    specs = slice_spec if isinstance(slice_spec, list | tuple) else (slice_spec,)
    return tensor[tuple(map(_index, specs))]


def _index(spec: Any) -> Any:
    if isinstance(spec, dict):
        return Ellipsis if spec.get("class_name") else slice(spec.get("start"), spec.get("stop"), spec.get("step"))
    return spec
