"""Readable description of the nodes in a model file's graph: `read_nodes()`."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

_QUANTIZATION = ("QuantizeLinear", "DequantizeLinear")
_ARITHMETIC = {onnx.TensorProto.FLOAT: "fp32", onnx.TensorProto.FLOAT16: "fp16"}


@dataclass(frozen=True)
class Node:
    """A node, or the graph's input.

    Attributes:
        name: unique in the graph.
        kind: the ONNX operator, or "Input".
        detail: kernel size and arithmetic, such as "3×3, int8".
        shape: shape of the output, channels first, without the batch axis.
        parameters: number of weights and biases.
        inputs: names of the nodes whose outputs it reads.
    """

    name: str
    kind: str
    detail: str
    shape: tuple[int | None, ...]
    parameters: int
    inputs: tuple[str, ...]


def read_nodes(path: Path) -> list[Node]:
    """Read the graph's input and its nodes, in topological order.

    QuantizeLinear and DequantizeLinear are omitted. A node between them is computed in integers, and its detail
    contains "int8".

    Args:
        path: the model file.

    Example:
        >>> from digits_edge.runtime.session.precision import find_model
        >>> nodes = read_nodes(find_model("cnn-small-int8", "cpu"))
        >>> nodes[0]
        Node(name='image', kind='Input', detail='uint8', shape=(28, 28), parameters=0, inputs=())
        >>> nodes[-1].kind, nodes[-1].shape
        ('Softmax', (10,))
    """
    graph = onnx.shape_inference.infer_shapes(onnx.load(path)).graph
    types = {value.name: value.type.tensor_type for value in (*graph.input, *graph.value_info, *graph.output)}
    weights = {weight.name: math.prod(weight.dims) for weight in graph.initializer}
    # value name → the value it is a quantized or dequantized copy of
    origin: dict[str, str] = {}
    quantized: set[str] = set()
    producers: dict[str, str] = {}
    nodes = []
    for value in graph.input:
        nodes.append(Node(value.name, "Input", _type_name(types[value.name]), _shape(types[value.name]), 0, ()))
        producers[value.name] = value.name
    for node in graph.node:
        if node.op_type in _QUANTIZATION:
            origin[node.output[0]] = origin.get(node.input[0], node.input[0])
            quantized |= {node.output[0]} if node.op_type == "DequantizeLinear" else set()
            continue
        sources = [origin.get(name, name) for name in node.input]
        # a Reshape's second input is the shape; a node with float weights is computed in float
        integer = quantized.issuperset(node.input[:1] if node.op_type == "Reshape" else node.input[:2])
        arithmetic = "int8" if integer else _ARITHMETIC.get(types[node.output[0]].elem_type, "")
        kernel = next(("×".join(map(str, a.ints)) for a in node.attribute if a.name == "kernel_shape"), "")
        nodes.append(
            Node(
                name=node.name,
                kind=node.op_type,
                detail=", ".join(filter(None, (kernel, arithmetic))),
                shape=_shape(types[node.output[0]]),
                parameters=0 if node.op_type == "Reshape" else sum(weights.get(name, 0) for name in sources),
                inputs=tuple(producers[name] for name in sources if name in producers),
            )
        )
        producers |= dict.fromkeys(node.output, node.name)
    return nodes


def _shape(tensor: Any) -> tuple[int | None, ...]:
    return tuple(size.dim_value or None for size in tensor.shape.dim[1:])


def _type_name(tensor: Any) -> str:
    kind: str = onnx.TensorProto.DataType.Name(tensor.elem_type).lower()
    return kind
