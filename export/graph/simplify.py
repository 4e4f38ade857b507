"""Removal of Transpose and shape arithmetic from the graph that tf2onnx creates.

tf2onnx inserts a Transpose before Flatten to preserve Keras's channels-last order, and computes the batch size with
Shape, Gather, Slice, Concat and Cast. Here shapes become constants, and dense weights are permuted instead.
"""

from itertools import chain

import numpy as np
import onnx
import onnx_ir as ir
from onnx_ir.passes.common import LiftConstantsToInitializersPass, RemoveUnusedNodesPass

from digits_edge.export.graph.folding import FOLDING_RULES
from digits_edge.export.graph.rewriting import (
    apply_until_still,
    array_of,
    before,
    bypass,
    constant,
    first_input,
    graph_of,
    integers,
    is_layer,
    name_by_position,
    parameters,
    rank,
    replace,
    set_parameters,
    static_dims,
    used_once,
)
from digits_edge.export.graph.transposes import TRANSPOSE_RULES
from digits_edge.export.graph.whole_kernel import whole_kernel_to_gemm
from digits_edge.runtime.model.image_input import ImageInput
from digits_edge.runtime.model.model_file import BATCH_AXIS
from digits_edge.runtime.session.library import load_onnxruntime

_RESHAPING = ("Reshape", "Flatten", "Squeeze", "Unsqueeze")


def simplify(model: ir.Model, image: ImageInput) -> ir.Model:
    """Rewrite a converted float model until no rule applies; in place.

    Args:
        model: input float32 (N, H, W) or (N, H, W, 3), output (N, K).
        image: the images.

    Returns:
        The same model.
    """
    LiftConstantsToInitializersPass(lift_all_constants=True)(model)
    _replace_operators(model)
    _set_shapes(model, image)
    rules = (_constant_shape, _join_reshapes, _drop_reshape, _matmul_to_gemm, _drop_transpose)
    apply_until_still(model, (*rules, *TRANSPOSE_RULES, *FOLDING_RULES, whole_kernel_to_gemm))
    name_by_position(model)
    return model


def _replace_operators(model: ir.Model) -> None:
    """Replace operators of TensorFlow that ONNX does not have or has deprecated; in place."""
    graph = model.graph
    for node in list(graph):
        if node.op_type == "Erfc":  # of Keras's `gelu`
            erf = ir.node("Erf", [first_input(node)])
            graph.insert_before(node, erf)
            replace(node, "Sub", [constant(graph, "one", np.array(1, np.float32)), erf.outputs[0]])
        elif node.op_type == "Resize" and "tf_half_pixel_for_nn" in _strings(node):
            # floor((x + ½)·s) is (x + ½)·s − ½, rounded to the nearest integer, half up
            node.attributes["coordinate_transformation_mode"] = ir.AttrString(
                "coordinate_transformation_mode", "half_pixel"
            )
            node.attributes["nearest_mode"] = ir.AttrString("nearest_mode", "round_prefer_ceil")
    RemoveUnusedNodesPass()(model)


def _strings(node: ir.Node) -> list[str]:
    return [each.as_string() for each in node.attributes.values() if each.type == ir.AttributeType.STRING]


def _set_shapes(model: ir.Model, images: ImageInput) -> None:
    """Set the shape and dtype of every value.

    Shape inference fails on the converter's shape arithmetic, so the model is run with two batch sizes; an axis whose
    size differs is N.
    """
    graph = model.graph
    values = list(chain.from_iterable(node.outputs for node in graph))
    proto = ir.to_proto(model)
    del proto.graph.output[:]
    proto.graph.output.extend(onnx.ValueInfoProto(name=value.name) for value in values)
    onnxruntime = load_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    image = graph.inputs[0]
    image.shape = ir.Shape([BATCH_AXIS, *images.shape])
    two, three = (session.run(None, {image.name: np.zeros((n, *images.shape), np.float32)}) for n in (2, 3))
    for value, a, b in zip(values, two, three, strict=True):
        value.shape = ir.Shape([_size(m, n) for m, n in zip(a.shape, b.shape, strict=True)])
        value.dtype = ir.DataType.from_numpy(a.dtype)


def _size(of_two: int, of_three: int) -> int | str:
    """The size of an axis, or its name if it grows with the number of images."""
    if of_two == of_three:
        return of_two
    each = of_three - of_two
    return BATCH_AXIS if each == 1 else f"{each}{BATCH_AXIS}"


def _constant_shape(node: ir.Node) -> bool:
    """Replace an operator that changes only the shape, not the batch axis, by a Reshape to constant sizes."""
    if node.op_type not in _RESHAPING or not _has_static_dims(node.outputs[0]):
        return False
    sizes = np.array([-1, *static_dims(node.outputs[0])], np.int64)
    target = array_of(node.inputs[1]) if node.op_type == "Reshape" else None
    if target is not None and np.array_equal(target, sizes):
        return False
    shape = constant(graph_of(node), f"{node.outputs[0].name}_shape", sizes)
    replace(node, "Reshape", [first_input(node), shape])
    return True


def _has_static_dims(value: ir.Value) -> bool:
    """Whether only the first axis depends on the number of images."""
    if value.shape is None or not value.shape.rank():
        return False
    first, *others = value.shape
    return not isinstance(first, int) and all(isinstance(size, int) for size in others)


def _join_reshapes(node: ir.Node) -> bool:
    """Join two consecutive Reshapes; the last shape decides."""
    first = before(node, "Reshape") if node.op_type == "Reshape" else None
    if first is None:
        return False
    node.replace_input_with(0, first_input(first))
    return True


def _drop_reshape(node: ir.Node) -> bool:
    """Remove a Reshape to the shape that its input already has."""
    if node.op_type != "Reshape" or not list(node.outputs[0].uses()):
        return False
    if first_input(node).shape != node.outputs[0].shape:
        return False
    bypass(node, first_input(node))
    return True


def _matmul_to_gemm(node: ir.Node) -> bool:
    """Replace a MatMul of rows by constant weights by a Gemm, into which a bias can be folded."""
    if node.op_type != "MatMul" or array_of(node.inputs[1]) is None or rank(first_input(node)) != 2:
        return False
    result = node.outputs[0]
    bias = constant(graph_of(node), f"{result.name}_bias", np.zeros(static_dims(result), np.float32))
    replace(node, "Gemm", [*(value for value in node.inputs if value is not None), bias])
    return True


def _drop_transpose(node: ir.Node) -> bool:
    """Transpose, Flatten, Gemm: remove the Transpose and permute the Gemm's weights instead."""
    flatten = before(node, "Reshape") if node.op_type == "Gemm" and is_layer(node) else None
    transpose = before(flatten, "Transpose")
    if flatten is None or transpose is None or not used_once(flatten.outputs[0]):
        return False
    permutation = integers(transpose, "perm")
    if permutation[0] != 0:
        return False
    source = static_dims(first_input(transpose))
    if static_dims(flatten.outputs[0]) != [int(np.prod(source))]:
        return False  # Dense on a feature map: its rows are pixels, not images
    # entry j of the transposed row is entry order[j] of the original row
    order = np.arange(np.prod(source)).reshape(source).transpose([axis - 1 for axis in permutation[1:]]).ravel()
    weights, bias = parameters(node)
    permuted = np.empty_like(weights)
    permuted[order] = weights
    set_parameters(node, permuted, bias)
    flatten.replace_input_with(0, first_input(transpose))
    return True
