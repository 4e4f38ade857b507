"""Moving of Transpose across elementwise operators, so that pairs of Transpose cancel.

tf2onnx does this for most operators, but not for Erf, Pow and PReLU's constants. An activation between two convolutions
would otherwise be computed in Keras's order, with a Transpose before and after it.
"""

import numpy as np
import onnx_ir as ir

from digits_edge.export.graph.rewriting import (
    array_of,
    before,
    bypass,
    constant,
    first_input,
    graph_of,
    insert_after,
    integers,
    only_user,
    rank,
)

_ELEMENTWISE = {
    *("Add", "Sub", "Mul", "Div", "Pow", "Min", "Max", "PRelu"),
    *("Neg", "Erf", "Tanh", "Sigmoid", "Relu", "Elu", "Selu", "LeakyRelu", "Softplus", "Softsign", "HardSigmoid"),
    *("HardSwish", "Exp", "Log", "Abs", "Sqrt", "Reciprocal", "Clip", "ThresholdedRelu", "Celu"),
}


def delay_transpose(node: ir.Node) -> bool:
    """Transpose, elementwise operator → elementwise operator, Transpose."""
    if node.op_type not in _ELEMENTWISE or _rank_or_none(node.outputs[0]) is None:
        return False
    computed = [value for value in node.inputs if value is not None and array_of(value) is None]
    transposes = [value.producer() for value in computed]
    if not transposes or any(each is None or each.op_type != "Transpose" for each in transposes):
        return False
    permutations = {integers(each, "perm") for each in transposes if each is not None}
    users = (user for value in computed for user, _ in value.uses())
    if len(permutations) > 1 or any(user.op_type not in _ELEMENTWISE for user in users):
        return False
    (permutation,) = permutations
    result, axes = node.outputs[0], len(permutation)
    if rank(result) != axes or not _is_permutable(node, axes):
        return False
    inverse = tuple(int(axis) for axis in np.argsort(permutation))
    inputs = [_permuted(node, value, inverse) for value in node.inputs]
    new = ir.node(node.op_type, inputs, attributes=node.attributes)
    assert result.shape is not None
    new.outputs[0].shape = ir.Shape([result.shape[axis] for axis in inverse])
    graph = graph_of(node)
    graph.insert_before(node, new)
    moved = ir.node("Transpose", [new.outputs[0]], {"perm": list(permutation)})
    moved.outputs[0].shape = result.shape
    if result.dtype is not None:
        new.outputs[0].dtype = moved.outputs[0].dtype = result.dtype
    graph.insert_before(node, moved)
    bypass(node, moved.outputs[0])
    return True


def cancel_transposes(node: ir.Node) -> bool:
    """Join two consecutive Transposes; if they cancel, remove both."""
    first = before(node, "Transpose") if node.op_type == "Transpose" else None
    if first is None:
        return False
    outer, inner = integers(node, "perm"), integers(first, "perm")
    joined = [inner[axis] for axis in outer]
    if joined == sorted(joined):
        bypass(node, first_input(first))
    else:
        node.replace_input_with(0, first_input(first))
        node.attributes["perm"] = ir.AttrInt64s("perm", joined)
    return True


def advance_affine(node: ir.Node) -> bool:
    """A constant scale or shift of the image, then Transpose: swap them, so that a layer can absorb it."""
    user = only_user(node.outputs[0])
    if node.op_type not in ("Mul", "Add", "Sub", "Div") or user is None:
        return False
    value, numbers = node.inputs[0], array_of(node.inputs[1])
    if user.op_type != "Transpose" or value is None or value.shape is None or not _is_of_image(value):
        return False
    if numbers is None or numbers.dtype != np.float32 or numbers.ndim > rank(value):
        return False
    permuted = _permuted(node, node.inputs[1], integers(user, "perm"))
    bypass(node, value)
    result = user.outputs[0]
    assert permuted is not None
    insert_after(result, graph_of(user), node.op_type, [result, permuted])
    return True


def _rank_or_none(value: ir.Value) -> int | None:
    """The number of axes of a value, if it is known."""
    return None if value.shape is None else value.shape.rank()


def _is_of_image(value: ir.Value) -> bool:
    """Whether a value is the image after elementwise operators with constants."""
    while (producer := value.producer()) is not None:
        if producer.op_type not in ("Mul", "Add", "Sub", "Div", "Cast", "Clip"):
            return False
        if sum(array_of(each) is None for each in producer.inputs if each is not None) != 1:
            return False
        value = first_input(producer)
    return value.is_graph_input()


def _is_permutable(node: ir.Node, axes: int) -> bool:
    """Whether all operands that are computed have the rank of the result; constants may have fewer axes."""
    for value in node.inputs:
        numbers = array_of(value)
        size = None if value is None else (_rank_or_none(value) if numbers is None else None)
        if (numbers is None and value is not None and size != axes) or (numbers is not None and numbers.ndim > axes):
            return False
    return True


def _permuted(node: ir.Node, value: ir.Value | None, permutation: tuple[int, ...]) -> ir.Value | None:
    """A value in the other order: the input of its Transpose, or a permuted constant."""
    numbers = array_of(value)
    if value is None or (numbers is not None and numbers.size == 1 and numbers.ndim == 0):
        return value
    if numbers is None:
        transpose = value.producer()
        assert transpose is not None
        return first_input(transpose)
    full = numbers.reshape((1,) * (len(permutation) - numbers.ndim) + numbers.shape).transpose(permutation)
    return constant(graph_of(node), f"{node.outputs[0].name}_constant", full)


#: Together these move each Transpose as far as it can cancel another one.
TRANSPOSE_RULES = (cancel_transposes, delay_transpose, advance_affine)
