"""Keras → a float ONNX graph from scaled images to logits."""

import logging
from typing import Any

import keras
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from digits_edge.export.graph.rewriting import bypass, first_input
from digits_edge.export.graph.simplify import simplify
from digits_edge.runtime.errors import ModelError

#: The newest that tf2onnx 1.17 is tested with.
OPSET = 17
_CONTROL_FLOW = {"Loop", "Scan", "If"}
_NO_CLASSIFIER_ENDS = ("Sigmoid", "HardSigmoid", "Tanh", "LogSoftmax", "Relu", "Clip")


def convert(keras_model: keras.Model) -> ir.Model:
    """Convert a Keras classifier to a float graph and simplify it.

    Args:
        keras_model: takes float32 (N, 784), (N, 28, 28) or (N, 28, 28, 1) and answers with logits or a softmax of
            them, (N, C).

    Returns:
        A model with input `image`, float32 (N, 28, 28), scaled as Keras wants it, and one output, the logits, (N, C).

    Raises:
        ModelError: the model has a layer that cannot be converted, or ends in something that is no softmax.
    """
    # both cost seconds and hundreds of megabytes, and only the conversion needs them
    import tensorflow as tf
    import tf2onnx

    sizes = keras_model.inputs[0].shape[1:]

    # tf2onnx 1.17 cannot take a Keras 3 model itself (tensorflow-onnx#2448)
    @tf.function(input_signature=[tf.TensorSpec([None, 28, 28], tf.float32, name="image")])  # type: ignore[untyped-decorator]
    def answer(image: Any) -> Any:
        return keras_model(tf.reshape(image, [-1, *sizes]), training=False)

    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)
    try:
        proto, _ = tf2onnx.convert.from_function(answer, input_signature=answer.input_signature, opset=OPSET)
        model = simplify(ir.from_proto(proto))
    except Exception as error:  # tf2onnx hands over what it could not convert, and onnxruntime stumbles over it
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(f"{keras_model.name} has a layer that cannot be converted: {reason[:200]}") from error
    if loops := sorted({node.op_type for node in model.graph} & _CONTROL_FLOW):
        raise ModelError(
            f"{keras_model.name} has a recurrent layer ({', '.join(loops)}); only feed-forward ones are taken"
        )
    return _without_softmax(model)


def _without_softmax(model: ir.Model) -> ir.Model:
    """Let the graph answer with logits; in place."""
    last = model.graph.outputs[0].producer()
    if last is None or last.op_type in _NO_CLASSIFIER_ENDS:
        end = "nothing" if last is None else last.op_type
        raise ModelError(f"a classifier that ends in {end} has no logits; it must end in a softmax or in logits")
    if last.op_type == "Softmax":
        bypass(last, first_input(last))
        RemoveUnusedNodesPass()(model)
    return model
