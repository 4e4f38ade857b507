"""Small steps on an onnx_ir graph that the rewriting rules share."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes.common import RemoveUnusedNodesPass

#: Looks at a node, changes the graph around it if it applies, and says whether it did.
Rule = Callable[[ir.Node], bool]


def apply_until_still(model: ir.Model, rules: Sequence[Rule]) -> None:
    """Apply rules to every node, last node first, until a whole round changes nothing."""
    changed = True
    while changed:
        changed = False
        for node in reversed(list(model.graph)):
            changed |= any(rule(node) for rule in rules)
        RemoveUnusedNodesPass()(model)


def graph_of(node: ir.Node) -> ir.Graph:
    """The graph a node stands in."""
    assert isinstance(node.graph, ir.Graph)
    return node.graph


def first_input(node: ir.Node) -> ir.Value:
    """What a node works on; all other inputs are its parameters."""
    assert node.inputs[0] is not None
    return node.inputs[0]


def before(node: ir.Node | None, *op_types: str) -> ir.Node | None:
    """The node that computes a node's first input, if there is one and it is of one of these kinds."""
    producer = first_input(node).producer() if node is not None and node.inputs else None
    return producer if producer is not None and producer.op_type in op_types else None


def array_of(value: ir.Value | None) -> NDArray[Any] | None:
    """A constant's array; None for what is computed or fed."""
    return None if value is None or value.const_value is None else value.const_value.numpy()


def constant(graph: ir.Graph, name: str, array: NDArray[Any]) -> ir.Value:
    """A new initializer; a number is appended to a name that is taken."""
    free, number = name, 0
    while free in graph.initializers:
        number += 1
        free = f"{name}_{number}"
    value = ir.Value(name=free, const_value=ir.tensor(array, name=free))
    graph.register_initializer(value)
    return value


def insert_after(value: ir.Value, graph: ir.Graph, op_type: str, inputs: Sequence[ir.Value]) -> ir.Value:
    """Put a node that reads `value` between it and everyone who used it; shape and dtype stay."""
    node = ir.node(op_type, inputs)
    result = node.outputs[0]
    _set_kind(result, value)
    users = [(user, index) for user, index in value.uses() if user is not node]
    producer = value.producer()
    if producer is None:
        graph.insert_before(graph[0], node)
    else:
        graph.insert_after(producer, node)
    for user, index in users:
        user.replace_input_with(index, result)
    for index, output in enumerate(graph.outputs):
        if output is value:
            graph.outputs[index] = result
    return result


def _set_kind(value: ir.Value, like: ir.Value) -> None:
    """Let a value have another's shape and type, as far as its own are not known."""
    if value.shape is None:
        value.shape = like.shape
    if value.dtype is None and like.dtype is not None:
        value.dtype = like.dtype


def bypass(node: ir.Node, value: ir.Value) -> None:
    """Let everyone who used the node's result use `value`; the node is then unused."""
    _set_kind(value, node.outputs[0])
    node.outputs[0].replace_all_uses_with(value, replace_graph_outputs=True)


def replace(node: ir.Node, op_type: str, inputs: Sequence[ir.Value]) -> None:
    """Put another kind of node in a node's place; the result keeps shape and dtype."""
    new = ir.node(op_type, inputs)
    _set_kind(new.outputs[0], node.outputs[0])
    graph_of(node).insert_before(node, new)
    bypass(node, new.outputs[0])


def name_by_position(model: ir.Model) -> None:
    """Name nodes and values after what they are and where they stand, so that the same network gets the same names."""
    graph = model.graph
    # out of the way of the names to come
    for number, value in enumerate(list(graph.initializers.values())):
        value.name = f"initializer_{number}"
    for position, node in enumerate(graph):
        node.name = f"{node.op_type.lower()}_{position}"
        for index, parameter in enumerate(node.inputs):
            if parameter is not None and parameter.is_initializer():
                parameter.name = f"{node.name}_input_{index}"
        for index, result in enumerate(node.outputs):
            if not result.is_graph_output():
                result.name = f"{node.name}_output_{index}"


def used_once(value: ir.Value) -> bool:
    """Whether exactly one node reads a value, and the graph does not answer with it."""
    return len(list(value.uses())) == 1 and not value.is_graph_output()


def integers(node: ir.Node, attribute: str) -> tuple[int, ...]:
    """An attribute's integers; empty where it is not set."""
    return tuple(node.attributes[attribute].as_ints()) if attribute in node.attributes else ()


def static_dims(value: ir.Value) -> list[int]:
    """The sizes of all axes but the first, the batch."""
    assert value.shape is not None
    sizes = tuple(value.shape)[1:]
    assert all(isinstance(size, int) for size in sizes)
    return [size for size in sizes if isinstance(size, int)]


def rank(value: ir.Value) -> int:
    """How many axes a value has."""
    assert value.shape is not None
    return value.shape.rank()


def is_layer(node: ir.Node | None) -> bool:
    """Whether a node is a Conv, or a Gemm in its plain form x·W + b, with constant weights."""
    if node is None or node.op_type not in ("Conv", "Gemm"):
        return False
    plain = node.op_type == "Conv" or not set(node.attributes) & {"transA", "transB", "alpha", "beta"}
    return plain and all(array_of(value) is not None for value in node.inputs[1:])


def parameters(layer: ir.Node) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weights, (out, in, H, W) for Conv and (in, out) for Gemm, and bias, (out,), of a layer."""
    weights = array_of(layer.inputs[1])
    bias = array_of(layer.inputs[2]) if len(layer.inputs) > 2 else None
    assert weights is not None
    outputs = weights.shape[0] if layer.op_type == "Conv" else weights.shape[1]
    return weights, np.zeros(outputs, np.float32) if bias is None else bias


def set_parameters(layer: ir.Node, weights: NDArray[Any], bias: NDArray[Any]) -> None:
    """Give a layer new weights and bias; another layer that shared the old ones keeps them."""
    layer.resize_inputs(3)
    for index, (role, array) in enumerate((("weights", weights), ("bias", bias)), start=1):
        name = f"{layer.outputs[0].name}_{role}"
        layer.replace_input_with(index, constant(graph_of(layer), name, np.ascontiguousarray(array, np.float32)))
