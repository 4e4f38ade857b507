"""Scales for int8 weights with which no kernel can overflow.

x86 processors without VNNI multiply uint8 activations by int8 weights with `vpmaddubsw`, which adds the products of
two adjacent weights in 16 bits and saturates. 255·w₀ + 255·w₁ fits only if weights of one sign sum to at most 128.
Therefore the scale of a channel is enlarged until no pair exceeds this limit; every kernel then computes the same
integers.

A pair is the weights 2·i and 2·i + 1 in the order in which a kernel traverses a patch. onnxruntime and OpenVINO store
the channels of a pixel together (MLAS packs four at a time). With an odd number of channels the pairs depend on whether
the kernel pads each pixel, so both variants are limited. With one channel, the pairs of the form of
`stacked_columns.py` are limited too. Weights with unknown order get 7 bits.
"""

from collections.abc import Collection
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from digits_edge.export.graph.rewriting import array_of

#: Largest sum of two weights whose product with 255 fits into 16 bits, positive or negative.
MAX_PAIR_SUM = 128
#: Limit of a single weight whose pair is unknown: 7 bits.
_MAX_UNPAIRED = MAX_PAIR_SUM // 2
_MAX_WEIGHT = 127
#: Scale of a channel whose weights are all zero.
_MIN_SCALE = 1e-30
_LAYERS = ("Conv", "Gemm", "MatMul")


def pair_sums(weights: NDArray[np.number], operator: str) -> NDArray[np.number]:
    """Compute the largest absolute sum of a pair of weights with the same sign, for each channel.

    Args:
        weights: weights of a Conv, (out, in, …), or of a Gemm or MatMul, (in, out).
        operator: "Conv", "Gemm" or "MatMul".

    Returns:
        Shape (out,). An unpaired weight counts as a pair with zero.

    Example:
        >>> pair_sums(np.array([[100, -100, 100, 29]]).T, "Gemm")
        array([129])
    """
    layouts = [weights.T] if operator != "Conv" else _layouts(weights)
    sums = []
    for layout in layouts:
        padded = np.pad(layout, [*[(0, 0)] * (layout.ndim - 1), (0, layout.shape[-1] % 2)])
        pairs = padded.reshape(len(layout), -1, 2)
        positive, negative = np.maximum(pairs, 0).sum(axis=2), np.maximum(-pairs, 0).sum(axis=2)
        sums.append(np.maximum(positive, negative).max(axis=1))
    return np.asarray(np.max(sums, axis=0))


def _layouts(weights: NDArray[np.number]) -> list[NDArray[np.number]]:
    """Weights of a convolution in both kernel layouts: channels last, as one row and with a row per pixel."""
    channels_last = np.moveaxis(weights, 1, -1)
    return [channels_last.reshape(len(weights), -1), channels_last.reshape(len(weights), -1, weights.shape[1])]


def _pair_sums_of_forms(weights: NDArray[np.number], operator: str) -> NDArray[np.number]:
    """Pair sums of a layer, and of its form with stacked columns if it is a convolution of one channel."""
    sums = pair_sums(weights, operator)
    if operator != "Conv" or weights.ndim != 4 or weights.shape[1] != 1:
        return sums
    return np.asarray(np.maximum(sums, pair_sums(weights.transpose(0, 3, 2, 1), operator)))


def channel_scales(weights: NDArray[np.float32], operator: str) -> NDArray[np.float32]:
    """Compute the smallest scale of each channel with which its int8 weights cannot overflow.

    Args:
        weights: float32, with the shape that `pair_sums` expects.
        operator: "Conv", "Gemm" or "MatMul".

    Returns:
        Shape (out,), float32.

    Example:
        The second channel has two large adjacent weights, so 7 bits remain for each.

        >>> channel_scales(np.array([[127, 127], [1, 127]], np.float32), "Gemm")
        array([1.      , 1.984375], dtype=float32)
    """
    axis = channel_axis(operator)
    by_channel = np.moveaxis(weights, axis, 0).reshape(weights.shape[axis], -1).astype(np.float64)
    sums = _pair_sums_of_forms(weights, operator)
    scales = np.maximum(np.abs(by_channel).max(axis=1) / _MAX_WEIGHT, sums / MAX_PAIR_SUM)
    scales = np.maximum(scales, _MIN_SCALE).astype(np.float32)
    # if both weights of a pair are rounded up, their sum may exceed the limit by one
    while (over := _pair_sums_of_forms(quantized(weights, scales, operator), operator) > MAX_PAIR_SUM).any():
        scales[over] = np.nextafter(scales[over], np.float32(np.inf))
    return np.asarray(scales)


