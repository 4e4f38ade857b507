"""Input and output of a model file's graph: raw pixels in, probabilities out."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from digits_edge.export.graph.folding import scale_input
from digits_edge.export.graph.rewriting import (
    apply_until_still,
    before,
    bypass,
    constant,
    first_input,
    insert_after,
    name_by_position,
    share_initializers,
)
from digits_edge.runtime.model.model_file import INPUT_NAME, OUTPUT_NAME, OutputKind
from digits_edge.runtime.model.pixel_range import PixelRange

#: A rest below this share of a step is a rounding error.
_NO_REST = 1e-6
#: Operators that only move pixels.
_MOVING = ("Reshape", "Transpose", "SpaceToDepth")


def end_in_probabilities(model: ir.Model, output: OutputKind = "softmax", *, name: str = OUTPUT_NAME) -> ir.Model:
    """Append a softmax or a sigmoid to the logits, make it the only output, and assign the final names; in place.

    Args:
        model: a graph that ends in logits, whose last axis has the classes.
        output: kind of the probabilities.
        name: name of the output.
    """
    logits = model.graph.outputs[0]
    probabilities = insert_after(logits, model.graph, "Sigmoid" if output == "sigmoid" else "Softmax", [logits])
    producer = probabilities.producer()
    assert producer is not None
    if output == "softmax":
        producer.attributes["axis"] = ir.AttrInt64("axis", -1)
    share_initializers(model)
    name_by_position(model)
    probabilities.name = name
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


@dataclass(frozen=True)
class QuantizedPixels:
    """A pixel range with the pixel itself as the quantized input: sign·(pixel − zero_point)·step + rest.

    Attributes:
        step: scale of the quantized input, positive.
        zero_point: the pixel nearest to the model's input 0.
        sign: -1 if the pixels are inverted, else 1.
        rest: remaining shift of the input; at most half a step if the range includes 0.

    Example:
        >>> QuantizedPixels.of(PixelRange(1, invert=True))
        QuantizedPixels(step=0.00392156862745098, zero_point=255, sign=-1, rest=0.0)
        >>> QuantizedPixels.of(PixelRange(255, mean=127.5, std=127.5)).zero_point
        128
    """

    step: float
    zero_point: int
    sign: int
    rest: float

    @classmethod
    def of(cls, pixel_range: PixelRange) -> Self:
        """Decompose a pixel range."""
        factor, offset = pixel_range.factor, pixel_range.offset
        zero_point = min(max(round(-offset / factor), 0), 255)
        rest = offset + factor * zero_point
        step = abs(factor)
        return cls(step, zero_point, -1 if factor < 0 else 1, rest if abs(rest) > _NO_REST * step else 0.0)

    def centred(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute (pixel − zero_point)·step, float32, from images, uint8 (N, H, W) or (N, H, W, 3)."""
        return (images.astype(np.float32) - np.float32(self.zero_point)) * np.float32(self.step)


def take_centred_pixels(model: ir.Model, pixels: QuantizedPixels) -> ir.Model:
    """Accept the images of `QuantizedPixels.centred` in a float model: fold sign and rest; in place.

    On the padding of a convolution, the rest is not exact: its error is at most half a quantization step.
    """
    return scale_input(model, pixels.sign, pixels.rest, approximate_padding=True)


def take_quantized_pixels(model: ir.Model, scale: float, zero_point: int = 0) -> ir.Model:
    """Use the raw pixels as the quantized input of an int8 graph, without Cast, Mul or QuantizeLinear; in place.

    Args:
        model: quantized model with float32 input.
        scale: factor from a pixel, minus the zero point, to the input of the float model.
        zero_point: the pixel for which this input is 0.

    Returns:
        The same model.
    """
    graph = model.graph
    image = graph.inputs[0]
    scale_value = constant(graph, "pixel_scale", np.array(scale, np.float32))
    zero_value = constant(graph, "pixel_zero_point", np.array(zero_point, np.uint8))
    insert_after(image, graph, "DequantizeLinear", [image, scale_value, zero_value])

    def dequantizes_pixels(node: ir.Node | None) -> bool:
        return node is not None and node.inputs[1] is scale_value

    def move_pixels(node: ir.Node) -> bool:
        """DequantizeLinear, Reshape → Reshape, DequantizeLinear; the same for Transpose and SpaceToDepth."""
        dequantizing = before(node, "DequantizeLinear") if node.op_type in _MOVING else None
        if dequantizing is None or not dequantizes_pixels(dequantizing):
            return False
        moved = node.outputs[0]
        node.replace_input_with(0, first_input(dequantizing))
        insert_after(moved, graph, "DequantizeLinear", [moved, scale_value, zero_value])
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
    image.name, image.dtype = INPUT_NAME, ir.DataType.UINT8
