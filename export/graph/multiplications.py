"""Multiplications of a graph, counted from its shapes: `int8_share()`."""

import math

import onnx
import onnx_ir as ir

_QUANTIZE, _DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"


def int8_share(model: onnx.ModelProto | ir.Model) -> float:
    """The share of a graph's multiplications that are computed in int8, 0 to 1.

    Counted are the multiplications of weights or values in Conv, ConvTranspose, Gemm and MatMul for one image. A layer
    is computed in int8 if both of its operands are dequantized integers.

    Args:
        model: the graph of a model file, or any other with a variable batch size.

    Returns:
        The share; 0 without multiplications.

    Example:
        >>> from digits_edge.runtime.session.precision import find_model
        >>> int8_share(onnx.load(find_model("cnn-small-fp32", "cpu")))
        0.0
        >>> int8_share(onnx.load(find_model("edge-int8", "cpu"))) > 0.9
        True
    """
    proto = ir.to_proto(model) if isinstance(model, ir.Model) else model
    graph = onnx.shape_inference.infer_shapes(proto, data_prop=True).graph
    shapes = {value.name: _sizes(value) for value in (*graph.input, *graph.value_info, *graph.output)}
    shapes |= {weights.name: list(weights.dims) for weights in graph.initializer}
    dequantized = {node.output[0] for node in graph.node if node.op_type == _DEQUANTIZE}
    total = integer = 0
    for node in graph.node:
        count = _multiplications(node, shapes)
        total += count
        integer += count if dequantized.issuperset(node.input[:2]) else 0
    return integer / total if total else 0.0


def _multiplications(node: onnx.NodeProto, shapes: dict[str, list[int]]) -> int:
    """The multiplications of a node for one image; an unknown axis, such as the batch axis, counts as 1."""
    if node.op_type == "Conv":
        return math.prod(shapes[node.output[0]]) * math.prod(shapes[node.input[1]][1:])
    if node.op_type == "ConvTranspose":
        return math.prod(shapes[node.input[0]]) * math.prod(shapes[node.input[1]][1:])
    if node.op_type in ("Gemm", "MatMul"):
        transposed = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
        first = shapes[node.input[0]]
        return math.prod(shapes[node.output[0]]) * first[-2 if transposed else -1]
    return 0


def _sizes(value: onnx.ValueInfoProto) -> list[int]:
    return [size.dim_value or 1 for size in value.type.tensor_type.shape.dim]
