"""What a classifier ends in, and its logits: `final_activation()`, `output_kind()`, `to_logits()`."""

from typing import Any, Literal

import keras
import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes.common import RemoveUnusedNodesPass

from digits_edge.export.graph.rewriting import (
    bypass,
    constant,
    first_input,
    insert_after,
    is_layer,
    parameters,
    set_parameters,
    static_dims,
)
from digits_edge.export.graph.tracing import call
from digits_edge.runtime.errors import ModelError
from digits_edge.runtime.model.model_file import BATCH_AXIS, OutputKind

FinalActivation = Literal["softmax", "log_softmax", "sigmoid", "linear"]

_ACTIVATIONS: dict[str, FinalActivation] = {
    "Softmax": "softmax",
    "LogSoftmax": "log_softmax",
    "Sigmoid": "sigmoid",
}
#: TensorFlow operators after the activation that do not change the numbers.
_PASSING = ("Identity", "Reshape", "Squeeze", "ExpandDims", "Cast", "StopGradient", "EnsureShape")
_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
_SHAPING = ("Reshape", "Identity", "Flatten", "Squeeze", "Unsqueeze")
_SCALING = ("Mul", "Div")
#: Final operators whose input or output cannot be taken as logits.
_UNSUPPORTED_ENDS = ("HardSigmoid", "Tanh", "Relu", "Clip", "ArgMax", "Softplus", "Exp")
#: The largest logit of a sigmoid's output: float32 has no number between 1 - 6e-8 and 1.
_MAX_PROBABILITY = 1 - 2.0**-24


def final_activation(keras_model: keras.Model) -> FinalActivation:
    """The activation that a Keras model ends in.

    The model is traced, so the end is also found in nested, subclassed and custom models.

    Args:
        keras_model: a classifier with one input and one output.

    Returns:
        "linear" for any operator other than a softmax, the logarithm of a softmax, or a sigmoid.

    Example:
        >>> layers = [keras.Input((784,)), keras.layers.Dense(10), keras.layers.Softmax()]
        >>> final_activation(keras.Sequential(layers))
        'softmax'
    """
    import tensorflow as tf

    image = keras_model.inputs[0]
    signature = [tf.TensorSpec([None, *image.shape[1:]], image.dtype)]
    function = tf.function(lambda images: call(keras_model, images)).get_concrete_function(*signature)
    operation = _producer(function.outputs[0])
    if operation.type in _CALLS:  # a SavedModel
        from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

        operation = _producer(convert_variables_to_constants_v2(function).outputs[0])
    return _ACTIVATIONS.get(operation.type, "linear")


def _producer(tensor: Any) -> Any:
    """The TensorFlow operation that computes the numbers of a tensor."""
    operation = tensor.op
    while operation.type in _PASSING:
        operation = operation.inputs[0].op
    return operation


def output_kind(activation: FinalActivation, columns: int) -> OutputKind:
    """The kind of probabilities that a model file has for a Keras model.

    Args:
        activation: what the Keras model ends in.
        columns: the number of its outputs; one output stands for two classes.

    Example:
        >>> output_kind("sigmoid", 10), output_kind("sigmoid", 1), output_kind("linear", 10)
        ('sigmoid', 'softmax', 'softmax')
    """
    return "sigmoid" if activation == "sigmoid" and columns > 1 else "softmax"


def class_count(columns: int) -> int:
    """The number of classes of a model with this many outputs: one output tells two classes apart."""
    return max(columns, 2)


def to_logits(outputs: NDArray[np.float32], activation: FinalActivation) -> NDArray[np.float32]:
    """Convert the outputs of a Keras model to logits.

    Args:
        outputs: shape (N, K), or (N, 1) for two classes.
        activation: what the model ends in. The logits of a softmax are known up to a constant for each image, which
            does not change the softmax.

    Returns:
        Shape (N, K), float32; (N, 2) with zeros in the first column if the model has a single output. Their softmax or,
        for several sigmoids, their sigmoid are the model's probabilities.

    Example:
        >>> to_logits(np.array([[0.5]], np.float32), "sigmoid")
        array([[0., 0.]], dtype=float32)
        >>> to_logits(np.array([[1.0, 0.0]], np.float32), "linear")
        array([[1., 0.]], dtype=float32)
    """
    tiny = np.finfo(np.float32).tiny
    if activation == "softmax":
        return np.asarray(np.log(np.maximum(outputs, tiny)), np.float32)
    if activation == "sigmoid":
        probabilities = np.clip(outputs.astype(np.float64), tiny, _MAX_PROBABILITY)
        outputs = (np.log(probabilities) - np.log1p(-probabilities)).astype(np.float32)
    return two_columns(outputs)


def two_columns(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """The logits of two classes from the logit of the second class, (N, 1); others are unchanged.

    Example:
        >>> two_columns(np.array([[3.0]], np.float32))
        array([[0., 3.]], dtype=float32)
    """
    return np.hstack([np.zeros_like(logits), logits]) if logits.shape[1] == 1 else logits


def end_in_logits(model: ir.Model) -> ir.Model:
    """Remove a final softmax or sigmoid, so that the graph's output is logits; in place.

    A single logit becomes two: 0 and the logit.

    Raises:
        ModelError: the model ends in another operator whose results cannot be taken as logits.
    """
    last = _node_before(model.graph.outputs[0], _SHAPING)
    end = "no operator" if last is None else last.op_type
    if (scaled := _node_before(model.graph.outputs[0], (*_SHAPING, *_SCALING))) is not None:
        end = scaled.op_type if scaled.op_type in _UNSUPPORTED_ENDS else end  # a hard sigmoid is a scaled Clip
    if last is None or end in _UNSUPPORTED_ENDS:
        raise ModelError(
            f"the model ends in {end}; a classifier must end in logits, a softmax or a sigmoid: change its last layer"
        )
    if last.op_type in _ACTIVATIONS and _is_over_classes(last, model):
        bypass(last, first_input(last))
        RemoveUnusedNodesPass()(model)
    if static_dims(model.graph.outputs[0]) == [1]:
        _widen(model)
    return model


def _node_before(value: ir.Value, skipped: tuple[str, ...]) -> ir.Node | None:
    """The node that computes a value, without the operators to be skipped."""
    node = value.producer()
    while node is not None and node.op_type in skipped:
        node = next((each.producer() for each in node.inputs if each is not None and each.producer() is not None), None)
    return node


def _is_over_classes(last: ir.Node, model: ir.Model) -> bool:
    """Whether the normalized axis has all classes, and no other axis is longer than 1."""
    return last.op_type == "Sigmoid" or sorted(static_dims(last.outputs[0]))[-1:] == static_dims(model.graph.outputs[0])


def _widen(model: ir.Model) -> None:
    """Two logits, 0 and z, from one: with a column of zeros in the last Gemm, else with a Gemm of weights 0 and 1."""
    logit = model.graph.outputs[0]
    last = logit.producer()
    if last is not None and last.op_type == "Gemm" and is_layer(last):
        weights, bias = parameters(last)
        set_parameters(last, np.hstack([np.zeros_like(weights), weights]), np.concatenate([np.zeros_like(bias), bias]))
        logits = logit
    else:
        zero_and_one = constant(model.graph, "zero_and_one", np.array([[0, 1]], np.float32))
        logits = insert_after(logit, model.graph, "Gemm", [logit, zero_and_one])
    logits.shape = ir.Shape([BATCH_AXIS, 2])
    RemoveUnusedNodesPass()(model)
