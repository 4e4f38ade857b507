"""The int8 graph of a float graph: `int8_graph()` quantizes as many layers as agreement with Keras allows."""

from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from digits_edge.export.gate import Gate, GraphOutputs
from digits_edge.export.graph.contract import (
    QuantizedPixels,
    end_in_probabilities,
    take_centred_pixels,
    take_quantized_pixels,
)
from digits_edge.export.graph.folding import scale_input
from digits_edge.export.graph.space_to_depth import to_space_to_depth
from digits_edge.export.graph.stacked_columns import stack_columns
from digits_edge.export.precision.float_layers import find_float_layers
from digits_edge.export.precision.quantize import Quantizer, candidate_groups, layer_names
from digits_edge.runtime.errors import CheckError, UsageError
from digits_edge.runtime.model.model_file import OutputKind
from digits_edge.runtime.model.pixel_range import PixelRange

#: Number of images, of at most this many pixels, on which the effect of each layer in int8 is measured.
_SENSITIVITY_IMAGES, _SENSITIVITY_PIXELS = 200, 3072
#: Number of larger images.
_MIN_SENSITIVITY_IMAGES = 32
_REMEDY = "use --precision fp16, or --quantization-aware 3"


def int8_graph(
    logits_graph: ir.Model,
    pixel_range: PixelRange,
    calibration: NDArray[np.uint8],
    gate: Gate,
    *,
    output: OutputKind = "softmax",
    float_layers: tuple[str, ...] = (),
    listener: Callable[[str], None] = lambda step: None,
) -> tuple[ir.Model, tuple[str, ...]]:
    """Quantize all layers except `float_layers` and those that must remain float for agreement with Keras.

    Args:
        logits_graph: a float graph, from the Keras model's input to calibrated logits; it is modified.
        pixel_range: the input that it expects.
        calibration: images that determine the ranges of the activations, uint8 (N, H, W) or (N, H, W, 3).
        gate: what the graph must agree with.
        output: the probabilities of the graph.
        float_layers: names of layers that are not quantized.
        listener: called with a description of each step.

    Returns:
        The graph, from uint8 pixels to probabilities, and the names of its float layers.

    Raises:
        UsageError: `float_layers` has an unknown name.
        CheckError: no graph agrees with Keras, even if all layers are float.
    """
    layers = layer_names(logits_graph)
    for layer in float_layers:
        if layer not in layers:
            raise UsageError(f"the model has no layer {layer!r}; its layers are {', '.join(layers)}")
    groups = candidate_groups(logits_graph)
    candidates = [first for first, names in groups.items() if not set(names) <= set(float_layers)]
    model, inputs, scale, zero_point = _take_pixels(logits_graph, pixel_range, calibration)
    images, probabilities = gate.compared.images, gate.compared.probabilities
    rows = np.linspace(0, len(images) - 1, min(len(images), _sensitivity_images(calibration))).astype(np.intp)
    tried: list[str] = []

    with Quantizer(to_space_to_depth(model), inputs) as quantizer:

        def graph_with(more_float_layers: Sequence[str]) -> ir.Model:
            graph = quantizer((*float_layers, *(name for first in more_float_layers for name in groups[first])))
            return end_in_probabilities(stack_columns(take_quantized_pixels(graph, scale, zero_point)), output)

        def passes(more_float_layers: Sequence[str]) -> bool:
            problems = gate.check(GraphOutputs(graph_with(more_float_layers)))[1]
            tried.append(f"{len(more_float_layers)} of {len(candidates)} layers float: {', '.join(problems)}")
            return not problems

        def sensitivity(layer: str) -> float:
            predict = GraphOutputs(graph_with([other for other in candidates if other != layer]))
            return float(np.abs(predict(images[rows]) - probabilities[rows]).mean())

        found = find_float_layers(candidates, passes, sensitivity, listener=listener)
        if found is None:
            raise CheckError(f"no int8 model agrees with Keras ({'; '.join(tried)}), nothing is written; {_REMEDY}")
        chosen = {*float_layers, *(name for first in found for name in groups[first])}
        # a transposed convolution has no int8 kernel
        left_float = [n for n in logits_graph.graph if n.name in chosen or n.op_type == "ConvTranspose"]
        return graph_with(found), tuple(node.name or "" for node in left_float)


def _sensitivity_images(images: NDArray[np.uint8]) -> int:
    """The number of images on which the effect of a layer is measured: fewer of large images."""
    per_image = images[0].size / _SENSITIVITY_PIXELS
    return max(_MIN_SENSITIVITY_IMAGES, int(_SENSITIVITY_IMAGES / max(1.0, per_image)))


def _take_pixels(
    model: ir.Model, pixel_range: PixelRange, images: NDArray[np.uint8]
) -> tuple[ir.Model, NDArray[np.float32], float, int]:
    """Let a float graph accept pixels minus a zero point, times a scale.

    Returns:
        The graph, its inputs for the images, and scale and zero point.
    """
    if pixel_range.is_per_channel:  # no single zero point is exact for all channels
        return scale_input(model, pixel_range.factors, pixel_range.offsets), images.astype(np.float32), 1.0, 0
    pixels = QuantizedPixels.of(pixel_range)
    return take_centred_pixels(model, pixels), pixels.centred(images), pixels.step, pixels.zero_point
