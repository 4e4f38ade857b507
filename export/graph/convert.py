"""Conversion of a Keras model to a float ONNX graph from scaled images to logits."""

import logging
from typing import Any

import keras
import onnx
import onnx_ir as ir

from digits_edge.export.graph.ends import end_in_logits
from digits_edge.export.graph.simplify import simplify
from digits_edge.export.graph.tracing import traced, unrolled
from digits_edge.export.reasons import reason
from digits_edge.runtime.errors import DigitsEdgeError, ModelError
from digits_edge.runtime.model.image_input import ImageInput

#: The newest opset that tf2onnx 1.17 is tested with.
OPSET = 17
_CONTROL_FLOW = {"Loop", "Scan", "If"}


def convert(keras_model: keras.Model, image: ImageInput | None = None) -> ir.Model:
    """Convert a Keras classifier to a float graph and simplify it.

    Args:
        keras_model: input float32, images in one of the layouts of `digits_edge.export.image_layout`; output logits,
            or their softmax or sigmoid, (N, K).
        image: the images; by default 28×28 grey levels.

    Returns:
        A model with input `image`, float32 (N, H, W) or (N, H, W, 3), in the scale that the Keras model expects, and
        the logits, (N, K), as its only output; (N, 2) if the Keras model has a single output.

    Raises:
        ModelError: the images do not fit the model, it has a layer that cannot be converted, or it does not end in
            logits, a softmax or a sigmoid.
    """
    image = image or ImageInput()
    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)
    try:
        with unrolled(keras_model):
            proto = to_onnx(keras_model, image)
        model = simplify(ir.from_proto(proto), image)
    except (DigitsEdgeError, ModuleNotFoundError):  # tf2onnx is not installed
        raise
    except Exception as error:  # tf2onnx passes unsupported operators through, and onnxruntime rejects the graph
        raise ModelError(f"{keras_model.name} has a layer that cannot be converted: {reason(error)}") from error
    if loops := sorted({node.op_type for node in model.graph} & _CONTROL_FLOW):
        raise ModelError(
            f"{keras_model.name} has a loop ({', '.join(loops)}), which cannot be converted; "
            "replace the layer that contains it, or use a number of steps that is known"
        )
    return end_in_logits(model)


def to_onnx(keras_model: keras.Model, image: ImageInput) -> onnx.ModelProto:
    """Convert a Keras model with tf2onnx, without any simplification."""
    # this import takes seconds and hundreds of megabytes, and only the conversion needs it
    import tf2onnx

    predict = traced(keras_model, image)
    # tf2onnx 1.17 does not support Keras 3 models directly (tensorflow-onnx#2448)
    proto: onnx.ModelProto
    proto, _ = tf2onnx.convert.from_function(predict, input_signature=predict.input_signature, opset=OPSET)
    _set_captured_constants(proto, predict.get_concrete_function())
    return proto


def _set_captured_constants(proto: onnx.ModelProto, function: Any) -> None:
    """Turn the inputs that tf2onnx creates for tensors of Keras layers, such as a mean, into constants; in place."""
    captured = function.captured_inputs
    placeholders = function.inputs[-len(captured) :] if captured else []
    values = {inner.name: outer for inner, outer in zip(placeholders, captured, strict=True)}
    for value in list(proto.graph.input):
        if value.name in values:
            proto.graph.initializer.append(onnx.numpy_helper.from_array(values[value.name].numpy(), value.name))
            proto.graph.input.remove(value)
