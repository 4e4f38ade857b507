"""Helpers on onnx_ir graphs that the rewriting rules share."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes.common import RemoveUnusedNodesPass

#: Smaller arrays are not worth the comparison.
_MIN_SHARED_ENTRIES = 512
#: Changes the graph around a node if the rule applies; returns whether it did.
Rule = Callable[[ir.Node], bool]


def apply_until_still(model: ir.Model, rules: Sequence[Rule]) -> None:
    """Apply rules to every node, last node first, until a pass over all nodes changes nothing."""
    changed = True
    while changed:
        changed = False
        for node in reversed(list(model.graph)):
            changed |= any(rule(node) for rule in rules)
        RemoveUnusedNodesPass()(model)


def graph_of(node: ir.Node) -> ir.Graph:
    """The graph that contains a node."""
    assert isinstance(node.graph, ir.Graph)
    return node.graph


def first_input(node: ir.Node) -> ir.Value:
    """The data input of a node; all other inputs are its parameters."""
    assert node.inputs[0] is not None
    return node.inputs[0]


def before(node: ir.Node | None, *op_types: str) -> ir.Node | None:
    """The producer of a node's first input if its operator is one of `op_types`; else None."""
    producer = first_input(node).producer() if node is not None and node.inputs else None
    return producer if producer is not None and producer.op_type in op_types else None


def array_of(value: ir.Value | None) -> NDArray[Any] | None:
    """The array of a constant; None for a computed value or a graph input."""
    return None if value is None or value.const_value is None else value.const_value.numpy()


def constant(graph: ir.Graph, name: str, array: NDArray[Any]) -> ir.Value:
    """Register a new initializer; a number is appended to the name if it is already used."""
    unique, number = name, 0
    while unique in graph.initializers:
        number += 1
        unique = f"{name}_{number}"
    value = ir.Value(name=unique, const_value=ir.tensor(array, name=unique))
    graph.register_initializer(value)
    return value


def insert_after(value: ir.Value, graph: ir.Graph, op_type: str, inputs: Sequence[ir.Value]) -> ir.Value:
    """Insert a node between `value` and all its users; shape and dtype are copied.

    Returns:
        The output of the new node.
    """
    node = ir.node(op_type, inputs)
    result = node.outputs[0]
    _set_type(result, value)
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


def _set_type(value: ir.Value, like: ir.Value) -> None:
    """Copy shape and dtype from `like` where they are unknown."""
    if value.shape is None:
        value.shape = like.shape
    if value.dtype is None and like.dtype is not None:
        value.dtype = like.dtype


def bypass(node: ir.Node, value: ir.Value) -> None:
    """Replace a node's output by `value` in all its users; the node is then unused."""
    _set_type(value, node.outputs[0])
    node.outputs[0].replace_all_uses_with(value, replace_graph_outputs=True)


def replace(node: ir.Node, op_type: str, inputs: Sequence[ir.Value]) -> None:
    """Replace a node by one with another operator; the output keeps its shape and dtype."""
    new = ir.node(op_type, inputs)
    _set_type(new.outputs[0], node.outputs[0])
    graph_of(node).insert_before(node, new)
    bypass(node, new.outputs[0])


def name_by_position(model: ir.Model) -> None:
    """Name nodes and values by operator and position, so that the same network always gets the same names."""
    graph = model.graph
    # temporary names avoid collisions with the final ones
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


def share_initializers(model: ir.Model) -> None:
    """Store weights that several nodes use only once, such as those of each step of a recurrent layer; in place."""
    stored: dict[tuple[str, tuple[int, ...], bytes], ir.Value] = {}
    for name, value in list(model.graph.initializers.items()):
        array = array_of(value)
        if array is None or array.ndim < 2 or array.size < _MIN_SHARED_ENTRIES:
            continue
        first = stored.setdefault((array.dtype.str, array.shape, array.tobytes()), value)
        if first is not value:
            value.replace_all_uses_with(first)
            del model.graph.initializers[name]


def used_once(value: ir.Value) -> bool:
    """Whether a value has exactly one user and is not a graph output."""
    return len(list(value.uses())) == 1 and not value.is_graph_output()


def only_user(value: ir.Value) -> ir.Node | None:
    """The node that reads a value; None if several do, or it is a graph output."""
    return next(iter(value.uses()))[0] if used_once(value) else None


def integers(node: ir.Node, attribute: str) -> tuple[int, ...]:
    """The integers of an attribute; empty if it is not set."""
    return tuple(node.attributes[attribute].as_ints()) if attribute in node.attributes else ()


def static_dims(value: ir.Value) -> list[int]:
    """The sizes of all axes except the batch axis."""
    assert value.shape is not None
    sizes = tuple(value.shape)[1:]
    assert all(isinstance(size, int) for size in sizes)
    return [size for size in sizes if isinstance(size, int)]


def rank(value: ir.Value) -> int:
    """The number of axes of a value."""
    assert value.shape is not None
    return value.shape.rank()


def is_layer(node: ir.Node | None) -> bool:
    """Whether a node is a Conv, or a Gemm of the form x·W + b, with constant weights."""
    if node is None or node.op_type not in ("Conv", "Gemm"):
        return False
    plain = node.op_type == "Conv" or not set(node.attributes) & {"transA", "transB", "alpha", "beta"}
    return plain and all(array_of(value) is not None for value in node.inputs[1:])


def parameters(layer: ir.Node) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weights and bias of a layer.

    Returns:
        Weights, (out, in, H, W) for Conv or (in, out) for Gemm, and bias, (out,).
    """
    weights = array_of(layer.inputs[1])
    bias = array_of(layer.inputs[2]) if len(layer.inputs) > 2 else None
    assert weights is not None
    outputs = weights.shape[0] if layer.op_type == "Conv" else weights.shape[1]
    return weights, np.zeros(outputs, np.float32) if bias is None else bias


def set_parameters(layer: ir.Node, weights: NDArray[Any], bias: NDArray[Any]) -> None:
    """Set new weights and bias of a layer; other layers that share the old ones are not affected."""
    layer.resize_inputs(3)
    for index, (role, array) in enumerate((("weights", weights), ("bias", bias)), start=1):
        name = f"{layer.outputs[0].name}_{role}"
        layer.replace_input_with(index, constant(graph_of(layer), name, np.ascontiguousarray(array, np.float32)))
