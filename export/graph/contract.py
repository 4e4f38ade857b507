"""Input and output of a model file's graph: raw pixels in, probabilities out."""

import numpy as np
import onnx_ir as ir

from digits_edge.export.graph.rewriting import (
    apply_until_still,
    before,
    bypass,
    constant,
    first_input,
    insert_after,
    name_by_position,
)
from digits_edge.runtime.model.model_file import BATCH_AXIS, INPUT_NAME, OUTPUT_NAME


def end_in_probabilities(model: ir.Model) -> ir.Model:
    """Append a softmax to the logits, make it the only output, and assign the final names; in place."""
    logits = model.graph.outputs[0]
    probabilities = insert_after(logits, model.graph, "Softmax", [logits])
    producer = probabilities.producer()
    assert producer is not None
    producer.attributes["axis"] = ir.AttrInt64("axis", -1)
    name_by_position(model)
    probabilities.name = OUTPUT_NAME
    return model


def take_pixels(model: ir.Model) -> ir.Model:
    """Replace the float input by uint8 pixels and a Cast to float; in place."""
    image = model.graph.inputs[0]
    pixels = insert_after(image, model.graph, "Cast", [image])
    producer = pixels.producer()
    assert producer is not None
    producer.attributes["to"] = ir.AttrInt64("to", ir.DataType.FLOAT)
    _as_pixels(image)
    return model


def take_quantized_pixels(model: ir.Model, scale: float) -> ir.Model:
    """Use the raw pixels as the quantized input of an int8 graph, without Cast, Mul or QuantizeLinear; in place.

    Args:
        model: quantized model with float32 input.
        scale: factor from a pixel to the input of the float model; the zero point is 0.

    Returns:
        The same model.
    """
    graph = model.graph
    image = graph.inputs[0]
    scale_value = constant(graph, "pixel_scale", np.array(scale, np.float32))
    zero_point = constant(graph, "pixel_zero_point", np.array(0, np.uint8))
    insert_after(image, graph, "DequantizeLinear", [image, scale_value, zero_point])

    def dequantizes_pixels(node: ir.Node | None) -> bool:
        return node is not None and node.inputs[1] is scale_value

    def move_pixels(node: ir.Node) -> bool:
        """DequantizeLinear, Reshape → Reshape, DequantizeLinear; the same for SpaceToDepth."""
        dequantizing = before(node, "DequantizeLinear") if node.op_type in ("Reshape", "SpaceToDepth") else None
        if dequantizing is None or not dequantizes_pixels(dequantizing):
            return False
        moved = node.outputs[0]
        node.replace_input_with(0, first_input(dequantizing))
        insert_after(moved, graph, "DequantizeLinear", [moved, scale_value, zero_point])
        moved.dtype = ir.DataType.UINT8
        return True

    def dequantize_once(node: ir.Node) -> bool:
        """DequantizeLinear, QuantizeLinear, DequantizeLinear → the first DequantizeLinear."""
        quantizing = before(node, "QuantizeLinear") if node.op_type == "DequantizeLinear" else None
        dequantizing = before(quantizing, "DequantizeLinear")
        if dequantizing is None or not dequantizes_pixels(dequantizing):
            return False
        bypass(node, dequantizing.outputs[0])
        return True

    apply_until_still(model, [move_pixels, dequantize_once])
    _as_pixels(image)
    return model


def _as_pixels(image: ir.Value) -> None:
    image.name, image.dtype, image.shape = INPUT_NAME, ir.DataType.UINT8, ir.Shape([BATCH_AXIS, 28, 28])
