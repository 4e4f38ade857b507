"""Float graph → int8: static QDQ, uint8 activations, int8 weights per channel.

Measured on the CPU provider, one thread: with uint8 activations the larger models run about three times as fast as in
fp32; with int8 activations they can be slower than fp32, and dynamic quantization is several times slower.
"""

import logging
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes.common import RemoveUnusedNodesPass
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from digits_edge.export.graph.rewriting import before, bypass, first_input
from digits_edge.export.precision.overflow import quantization_overrides

#: What onnxruntime has int8 kernels for and these networks consist of; Softmax stays float.
QUANTIZED_OPERATORS = [
    "Conv",
    "Gemm",
    "MatMul",
    "Add",
    "MaxPool",
    "AveragePool",
    "GlobalAveragePool",
    "Concat",
    "Reshape",
    "Relu",
]
_CALIBRATION_BATCH = 64


def quantize(model: ir.Model, images: NDArray[np.float32], *, float_layers: Collection[str] = ()) -> ir.Model:
    """Quantize a float model.

    Args:
        model: input `image`, float32 (N, 28, 28), scaled; left as it is.
        images: float32 (K, 28, 28), scaled, from which the ranges of the activations are taken.
        float_layers: names of nodes that stay float.

    Returns:
        A new model whose input is still float32; QuantizeLinear and DequantizeLinear stand around what is int8.
    """
    with tempfile.TemporaryDirectory() as folder:
        unprepared, prepared, quantized = (Path(folder, f"{step}.onnx") for step in ("float", "prepared", "int8"))
        onnx.save(ir.to_proto(model), unprepared)
        # constants are folded and shapes known before ranges are measured; the batch is symbolic enough without sympy
        quant_pre_process(str(unprepared), str(prepared), skip_symbolic_shape=True)
        overrides = quantization_overrides(ir.from_proto(onnx.load(prepared)), float_layers=float_layers)
        # it asks for pre-processing although it was done, through the root logger
        logging.disable(logging.WARNING)
        try:
            quantize_static(
                str(prepared),
                str(quantized),
                _Images(model.graph.inputs[0].name or "", images),
                quant_format=QuantFormat.QDQ,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                per_channel=True,
                op_types_to_quantize=QUANTIZED_OPERATORS,
                nodes_to_exclude=list(float_layers),
                extra_options={"TensorQuantOverrides": overrides},
                calibrate_method=CalibrationMethod.MinMax,
            )
        finally:
            logging.disable(logging.NOTSET)
        return _pool_before_relu(_float_rows(ir.from_proto(onnx.load(quantized))))


def _float_rows(model: ir.Model) -> ir.Model:
    """Leave the logits, and what a Gemm hands to a float operator such as Elu, as they are computed.

    onnxruntime's int8 Gemm can answer in float, and 256 steps are coarse.
    """
    for dequantizing in list(model.graph):
        quantizing = before(dequantizing, "QuantizeLinear") if dequantizing.op_type == "DequantizeLinear" else None
        if quantizing is None:
            continue
        result = dequantizing.outputs[0]
        to_float = all(user.op_type not in QUANTIZED_OPERATORS for user, _ in result.uses())
        if result.is_graph_output() or (before(quantizing, "Gemm") is not None and to_float):
            bypass(dequantizing, first_input(quantizing))
    RemoveUnusedNodesPass()(model)
    return model


def _pool_before_relu(model: ir.Model) -> ir.Model:
    """Let a float MaxPool come before its Relu, which it answers alike.

    Else onnxruntime moves the QuantizeLinear behind them in front of both, and then quantizes the layer before them,
    which was to stay float. With its first convolution float, and so, `cnn-small` takes 0.55 to 0.71 of the time that
    it takes in fp32; with all layers int8 it is 0.79 to 1.01 (Intel Xeon, one thread, batch 1 to 1,024, 1.31.1).
    """
    for pool in list(model.graph):
        relu = before(pool, "Relu") if pool.op_type == "MaxPool" else None
        if relu is None or len(relu.outputs[0].uses()) > 1:
            continue
        pooled, rectified = pool.outputs[0], relu.outputs[0]
        pooled.replace_all_uses_with(rectified)
        pool.replace_input_with(0, first_input(relu))
        relu.replace_input_with(0, pooled)
        rectified.shape = pooled.shape
        model.graph.remove(relu)
        model.graph.insert_after(pool, relu)
    return model


def layer_names(model: ir.Model) -> list[str]:
    """The names of the nodes with weights, first to last, for `float_layers`."""
    return [node.name or "" for node in model.graph if node.op_type in ("Conv", "Gemm", "MatMul")]


class _Images(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, name: str, images: NDArray[np.float32]) -> None:
        self._batches: Iterator[dict[str, NDArray[np.float32]]] = (
            {name: images[start : start + _CALIBRATION_BATCH]} for start in range(0, len(images), _CALIBRATION_BATCH)
        )

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        return next(self._batches, None)
