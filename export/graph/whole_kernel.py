"""Whole kernels: replace a convolution whose kernel covers its whole input by a dense layer.

onnxruntime's int8 convolution computes the images of a batch one by one and reads all weights for each; Gemm reads them
once for many images. The sums are the same.
"""

import numpy as np
import onnx_ir as ir

from digits_edge.export.graph.rewriting import (
    constant,
    first_input,
    graph_of,
    insert_after,
    integers,
    is_layer,
    only_user,
    parameters,
    replace,
    static_dims,
)


def whole_kernel_to_gemm(node: ir.Node) -> bool:
    """Conv with one output pixel, maybe Relu, Reshape to rows → Reshape to rows, Gemm, Relu."""
    if not _has_whole_kernel(node):
        return False
    user = only_user(node.outputs[0])
    relu = user if user is not None and user.op_type == "Relu" else None
    reshape = user if relu is None else only_user(relu.outputs[0])
    weights, bias = parameters(node)
    if reshape is None or reshape.op_type != "Reshape" or static_dims(reshape.outputs[0]) != [len(weights)]:
        return False
    graph, name, source, entries = graph_of(node), node.outputs[0].name, first_input(node), weights[0].size
    flat = ir.node("Reshape", [source, constant(graph, f"{name}_sizes", np.array([-1, entries], np.int64))])
    assert source.shape is not None
    flat.outputs[0].shape = ir.Shape([source.shape[0], entries])
    flat.outputs[0].dtype = ir.DataType.FLOAT
    graph.insert_before(node, flat)
    if relu is not None:
        insert_after(reshape.outputs[0], graph, "Relu", [reshape.outputs[0]])
    dense = np.ascontiguousarray(weights.reshape(len(weights), -1).T)
    replaced = [flat.outputs[0], constant(graph, f"{name}_dense", dense), constant(graph, f"{name}_bias", bias)]
    replace(reshape, "Gemm", replaced)
    return True


def _has_whole_kernel(node: ir.Node) -> bool:
    if node.op_type != "Conv" or not is_layer(node) or "auto_pad" in node.attributes:
        return False
    weights, _ = parameters(node)
    return weights.shape[1:] == tuple(static_dims(first_input(node))) and not any(integers(node, "pads"))
