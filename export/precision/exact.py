"""Evaluation of a quantized graph in exact arithmetic: `exact_probabilities()`.

In float64 the product of two dequantized integers, and a sum of millions of such products, is exact to about 1e-15.
Therefore a QDQ graph evaluated in float64 rounds every activation as exact integer arithmetic does, on any processor,
except for ties within 1e-13 of a half.
"""

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from digits_edge.runtime.errors import ModelError
from digits_edge.runtime.model.model_file import INPUT_NAME

#: The oldest opset whose DequantizeLinear onnx can evaluate; these graphs' operators have the same semantics in it.
_OPSET = 19
_BATCH = 50


def exact_probabilities(graph: ir.Model, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Evaluate a graph in float64 with onnx's reference implementation.

    Args:
        graph: input uint8 pixels, output probabilities; not modified.
        images: uint8 (N, H, W), N at least 1.

    Returns:
        Probabilities, float32 (N, C).

    Raises:
        ModelError: the graph has an operator that onnx cannot evaluate.

    Example:
        >>> from digits_edge.runtime.session.precision import find_model
        >>> graph = ir.from_proto(onnx.load(find_model("cnn-small-int8", "cpu")))
        >>> exact_probabilities(graph, np.zeros((1, 28, 28), np.uint8)).shape
        (1, 10)
    """
    try:
        evaluator = ReferenceEvaluator(_in_float64(ir.to_proto(graph)), new_ops=[Conv, MaxPool])
        batches = [images[start : start + _BATCH] for start in range(0, len(images), _BATCH)]
        [parts] = zip(*(evaluator.run(None, {INPUT_NAME: batch}) for batch in batches), strict=True)
    except Exception as error:  # the evaluator raises any exception of its operators
        raise ModelError(f"{graph.graph.name} cannot be evaluated in exact arithmetic: {error!r}") from error
    return np.concatenate(parts).astype(np.float32)


def _in_float64(model: onnx.ModelProto) -> onnx.ModelProto:
    """Convert constants and casts of a graph to float64; in place."""
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            array = onnx.numpy_helper.to_array(tensor).astype(np.float64)
            tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))
    for node in model.graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == onnx.TensorProto.FLOAT:
                attribute.i = onnx.TensorProto.DOUBLE
    for opset in model.opset_import:
        if opset.domain == "":
            opset.version = max(opset.version, _OPSET)
    return model


class Conv(OpRun):
    """Convolution as a single matrix product, 100× faster than onnx's implementation."""

    def _run(
        self,
        x: NDArray[Any],
        weights: NDArray[Any],
        bias: NDArray[Any] | None = None,
        dilations: list[int] | None = None,
        group: int | None = None,
        pads: list[int] | None = None,
        strides: list[int] | None = None,
        **_: object,
    ) -> tuple[NDArray[Any]]:
        axes = weights.ndim - 2
        dilations = dilations or [1] * axes
        reach = [(size - 1) * dilation + 1 for size, dilation in zip(weights.shape[2:], dilations, strict=True)]
        patches = _patches(x, reach, pads, strides, 0)
        dilated: tuple[Any, ...] = (..., *(slice(None, None, dilation) for dilation in dilations))
        patches = patches[dilated]
        contracted = [1, *range(2 + axes, 2 + 2 * axes)], list(range(1, 2 + axes))
        results = [
            np.moveaxis(np.tensordot(inputs, filters, contracted), -1, 1)
            for inputs, filters in zip(
                np.split(patches, group or 1, axis=1), np.split(weights, group or 1), strict=True
            )
        ]
        result = np.concatenate(results, axis=1)
        return (result if bias is None else result + bias.reshape(-1, *[1] * axes),)


class MaxPool(OpRun):
    """MaxPool without onnx's loop over pixels."""

    def _run(
        self,
        x: NDArray[Any],
        ceil_mode: int | None = None,
        dilations: list[int] | None = None,
        kernel_shape: list[int] | None = None,
        pads: list[int] | None = None,
        strides: list[int] | None = None,
        **_: object,
    ) -> tuple[NDArray[Any]]:
        if ceil_mode or set(dilations or ()) > {1}:
            raise NotImplementedError("MaxPool with ceil_mode or dilations")
        assert kernel_shape is not None  # required by the ONNX standard
        patches = _patches(x, kernel_shape, pads, strides, -np.inf)
        return (patches.max(axis=tuple(range(x.ndim, patches.ndim))),)


def _patches(
    x: NDArray[Any], shape: list[int], pads: list[int] | None, strides: list[int] | None, fill: float
) -> NDArray[Any]:
    """Sliding windows over all axes except the first two: (N, C, *positions, *shape)."""
    axes = x.ndim - 2
    pads, strides = pads or [0] * 2 * axes, strides or [1] * axes
    padded = np.pad(x, [(0, 0), (0, 0), *zip(pads[:axes], pads[axes:], strict=True)], constant_values=fill)
    windows = np.lib.stride_tricks.sliding_window_view(padded, shape, axis=tuple(range(2, 2 + axes)))
    return np.asarray(windows[(slice(None), slice(None), *(slice(None, None, stride) for stride in strides))])