def quantized(weights: NDArray[np.float32], scales: NDArray[np.float32], operator: str) -> NDArray[np.int32]:
    """Divide weights by the scale of their channel and round half to even.

    Args:
        weights: float32, with the shape that `pair_sums` expects.
        scales: shape (out,).
        operator: "Conv", "Gemm" or "MatMul".

    Example:
        >>> quantized(np.array([[1.0], [2.5]], np.float32), np.array([0.5], np.float32), "Gemm").tolist()
        [[2], [5]]
    """
    shape = [1] * weights.ndim
    shape[channel_axis(operator)] = -1
    return np.asarray(np.rint(weights / scales.reshape(shape)), np.int32)


def channel_axis(operator: str) -> int:
    """The output axis of a layer's weights."""
    return 0 if operator == "Conv" else 1


def quantization_overrides(model: ir.Model, *, float_layers: Collection[str] = ()) -> dict[str, list[dict[str, Any]]]:
    """Compute the scales of all weights in the format of onnxruntime's option `TensorQuantOverrides`.

    Args:
        model: float model.
        float_layers: names of nodes that are not quantized.

    Returns:
        Name of the weights → one entry per channel, or a single entry for the tensor.
    """
    overrides: dict[str, list[dict[str, Any]]] = {}
    for node in model.graph:
        if node.op_type not in _LAYERS or node.name in float_layers:
            continue
        for index, value in enumerate(node.inputs[:2]):
            weights = array_of(value)
            if value is None or weights is None:
                continue
            if _has_known_layout(node, index, weights):
                axis = channel_axis(node.op_type)
                entries = [{"axis": axis, "scale": scale} for scale in channel_scales(weights, node.op_type)]
            else:
                entries = [{"scale": np.float32(max(np.abs(weights).max() / _MAX_UNPAIRED, _MIN_SCALE))}]
            overrides[value.name or ""] = [{**entry, "zero_point": np.int8(0)} for entry in entries]
    return overrides


def bounds(model: ir.Model) -> dict[str, int]:
    """Compute the largest pair sum of each int8 layer in a quantized graph.

    A layer whose bound is at most `MAX_PAIR_SUM` computes the same integers on every processor.

    Returns:
        Layer name → bound; float layers are omitted.

    Example:
        >>> import onnx
        >>> from digits_edge.runtime.session.precision import find_model
        >>> model = ir.from_proto(onnx.load(find_model("cnn-small-int8", "cpu")))
        >>> max(bounds(model).values()) <= MAX_PAIR_SUM
        True
    """
    largest: dict[str, int] = {}
    for node in model.graph:
        for index, value in enumerate(node.inputs[:2] if node.op_type in _LAYERS else ()):
            dequantizing = value.producer() if value is not None else None
            if dequantizing is None or dequantizing.op_type != "DequantizeLinear":
                continue
            weights = array_of(dequantizing.inputs[0])
            if weights is None or weights.dtype != np.int8:
                continue
            weights = weights.astype(np.int32)
            has_pairs = _has_known_layout(node, index, weights)
            bound = pair_sums(weights, node.op_type).max() if has_pairs else 2 * np.abs(weights).max()
            largest[node.name or ""] = max(int(bound), largest.get(node.name or "", 0))
    return largest


def _has_known_layout(node: ir.Node, index: int, weights: NDArray[Any]) -> bool:
    """Whether a kernel traverses a layer's weights in the order that `pair_sums` assumes."""
    if node.op_type == "Conv":
        return index == 1
    transposed = any(name in node.attributes and node.attributes[name].as_int() for name in ("transA", "transB"))
    return index == 1 and weights.ndim == 2 and not transposed
