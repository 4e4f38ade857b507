"""The nodes of a model file's graph that compute something, for people to read: `read_nodes()`."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

_MOVES_INTEGERS = ("QuantizeLinear", "DequantizeLinear")
_ARITHMETIC = {onnx.TensorProto.FLOAT: "fp32", onnx.TensorProto.FLOAT16: "fp16"}


@dataclass(frozen=True)
class Node:
    """A node, or the graph's input.

    Attributes:
        name: unique in the graph.
        kind: the ONNX operator, or "Input".
        detail: kernel size and arithmetic in a few words.
        shape: of what leaves it, channels first, without the batch's axis.
        parameters: weights and biases that go into it.
        inputs: names of the nodes whose output goes into it.
    """

    name: str
    kind: str
    detail: str
    shape: tuple[int | None, ...]
    parameters: int
    inputs: tuple[str, ...]


def read_nodes(path: Path) -> list[Node]:
    """The graph's input and its nodes, in the order in which they compute.

    QuantizeLinear and DequantizeLinear are left out: where they stand around a node, the runtime computes it in
    integers, and its detail says int8.
    """
    graph = onnx.shape_inference.infer_shapes(onnx.load(path)).graph
    types = {value.name: value.type.tensor_type for value in (*graph.input, *graph.value_info, *graph.output)}
    weights = {weight.name: math.prod(weight.dims) for weight in graph.initializer}
    # what a value is, once the nodes are passed over that only quantize
    origin: dict[str, str] = {}
    quantized: set[str] = set()
    made_by: dict[str, str] = {}
    nodes = []
    for value in graph.input:
        nodes.append(Node(value.name, "Input", _type_name(types[value.name]), _shape(types[value.name]), 0, ()))
        made_by[value.name] = value.name
    for node in graph.node:
        if node.op_type in _MOVES_INTEGERS:
            origin[node.output[0]] = origin.get(node.input[0], node.input[0])
            quantized |= {node.output[0]} if node.op_type == "DequantizeLinear" else set()
            continue
        sources = [origin.get(name, name) for name in node.input]
        # a Reshape's second input is the shape; a node with float weights computes in float
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
                inputs=tuple(made_by[name] for name in sources if name in made_by),
            )
        )
        made_by |= dict.fromkeys(node.output, node.name)
    return nodes


def _shape(tensor: Any) -> tuple[int | None, ...]:
    return tuple(size.dim_value or None for size in tensor.shape.dim[1:])


def _type_name(tensor: Any) -> str:
    kind: str = onnx.TensorProto.DataType.Name(tensor.elem_type).lower()
    return kind
