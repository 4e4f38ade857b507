"""Conversion of a Keras sequence model to a graph of lines of any width: `fixed_width_graph`, `finished`.

The network is converted, simplified and quantized for lines of one width. Nothing in it depends on the width, so then
the axis is made free.
"""

import logging

import keras
import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from digits_edge.export.graph.contract import QuantizedPixels, end_in_probabilities, take_centred_pixels, take_pixels
from digits_edge.export.graph.convert import to_onnx
from digits_edge.export.graph.folding import scale_input
from digits_edge.export.graph.rewriting import (
    constant,
    first_input,
    integers,
    name_by_position,
    parameters,
    set_parameters,
)
from digits_edge.export.graph.simplify import simplify
from digits_edge.export.reasons import reason
from digits_edge.runtime.errors import DigitsEdgeError, ModelError
from digits_edge.runtime.model.image_input import ImageInput
from digits_edge.runtime.model.model_file import BATCH_AXIS, COLUMN_AXIS, COLUMNS_NAME, WIDTH_AXIS

#: Width of the lines with which a model is converted and quantized, in pixels.
WIDTH = 256


def fixed_width_graph(model: keras.Model, height: int, temperature: float) -> ir.Model:
    """Convert a sequence model for lines of `WIDTH` pixels.

    Args:
        model: Keras model from float32 (N, H, W, 1) to logits (N, T, K + 1), which ends in a convolution of one row.
        height: height of the lines, H.
        temperature: divisor of the logits.

    Returns:
        A float graph from float32 (N, H, `WIDTH`) to logits, (N, S·(K + 1), 1, T / S), with S columns side by side.

    Raises:
        ModelError: a layer cannot be converted, or the model ends in another layer.
    """
    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)
    image = ImageInput(height, WIDTH)
    try:
        fixed = keras.models.clone_model(model, input_tensors=keras.Input((height, WIDTH, 1), name="image"))
        fixed.set_weights(model.get_weights())
        graph = simplify(ir.from_proto(to_onnx(fixed, image)), image)
    except (DigitsEdgeError, ModuleNotFoundError):  # tf2onnx is not installed
        raise
    except Exception as error:  # tf2onnx passes unsupported operators through, and onnxruntime rejects the graph
        raise ModelError(f"{model.name} has a layer that cannot be converted: {reason(error)}") from error
    last = [node for node in graph.graph if node.op_type == "Conv"][-1]
    logits = last.outputs[0]
    after = list(graph.graph)[list(graph.graph).index(last) + 1 :]
    if any(node.op_type not in ("Transpose", "Reshape") for node in after) or _size(logits, 2) != 1:
        raise ModelError(f"{model.name} does not end in a convolution of one row; change its last layer")
    graph.graph.outputs[:] = [logits]
    graph.graph.remove(after, safe=False)
    RemoveUnusedNodesPass()(graph)
    weights, bias = parameters(last)
    factor = np.float32(1 / temperature)
    set_parameters(last, weights * factor, bias * factor)
    name_by_position(graph)
    return graph


def from_scaled_pixels(graph: ir.Model) -> ir.Model:
    """Accept uint8 pixels in a float graph whose white is 1; in place."""
    return take_pixels(scale_input(graph, 1 / 255))


def from_centred_pixels(graph: ir.Model, pixels: QuantizedPixels) -> ir.Model:
    """Accept the images of `QuantizedPixels.centred` in a float graph; in place."""
    return take_centred_pixels(graph, pixels)


def finished(graph: ir.Model, classes: int) -> ir.Model:
    """Free the width, and end in the probabilities of columns; in place.

    Args:
        graph: graph from uint8 (N, H, `WIDTH`) to logits, float32 (N, S·(K + 1), 1, T / S).
        classes: K + 1.

    Returns:
        The same graph from uint8 (N, H, W) to `columns`, float32 (N, T, K + 1).
    """
    _free_padding(graph)
    _free_input(graph)
    logits = graph.graph.outputs[0]
    axis = constant(graph.graph, "row_axis", np.array([2], np.int64))
    squeeze = ir.node("Squeeze", [logits, axis])
    transpose = ir.node("Transpose", [squeeze.outputs[0]], {"perm": [0, 2, 1]})
    shape = constant(graph.graph, "columns_shape", np.array([0, -1, classes], np.int64))
    reshape = ir.node("Reshape", [transpose.outputs[0], shape])
    for node in (squeeze, transpose, reshape):
        graph.graph.append(node)
    result = reshape.outputs[0]
    result.shape, result.dtype = ir.Shape([BATCH_AXIS, COLUMN_AXIS, classes]), ir.DataType.FLOAT
    graph.graph.outputs[:] = [result]
    RemoveUnusedNodesPass()(graph)
    return end_in_probabilities(graph, name=COLUMNS_NAME)


def _free_padding(graph: ir.Model) -> None:
    """Pad strided convolutions so that any width gives the columns of the next even width.

    For an even width the converter pads less, and an odd width would lose its last column. The additional padding is
    not used with even widths.
    """
    for node in graph.graph:
        if node.op_type != "Conv" or (strides := integers(node, "strides"))[-1:] != (2,):
            continue
        top, left, bottom, _ = integers(node, "pads")
        kernel = integers(node, "kernel_shape")[-1]
        node.attributes["pads"] = ir.AttrInt64s("pads", [top, left, bottom, kernel - strides[-1] + 1 - left])


def _free_input(graph: ir.Model) -> None:
    """Replace the Reshape to one channel, which has a fixed width, by an Unsqueeze."""
    for node in list(graph.graph):
        if node.op_type == "Reshape":
            axis = constant(graph.graph, "channel_axis", np.array([1], np.int64))
            unsqueeze = ir.node("Unsqueeze", [first_input(node), axis])
            if (dtype := node.outputs[0].dtype) is not None:
                unsqueeze.outputs[0].dtype = dtype
            graph.graph.insert_before(node, unsqueeze)
            node.outputs[0].replace_all_uses_with(unsqueeze.outputs[0])
            graph.graph.remove(node, safe=True)
    image = graph.graph.inputs[0]
    height = _size(image, 1)
    for node in graph.graph:
        for value in node.outputs:
            value.shape = None
    image.shape = ir.Shape([BATCH_AXIS, height, WIDTH_AXIS])


def _size(value: ir.Value, axis: int) -> int:
    assert value.shape is not None
    size = value.shape[axis]
    assert isinstance(size, int)
    return size
