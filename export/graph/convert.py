"""Conversion of a Keras model to a float ONNX graph from scaled images to logits."""

import logging
from typing import Any

import keras
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from digits_edge.export.graph.rewriting import bypass, first_input
from digits_edge.export.graph.simplify import simplify
from digits_edge.export.reasons import reason
from digits_edge.runtime.errors import ModelError

#: The newest opset that tf2onnx 1.17 is tested with.
OPSET = 17
_CONTROL_FLOW = {"Loop", "Scan", "If"}
#: Final operators whose input or output cannot be taken as logits.
_UNSUPPORTED_ENDS = ("Sigmoid", "HardSigmoid", "Tanh", "LogSoftmax", "Relu", "Clip")


def convert(keras_model: keras.Model) -> ir.Model:
    """Convert a Keras classifier to a float graph and simplify it.

    Args:
        keras_model: input float32 (N, 784), (N, 28, 28) or (N, 28, 28, 1); output logits or their softmax, (N, C).

    Returns:
        A model with input `image`, float32 (N, 28, 28), in the scale that the Keras model expects, and the logits,
        (N, C), as its only output.

    Raises:
        ModelError: the model has a layer that cannot be converted, or does not end in logits or a softmax.
    """
    # both imports take seconds and hundreds of megabytes, and only the conversion needs them
    import tensorflow as tf
    import tf2onnx

    sizes = keras_model.inputs[0].shape[1:]

    # tf2onnx 1.17 does not support Keras 3 models directly (tensorflow-onnx#2448)
    @tf.function(input_signature=[tf.TensorSpec([None, 28, 28], tf.float32, name="image")])  # type: ignore[untyped-decorator]
    def predict(image: Any) -> Any:
        return keras_model(tf.reshape(image, [-1, *sizes]), training=False)

    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)
    try:
        proto, _ = tf2onnx.convert.from_function(predict, input_signature=predict.input_signature, opset=OPSET)
        model = simplify(ir.from_proto(proto))
    except Exception as error:  # tf2onnx passes unsupported operators through, and onnxruntime rejects the graph
        raise ModelError(f"{keras_model.name} has a layer that cannot be converted: {reason(error)}") from error
    if loops := sorted({node.op_type for node in model.graph} & _CONTROL_FLOW):
        raise ModelError(
            f"{keras_model.name} has a recurrent layer ({', '.join(loops)}); only feed-forward models are supported"
        )
    return _without_softmax(model)


def _without_softmax(model: ir.Model) -> ir.Model:
    """Remove a final softmax, so that the graph's output is the logits; in place."""
    last = model.graph.outputs[0].producer()
    if last is None or last.op_type in _UNSUPPORTED_ENDS:
        end = "no operator" if last is None else last.op_type
        raise ModelError(f"the model ends in {end}; a classifier must end in logits or a softmax")
    if last.op_type == "Softmax":
        bypass(last, first_input(last))
        RemoveUnusedNodesPass()(model)
    return model
