"""Space-to-depth: replace a stride-2 convolution over one channel by a stride-1 convolution over four channels.

onnxruntime's int8 convolution gathers its patches channel by channel; with one channel, gathering takes longer than
the arithmetic. A 5×5 convolution with 32 filters and stride 2 over 28×28 pixels took 8.2 µs per image in int8 and
3.7 µs after this rewriting (Intel Xeon, one thread, batch 128, onnxruntime 1.31.1). The sums are the same, so the
predictions are too.
"""

import numpy as np
import onnx_ir as ir

from digits_edge.export.graph.rewriting import (
    apply_until_still,
    first_input,
    graph_of,
    integers,
    is_layer,
    parameters,
    set_parameters,
    static_dims,
)
from digits_edge.runtime.model.model_file import BATCH_AXIS

_BLOCK = 2


def to_space_to_depth(model: ir.Model) -> ir.Model:
    """Insert SpaceToDepth before every stride-2 convolution over one channel, which then has stride 1; in place.

    Args:
        model: float model whose convolutions are channels-first.

    Returns:
        The same model.
    """
    apply_until_still(model, [_split_into_blocks])
    return model


def _is_single_channel_stride_2(node: ir.Node) -> bool:
    if node.op_type != "Conv" or not is_layer(node) or integers(node, "strides") != (_BLOCK, _BLOCK):
        return False
    channels, *sides = static_dims(first_input(node))
    plain = "auto_pad" not in node.attributes and set(integers(node, "dilations")) <= {1}
    return plain and channels == 1 and all(side % _BLOCK == 0 for side in sides)


def _split_into_blocks(node: ir.Node) -> bool:
    """Convolution over one channel with stride 2 → SpaceToDepth, convolution over four channels."""
    if not _is_single_channel_stride_2(node):
        return False
    weights, bias = parameters(node)
    rows, columns = static_dims(first_input(node))[1:]
    out_rows, out_columns = static_dims(node.outputs[0])[1:]
    top, left = (integers(node, "pads") or (0, 0, 0, 0))[:2]
    # with odd padding the kernel starts with a row of zeros; kernel and padding end at block boundaries
    kernel = [_to_blocks(top % _BLOCK + weights.shape[2]), _to_blocks(left % _BLOCK + weights.shape[3])]
    padded = np.zeros((len(weights), kernel[0] * _BLOCK, kernel[1] * _BLOCK), np.float32)
    padded[:, top % _BLOCK :, left % _BLOCK :][:, : weights.shape[2], : weights.shape[3]] = weights[:, 0]
    # SpaceToDepth maps row r and column c of a block to channel 2·r + c
    blocks = padded.reshape(-1, kernel[0], _BLOCK, kernel[1], _BLOCK).transpose(0, 2, 4, 1, 3)
    before = [_to_blocks(top), _to_blocks(left)]
    after = [
        out_rows - 1 + kernel[0] - rows // _BLOCK - before[0],
        out_columns - 1 + kernel[1] - columns // _BLOCK - before[1],
    ]
    source = first_input(node)
    graph = graph_of(node)
    split = ir.node("SpaceToDepth", [source], {"blocksize": _BLOCK})
    graph.insert_before(node, split)
    split.outputs[0].shape = ir.Shape([BATCH_AXIS, _BLOCK**2, rows // _BLOCK, columns // _BLOCK])
    split.outputs[0].dtype = ir.DataType.FLOAT
    node.replace_input_with(0, split.outputs[0])
    set_parameters(node, blocks.reshape(len(weights), _BLOCK**2, *kernel), bias)
    node.attributes["strides"] = ir.AttrInt64s("strides", [1, 1])
    node.attributes["kernel_shape"] = ir.AttrInt64s("kernel_shape", kernel)
    node.attributes["pads"] = ir.AttrInt64s("pads", [*before, *after])
    return True


def _to_blocks(pixels: int) -> int:
    """The number of blocks that cover this many pixels."""
    return -(-pixels // _BLOCK)
