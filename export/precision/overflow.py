"""int8 weights that no kernel can overflow.

x86 processors without VNNI multiply uint8 activations by int8 weights with `vpmaddubsw`, which adds the products of
two neighbours in 16 bits and saturates: 255·w₀ + 255·w₁ fits only while weights of one sign sum to 128 at most. So the
scale of a channel is enlarged until no two neighbours exceed that, and every kernel then computes the same integers.

Neighbours are the weights 2·i and 2·i + 1 in the order in which a kernel walks over a patch: onnxruntime and OpenVINO
keep the channels of a pixel together (MLAS packs four at a time). With an odd number of channels the pairs depend on
whether the kernel pads each pixel, so both are limited. Weights whose place in the kernel is not known get 7 bits.
"""

from collections.abc import Collection
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from digits_edge.export.graph.rewriting import array_of

#: 255 times this is the largest sum of two products that fits 16 bits; so does 255 times its negative.
MAX_PAIR_SUM = 128
#: Of a weight whose neighbour is not known: 7 bits.
_MAX_ALONE = MAX_PAIR_SUM // 2
_MAX_WEIGHT = 127
#: Of a channel whose weights are all zero.
_MIN_SCALE = 1e-30
_LAYERS = ("Conv", "Gemm", "MatMul")


def pair_sums(weights: NDArray[np.number], operator: str) -> NDArray[np.number]:
    """The largest sum, without its sign, of two neighbours of one sign, for each channel.

    Args:
        weights: of a Conv, (out, in, …), or of a Gemm or MatMul, (in, out).
        operator: "Conv", "Gemm" or "MatMul".

    Returns:
        Shape (out,). A single weight counts as a pair with zero.

    Examples:
        >>> pair_sums(np.array([[100, -100, 100, 29]]).T, "Gemm")
        array([129])
    """
    walks = [weights.T] if operator != "Conv" else _walks(weights)
    sums = []
    for walk in walks:
        padded = np.pad(walk, [*[(0, 0)] * (walk.ndim - 1), (0, walk.shape[-1] % 2)])
        pairs = padded.reshape(len(walk), -1, 2)
        above, below = np.maximum(pairs, 0).sum(axis=2), np.maximum(-pairs, 0).sum(axis=2)
        sums.append(np.maximum(above, below).max(axis=1))
    return np.asarray(np.max(sums, axis=0))


def _walks(weights: NDArray[np.number]) -> list[NDArray[np.number]]:
    """A convolution's weights in the orders of its kernels: channels last, in one row and with every pixel apart."""
    channels_last = np.moveaxis(weights, 1, -1)
    return [channels_last.reshape(len(weights), -1), channels_last.reshape(len(weights), -1, weights.shape[1])]


def channel_scales(weights: NDArray[np.float32], operator: str) -> NDArray[np.float32]:
    """The smallest scale of each channel with which its int8 weights cannot overflow, float32 (out,).

    Args:
        weights: float, as `pair_sums` takes them.
        operator: "Conv", "Gemm" or "MatMul".
    """
    axis = channel_axis(operator)
    by_channel = np.moveaxis(weights, axis, 0).reshape(weights.shape[axis], -1).astype(np.float64)
    scales = np.maximum(np.abs(by_channel).max(axis=1) / _MAX_WEIGHT, pair_sums(weights, operator) / MAX_PAIR_SUM)
    scales = np.maximum(scales, _MIN_SCALE).astype(np.float32)
    # two halves that are rounded up may exceed the limit by one
    while (over := pair_sums(quantized(weights, scales, operator), operator) > MAX_PAIR_SUM).any():
        scales[over] = np.nextafter(scales[over], np.float32(np.inf))
    return np.asarray(scales)


def quantized(weights: NDArray[np.float32], scales: NDArray[np.float32], operator: str) -> NDArray[np.int32]:
    """Weights as integers of their channel's scale, rounded to even."""
    shape = [1] * weights.ndim
    shape[channel_axis(operator)] = -1
    return np.asarray(np.rint(weights / scales.reshape(shape)), np.int32)


def channel_axis(operator: str) -> int:
    """The axis of a layer's weights that counts its outputs."""
    return 0 if operator == "Conv" else 1


def quantization_overrides(model: ir.Model, *, float_layers: Collection[str] = ()) -> dict[str, list[dict[str, Any]]]:
    """The scales of all weights, as `onnxruntime.quantization` takes them in `TensorQuantOverrides`.

    Args:
        model: float.
        float_layers: names of nodes that stay float.
    """
    overrides: dict[str, list[dict[str, Any]]] = {}
    for node in model.graph:
        if node.op_type not in _LAYERS or node.name in float_layers:
            continue
        for index, value in enumerate(node.inputs[:2]):
            weights = array_of(value)
            if value is None or weights is None:
                continue
            if _is_known(node, index, weights):
                axis = channel_axis(node.op_type)
                each = [{"axis": axis, "scale": scale} for scale in channel_scales(weights, node.op_type)]
            else:
                each = [{"scale": np.float32(max(np.abs(weights).max() / _MAX_ALONE, _MIN_SCALE))}]
            overrides[value.name or ""] = [{**one, "zero_point": np.int8(0)} for one in each]
    return overrides


def bounds(model: ir.Model) -> dict[str, int]:
    """The largest pair sum of each int8 layer of a quantized graph, by the layer's name.

    A layer whose bound is at most `MAX_PAIR_SUM` computes the same integers on every processor. Layers that stay float
    are not listed.
    """
    found: dict[str, int] = {}
    for node in model.graph:
        for index, value in enumerate(node.inputs[:2] if node.op_type in _LAYERS else ()):
            dequantizing = value.producer() if value is not None else None
            if dequantizing is None or dequantizing.op_type != "DequantizeLinear":
                continue
            weights = array_of(dequantizing.inputs[0])
            if weights is None or weights.dtype != np.int8:
                continue
            weights = weights.astype(np.int32)
            known = _is_known(node, index, weights)
            bound = pair_sums(weights, node.op_type).max() if known else 2 * np.abs(weights).max()
            found[node.name or ""] = max(int(bound), found.get(node.name or "", 0))
    return found


def _is_known(node: ir.Node, index: int, weights: NDArray[Any]) -> bool:
    """Whether a kernel walks over a layer's weights in the order that `pair_sums` supposes."""
    if node.op_type == "Conv":
        return index == 1
    transposed = any(name in node.attributes and node.attributes[name].as_int() for name in ("transA", "transB"))
    return index == 1 and weights.ndim == 2 and not transposed
