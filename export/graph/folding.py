"""Folding of scales and shifts (Mul and Add) into the weights of Conv and Gemm.

BatchNorm, Rescaling, the input scale and the temperature are Mul and Add by a constant per channel. They are folded
back into the preceding Conv or Gemm (a scale also across Relu and MaxPool), or moved forward across pooling and Flatten
to the next Conv or Gemm. Two cases cannot be folded: a shift before a padded convolution, because the padding is not
shifted, and a negative scale before MaxPool.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from digits_edge.export.graph.rewriting import (
    apply_until_still,
    array_of,
    before,
    bypass,
    constant,
    first_input,
    graph_of,
    insert_after,
    integers,
    is_layer,
    only_user,
    parameters,
    rank,
    replace,
    set_parameters,
    static_dims,
    used_once,
)
from digits_edge.export.graph.transposes import advance_affine

FloatArray = NDArray[np.float32]
_AFFINE = ("Mul", "Add", "Sub", "Div")
#: Operators that commute with a positive factor.
_POSITIVELY_HOMOGENEOUS = ("Relu", "MaxPool")
#: Operators that copy or interpolate entries, so that they commute with one scale or shift for all.
_UNIFORM = ("Resize", "Slice", "Tile")
_POOLS = ("MaxPool", "AveragePool", "GlobalAveragePool")


def scale_input(
    model: ir.Model,
    scale: float | Sequence[float],
    shift: float | Sequence[float] = 0.0,
    *,
    approximate_padding: bool = False,
) -> ir.Model:
    """Accept other images: compute image·scale + shift, folded into the first layer where that is exact; in place.

    Args:
        model: float model with input (N, H, W) or (N, H, W, C).
        scale: factor from the new images to those that the model expects; a number, or one for each of C channels.
        shift: added after that; a number, or one for each channel.
        approximate_padding: fold the shift into a padded convolution too, as if its padding were shifted.
    """
    value = model.graph.inputs[0]
    for operator, name, number, neutral in (("Mul", "input_scale", scale, 1), ("Add", "input_shift", shift, 0)):
        numbers = np.array(number, np.float32)
        numbers = numbers.reshape(()) if numbers.size == 1 else numbers
        if (numbers != neutral).any():
            value = insert_after(value, model.graph, operator, [value, constant(model.graph, name, numbers)])
    rules = (*FOLDING_RULES, advance_affine)
    apply_until_still(model, (*rules, _fold_input_shift) if approximate_padding else rules)
    return model


def divide_logits(model: ir.Model, temperature: float) -> ir.Model:
    """Divide the logits by the temperature, folded into the last layer; in place."""
    logits = model.graph.outputs[0]
    inverse = constant(model.graph, "inverse_temperature", np.array(1 / temperature, np.float32))
    insert_after(logits, model.graph, "Mul", [logits, inverse])
    apply_until_still(model, FOLDING_RULES)
    return model


@dataclass(frozen=True)
class _Affine:
    """A node that computes value·scale + shift; scale and shift are (C,), or (1,) if all channels share them."""

    value: ir.Value
    scale: FloatArray
    shift: FloatArray


def _affine(node: ir.Node | None) -> _Affine | None:
    if node is None or node.op_type not in _AFFINE:
        return None
    value, operand = node.inputs
    if node.op_type in ("Mul", "Add") and array_of(operand) is None:
        value, operand = operand, value
    numbers = array_of(operand)
    if value is None or value.shape is None or numbers is None or numbers.dtype != np.float32:
        return None
    shape = (1,) * (rank(value) - numbers.ndim) + numbers.shape
    if len(shape) != rank(value) or any(size != 1 for axis, size in enumerate(shape) if axis != 1):
        return None
    vector, one, zero = numbers.ravel(), np.ones(1, np.float32), np.zeros(1, np.float32)
    match node.op_type:
        case "Mul":
            return _Affine(value, vector, zero)
        case "Div":
            return _Affine(value, one / vector, zero)
        case "Add":
            return _Affine(value, one, vector)
        case _:
            return _Affine(value, one, -vector)


def _fold_back(node: ir.Node) -> bool:
    """Conv or Gemm, then a scale or shift: fold it into weights and bias."""
    affine = _affine(node)
    layer = affine.value.producer() if affine is not None else None
    if affine is None or layer is None or not is_layer(layer) or not used_once(affine.value):
        return False
    weights, bias = parameters(layer)
    scale, shift = np.broadcast_to(affine.scale, bias.shape), np.broadcast_to(affine.shift, bias.shape)
    set_parameters(layer, weights * _per_output(layer, scale), bias * scale + shift)
    bypass(node, affine.value)
    return True


def _scale_back(node: ir.Node) -> bool:
    """Conv or Gemm, Relu or MaxPool, then a scale: fold its magnitude into the weights; its sign remains.

    Each channel then has the range that BatchNorm gave it, so that one uint8 range fits all channels. Folded forward,
    the scales would stretch the next layer's weights up to a hundredfold.
    """
    affine = _affine(node)
    if affine is None or node.op_type not in ("Mul", "Div"):
        return False
    value = affine.value
    while (layer := value.producer()) is not None and layer.op_type in _POSITIVELY_HOMOGENEOUS and used_once(value):
        value = first_input(layer)
    gain, sign = np.abs(affine.scale), np.where(affine.scale < 0, np.float32(-1), np.float32(1))
    if layer is None or value is affine.value or not is_layer(layer) or not used_once(value) or (gain == 1).all():
        return False
    weights, bias = parameters(layer)
    gain = np.broadcast_to(gain, bias.shape)
    set_parameters(layer, weights * _per_output(layer, gain), bias * gain)
    if (sign < 0).any():
        signs = constant(graph_of(node), f"{node.outputs[0].name}_sign", _shaped(sign, rank(affine.value)))
        replace(node, "Mul", [affine.value, signs])
    else:
        bypass(node, affine.value)
    return True


def _fold_input_shift(layer: ir.Node) -> bool:
    """A shift of the image, then Conv: fold it into the bias; on the padding, it is not exact."""
    node = before(layer, "Add")
    value = None if node is None else first_input(node)
    while value is not None and (reshape := value.producer()) is not None and reshape.op_type == "Reshape":
        value = first_input(reshape)
    return value is not None and value.is_graph_input() and _fold_forward(layer, shifted_padding=True)


def _fold_forward(layer: ir.Node, *, shifted_padding: bool = False) -> bool:
    """A scale or shift, then Conv or Gemm: fold it into weights and bias.

    With `shifted_padding`, a shift is folded into a padded convolution too, as if it applied to the padding.
    """
    node = before(layer, *_AFFINE) if is_layer(layer) else None
    affine = _affine(node)
    if affine is None or node is None or not used_once(node.outputs[0]):
        return False
    weights, bias = parameters(layer)
    if layer.op_type == "Conv":
        padded = any(integers(layer, "pads")) or "auto_pad" in layer.attributes
        grouped = "group" in layer.attributes and layer.attributes["group"].as_int() != 1
        if grouped or (padded and affine.shift.any() and not shifted_padding):
            return False
        scale, shift = (np.broadcast_to(v, weights.shape[1]) for v in (affine.scale, affine.shift))
        set_parameters(layer, weights * scale.reshape(1, -1, 1, 1), bias + np.einsum("oihw,i->o", weights, shift))
    else:
        scale, shift = (np.broadcast_to(v, weights.shape[0]) for v in (affine.scale, affine.shift))
        set_parameters(layer, weights * scale[:, None], bias + shift @ weights)
    bypass(node, affine.value)
    return True


def _move_over(node: ir.Node) -> bool:
    """A scale or shift, then pooling, Flatten or, after a scale, a shift: swap them to move it towards a layer."""
    affine = _affine(node)
    user = only_user(node.outputs[0])
    if affine is None or user is None:
        return False
    if user.op_type in _POOLS:
        if user.op_type == "MaxPool" and (affine.scale < 0).any():
            return False
        if user.op_type == "AveragePool" and any(integers(user, "pads")):
            return False
        return _swap(node, user, affine)
    uniform = affine.scale.size == affine.shift.size == 1
    if user.op_type in _UNIFORM or (user.op_type == "Transpose" and uniform):
        return uniform and user.inputs[0] is node.outputs[0] and _swap(node, user, affine)
    if user.op_type == "Reshape":
        flattens = static_dims(user.outputs[0]) == [int(np.prod(static_dims(affine.value)))]
        return (uniform or flattens) and _swap(node, user, affine if uniform else _per_entry(affine))
    shift = _affine(user)
    if node.op_type == "Mul" and user.op_type == "Add" and shift is not None and (affine.scale != 0).all():
        # x·s + t = (x + t/s)·s: the scale can move on where the shift cannot
        operand = next(i for i, value in enumerate(user.inputs) if array_of(value) is not None)
        shifted = _shaped(shift.shift / affine.scale, rank(affine.value))
        user.replace_input_with(operand, constant(graph_of(user), f"{user.outputs[0].name}_shift", shifted))
        return _swap(node, user, affine)
    return False


def _move_back_over_reshape(node: ir.Node) -> bool:
    """Reshape of the pixels of each channel, then a scale or shift per channel: swap them, as after a Conv1D."""
    affine = _affine(node)
    reshape = affine.value.producer() if affine is not None else None
    if affine is None or reshape is None or reshape.op_type != "Reshape" or not used_once(affine.value):
        return False
    source = first_input(reshape)
    if (
        affine.scale.size == affine.shift.size == 1
        or source.shape is None
        or rank(affine.value) < 3
        or rank(source) < 3
    ):
        return False
    if static_dims(source)[0] != static_dims(affine.value)[0]:
        return False
    bypass(node, affine.value)
    is_scale = node.op_type in ("Mul", "Div")
    vector = _shaped(affine.scale if is_scale else affine.shift, rank(source))
    name = f"{source.name}_{'scale' if is_scale else 'shift'}"
    insert_after(source, graph_of(node), "Mul" if is_scale else "Add", [source, constant(graph_of(node), name, vector)])
    return True


def _per_entry(affine: _Affine) -> _Affine:
    """Repeat scale and shift for every entry of a flattened channel."""
    channels, *others = static_dims(affine.value)
    entries = int(np.prod(others))
    scale, shift = (np.repeat(np.broadcast_to(v, channels), entries) for v in (affine.scale, affine.shift))
    return _Affine(affine.value, scale, shift)


def _swap(node: ir.Node, user: ir.Node, affine: _Affine) -> bool:
    """Swap an affine node with its user."""
    graph = graph_of(node)
    bypass(node, affine.value)
    is_scale = node.op_type in ("Mul", "Div")
    result = user.outputs[0]
    vector = _shaped(affine.scale if is_scale else affine.shift, rank(result))
    name = f"{result.name}_{'scale' if is_scale else 'shift'}"
    insert_after(result, graph, "Mul" if is_scale else "Add", [result, constant(graph, name, vector)])
    return True


def _per_output(layer: ir.Node, vector: FloatArray) -> FloatArray:
    """Reshape a vector of output channels for broadcasting over a layer's weights."""
    return vector.reshape(-1, 1, 1, 1) if layer.op_type == "Conv" else vector


def _shaped(vector: FloatArray, axes: int) -> FloatArray:
    """Reshape a vector of channels for broadcasting over a value with this many axes."""
    return vector.reshape((1, -1) + (1,) * (axes - 2)) if axes >= 2 else vector


#: Together these fold every constant Mul and Add into a Conv or Gemm where that is exact.
FOLDING_RULES = (_fold_back, _scale_back, _fold_forward, _move_over, _move_back_over_reshape)
