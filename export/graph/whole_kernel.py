"""Whole kernels: replace a convolution whose kernel covers its whole input by a dense layer.

onnxruntime's int8 convolution computes the images of a batch one by one and reads all weights for each; Gemm reads them
once for many images. The sums are the same.
"""

import numpy as np
import onnx_ir as ir

from digits_edge.export.graph.rewriting import (
    bypass,
    constant,
    first_input,
    graph_of,
    integers,
    is_layer,
    parameters,
    static_dims,
    used_once,
)


def whole_kernel_to_gemm(node: ir.Node) -> bool:
    """Conv with one output pixel, maybe Relu, Reshape to rows → Reshape to rows, Gemm, Relu."""
    if not _has_whole_kernel(node):
        return False
    relu = _only_user(node, "Relu")
    reshape = _only_user(relu or node, "Reshape")
    weights, bias = parameters(node)
    if reshape is None or static_dims(reshape.outputs[0]) != [len(weights)]:
        return False
    source, rows, graph, name = first_input(node), reshape.outputs[0], graph_of(node), node.outputs[0].name
    assert source.shape is not None
    flat = ir.node("Reshape", [source, constant(graph, f"{name}_sizes", np.array([-1, weights[0].size], np.int64))])
    flat.outputs[0].shape = ir.Shape([source.shape[0], weights[0].size])
    dense = np.ascontiguousarray(weights.reshape(len(weights), -1).T)
    gemm = ir.node(
        "Gemm", [flat.outputs[0], constant(graph, f"{name}_dense", dense), constant(graph, f"{name}_bias", bias)]
    )
    gemm.outputs[0].shape = rows.shape
    new = [flat, gemm]
    if relu is not None:
        new.append(ir.node("Relu", [gemm.outputs[0]]))
    for each in new:
        each.outputs[0].dtype = ir.DataType.FLOAT
        graph.insert_before(node, each)
    bypass(reshape, new[-1].outputs[0])
    return True


def _has_whole_kernel(node: ir.Node) -> bool:
    if node.op_type != "Conv" or not is_layer(node) or "auto_pad" in node.attributes:
        return False
    weights, _ = parameters(node)
    return weights.shape[1:] == tuple(static_dims(first_input(node))) and not any(integers(node, "pads"))


def _only_user(node: ir.Node, op_type: str) -> ir.Node | None:
    """The node that reads the result of a node, if it is the only one and of this operator."""
    result = node.outputs[0]
    user = next(iter(result.uses()))[0] if used_once(result) else None
    return user if user is not None and user.op_type == op_type else None
