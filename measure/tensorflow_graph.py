"""The graph of a model file as a TensorFlow function, which LiteRT's converter reads: `TensorFlowGraph`.

Quantization becomes `FakeQuant` operations with the ranges of the file, so that the converter needs no images for
calibration and LiteRT computes with the integers of the file.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import tensorflow as tf
from numpy.typing import NDArray

from digits_edge.export.graph.rewriting import array_of
from digits_edge.measure.stored_tensor import StoredTensor
from digits_edge.measure.tensorflow_operators import OPERATORS, fake_quantized
from digits_edge.runtime.errors import ModelError
from digits_edge.runtime.model.model_file import read_model_file

_QUANTIZE, _DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"
_LAYERS = ("Conv", "Gemm", "MatMul")
#: Operators that only move pixels.
_MOVES = ("Reshape", "Transpose", "SpaceToDepth", "Slice", "Pad", "Concat")
#: Operators between a layer and the node that quantizes its output; the converter moves the range to the layer.
_BEFORE_QUANTIZE = ("Relu", "Clip", "MaxPool", "Reshape", "Transpose")


class TensorFlowGraph:
    """A model file's graph, computed by TensorFlow.

    Attributes:
        quantizes_pixels: whether the graph takes pixels that are dequantized already, as int8 files do.

    Example:
        >>> from digits_edge.runtime.session.precision import find_model
        >>> graph = TensorFlowGraph(find_model("cnn-small-int8", "cpu"))
        >>> pixels = np.zeros((2, 28, 28), np.uint8)
        >>> graph.observe(pixels)
        >>> graph(tf.constant(graph.inputs(pixels))).shape.as_list()
        [2, 10]
    """

    def __init__(self, path: Path) -> None:
        """Read a model file.

        Raises:
            ModelError: the file cannot be read, or an int8 file quantizes the image in several ways.
        """
        self._graph = ir.from_proto(onnx.load_from_string(read_model_file(path))).graph
        [self._image], [self._output] = self._graph.inputs, self._graph.outputs
        self._pixel_range = self._range_of_pixels()
        self._ranges: dict[str | None, tuple[float, float]] = {}

    @property
    def quantizes_pixels(self) -> bool:
        """Whether the graph takes the dequantized pixels of an int8 file instead of pixels."""
        return self._pixel_range is not None

    def inputs(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Convert pixels, (N, H, W[, 3]), to the inputs of the graph, float32."""
        if self._pixel_range is None:
            return images.astype(np.float32)
        step, zero = self._pixel_range
        return ((images.astype(np.float64) - zero) * step).astype(np.float32)

    def observe(self, images: NDArray[np.uint8]) -> None:
        """Measure the range of outputs that the file does not quantize, but LiteRT does: those of the last layer."""
        self._ranges = {}
        computed = self._compute(tf.constant(self.inputs(images)))
        for node in self._graph:
            if _is_quantized_layer(node) and not _is_quantized(node.outputs[0]):
                outputs = np.asarray(computed[node.outputs[0]].tensor)
                self._ranges[node.outputs[0].name] = min(float(outputs.min()), 0.0), max(float(outputs.max()), 0.0)

    def __call__(self, inputs: Any) -> Any:
        """Compute probabilities, float32 (N, K); TensorFlow can trace it for a fixed N.

        Args:
            inputs: for int8, dequantized pixels, float32; otherwise pixels. (N, H, W[, 3])

        Raises:
            ModelError: there is no conversion of an operator.
        """
        return self._compute(inputs)[self._output].in_file_order()

    def _compute(self, inputs: Any) -> dict[ir.Value, StoredTensor]:
        if self._pixel_range is not None:
            step, zero = self._pixel_range
            inputs = fake_quantized(inputs, -zero * step, (255 - zero) * step)
        computed = {self._image: StoredTensor(inputs)}
        for node in self._graph:
            [output] = node.outputs
            result = _run(node, [_stored(value, computed) for value in node.inputs if value is not None])
            if output.name in self._ranges:
                result = result.with_tensor(fake_quantized(result.tensor, *self._ranges[output.name]))
            computed[output] = result
        return computed

    def _range_of_pixels(self) -> tuple[float, int] | None:
        """Step and zero point of the image; None if the file does not dequantize it."""
        found = set()
        for node in self._graph:
            if node.op_type == _DEQUANTIZE and _origin(node) is self._image:
                step, zero = array_of(node.inputs[1]), array_of(node.inputs[2])
                if step is None or zero is None or step.size != 1:
                    raise ModelError("its pixels are quantized for each channel")
                found.add((float(step.item()), int(zero.item())))
        if len(found) > 1:
            raise ModelError("its pixels are quantized in several ways")
        return found.pop() if found else None


def _origin(node: ir.Node) -> ir.Value | None:
    """The value whose entries a node's first input has."""
    value = node.inputs[0]
    while value is not None and (producer := value.producer()) is not None and producer.op_type in _MOVES:
        value = producer.inputs[0]
    return value


def _is_quantized_layer(node: ir.Node) -> bool:
    """Whether a layer has int8 weights."""
    weights = node.inputs[1] if node.op_type in _LAYERS else None
    producer = weights.producer() if weights is not None else None
    return producer is not None and producer.op_type == _DEQUANTIZE and array_of(producer.inputs[0]) is not None


def _is_quantized(value: ir.Value) -> bool:
    """Whether all users of a value quantize it."""
    users = [user for user, _ in value.uses()]
    return bool(users) and all(
        user.op_type == _QUANTIZE or (user.op_type in _BEFORE_QUANTIZE and _is_quantized(user.outputs[0]))
        for user in users
    )


def _stored(value: ir.Value, computed: dict[ir.Value, StoredTensor]) -> StoredTensor:
    array = array_of(value)
    if array is None:
        return computed[value]
    return StoredTensor(array.astype(np.float32) if array.dtype == np.float16 else array)


def _run(node: ir.Node, inputs: Sequence[StoredTensor]) -> StoredTensor:
    attributes = {name: attribute.value for name, attribute in node.attributes.items()}
    if node.op_type == _QUANTIZE:
        return _quantized(*inputs)
    if node.op_type == _DEQUANTIZE:
        return _dequantized(attributes.get("axis", 1), *inputs) if inputs[0].is_constant else inputs[0]
    if node.op_type not in OPERATORS:
        raise ModelError(f"the operator {node.op_type} is not converted")
    return OPERATORS[node.op_type](attributes, inputs)


def _quantized(values: StoredTensor, step: StoredTensor, zero: StoredTensor) -> StoredTensor:
    """Round to the integers of the file; the result is dequantized already."""
    limits = np.iinfo(zero.tensor.dtype)
    lowest, highest = ((limit - int(zero.tensor)) * float(step.tensor) for limit in (limits.min, limits.max))
    return values.with_tensor(fake_quantized(values.tensor, lowest, highest))


def _dequantized(axis: int, integers: StoredTensor, steps: StoredTensor, zeros: StoredTensor) -> StoredTensor:
    """The weights or biases of a layer."""
    shape = [1] * integers.tensor.ndim
    if steps.tensor.ndim:
        shape[axis] = -1
    shifted = integers.tensor.astype(np.float64) - zeros.tensor.reshape(shape)
    weights = (shifted * steps.tensor.reshape(shape)).astype(np.float32)
    return StoredTensor(weights, steps=steps.tensor)
