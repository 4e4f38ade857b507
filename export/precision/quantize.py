"""Static int8 quantization of a float graph: QDQ format, uint8 activations, per-channel int8 weights.

On the CPU provider with one thread, the larger models are about 3× faster than fp32 with uint8 activations. With int8
activations they can be slower than fp32, and dynamic quantization is several times slower.
"""

import inspect
import logging
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Self

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes.common import RemoveUnusedNodesPass
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from digits_edge.export.graph.rewriting import array_of, before, bypass, first_input, insert_after
from digits_edge.export.precision.overflow import quantization_overrides

#: Operators of these networks that have int8 kernels in onnxruntime; Softmax remains float.
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
_LAYERS = ("Conv", "Gemm", "MatMul")
#: Operators with several computed inputs; in int8 they round as layers do.
_JOINS = ("Add", "Concat")
#: Float operators whose neighbours may be int8: activations of layers, and operators that move or repeat entries.
#: All others, such as those of LayerNormalization, gelu, gates and recurrent layers, lose accuracy between int8 ones.
_NEUTRAL = {
    *("Elu", "Selu", "LeakyRelu", "Clip", "ConvTranspose", "GlobalMaxPool"),
    *("Transpose", "SpaceToDepth", "DepthToSpace", "Resize", "Tile", "Pad", "Squeeze", "Unsqueeze", "Flatten"),
}
#: Operators across which onnxruntime moves a QuantizeLinear to the front.
_MOVED_ACROSS = ("MaxPool", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Slice")
_CALIBRATION_BATCH = 64
_CACHES_CALIBRATION = "calibration_cache_path" in inspect.signature(quantize_static).parameters


def quantize(model: ir.Model, images: NDArray[np.float32], *, float_layers: Collection[str] = ()) -> ir.Model:
    """Quantize a float model.

    Args:
        model: input `image`, float32 (N, 28, 28), scaled; not modified.
        images: scaled calibration images, float32 (K, 28, 28), which determine the ranges of the activations.
        float_layers: names of nodes that are not quantized.

    Returns:
        A new model with float32 input, and QuantizeLinear and DequantizeLinear around int8 operators.
    """
    with Quantizer(model, images) as quantizer:
        return quantizer(float_layers)


class Quantizer:
    """Quantize the same model with different float layers.

    The model is prepared once, and calibrated once with onnxruntime 1.32 or later.

    Args:
        model: input `image`, float32 (N, 28, 28), scaled; not modified.
        images: scaled calibration images, float32 (K, 28, 28).
    """

    def __init__(self, model: ir.Model, images: NDArray[np.float32]) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._images, self._input = images, model.graph.inputs[0].name or ""
        unprepared, self._prepared = (Path(self._folder.name, f"{step}.onnx") for step in ("float", "prepared"))
        onnx.save(ir.to_proto(model), unprepared)
        # folds constants and infers shapes before calibration; sympy's symbolic inference is not needed for the batch
        quant_pre_process(str(unprepared), str(self._prepared), skip_symbolic_shape=True)
        ranges = Path(self._folder.name, "ranges.json")
        self._options = {"calibration_cache_path": ranges} if _CACHES_CALIBRATION else {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._folder.cleanup()

    def __call__(self, float_layers: Collection[str] = ()) -> ir.Model:
        """Quantize all layers except `float_layers`; see `quantize`."""
        quantized = Path(self._folder.name, "int8.onnx")
        model = ir.from_proto(onnx.load(self._prepared))
        float_nodes = [*float_layers, *_between_float_layers(model, float_layers), *_float_by_kind(model)]
        overrides = quantization_overrides(model, float_layers=float_layers)
        # quantize_static logs a warning about missing pre-processing to the root logger although it was done
        logging.disable(logging.WARNING)
        try:
            quantize_static(
                str(self._prepared),
                str(quantized),
                _CalibrationImages(self._input, self._images),
                quant_format=QuantFormat.QDQ,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                per_channel=True,
                op_types_to_quantize=QUANTIZED_OPERATORS,
                nodes_to_exclude=float_nodes,
                extra_options={"TensorQuantOverrides": overrides},
                calibrate_method=CalibrationMethod.MinMax,
                **self._options,
            )
        finally:
            logging.disable(logging.NOTSET)
        return _shield_float_layers(_pool_before_relu(_float_outputs(ir.from_proto(onnx.load(quantized)))))


def _between_float_layers(model: ir.Model, float_layers: Collection[str]) -> list[str]:
    """The names of other operators, such as Add, that are connected with float layers only; they stay float too."""
    names: list[str] = []
    visited: set[ir.Node] = set()
    for start in model.graph:
        if start.op_type in _LAYERS or start in visited:
            continue
        region, layers, waiting = [], set(), [start]
        while waiting:
            node = waiting.pop()
            if node.op_type in _LAYERS:
                layers.add(node.name)
            elif node not in visited:
                visited.add(node)
                region.append(node.name)
                producers = (value.producer() for value in node.inputs if value is not None)
                waiting += [producer for producer in producers if producer is not None]
                waiting += [user for result in node.outputs for user, _ in result.uses()]
        if layers and layers <= set(float_layers):
            names += filter(None, region)
    return names


def _float_by_kind(model: ir.Model) -> list[str]:
    """The names of nodes that stay float: products of two activations, and what is connected with float operators.

    A region is a set of connected quantizable nodes without layers, such as an Add and its Relu. If it reads from or is
    read by a float operator that is not neutral, it stays float.
    """
    names = [node.name or "" for node in model.graph if _is_product(node)]
    visited: set[ir.Node] = set()
    for start in model.graph:
        if start in visited or not _is_between_layers(start):
            continue
        region, waiting, is_float = [], [start], False
        while waiting:
            node = waiting.pop()
            if node in visited:
                continue
            visited.add(node)
            region.append(node.name or "")
            for neighbour in _neighbours(node):
                if _is_between_layers(neighbour):
                    waiting.append(neighbour)
                else:
                    is_float |= not _is_neutral(neighbour, node)
        names += region if is_float else []
    return names


def _is_product(node: ir.Node) -> bool:
    """Whether a node multiplies two activations, as in attention."""
    return node.op_type in ("MatMul", "Gemm") and all(array_of(value) is None for value in node.inputs[:2])


def _is_neutral(neighbour: ir.Node, node: ir.Node) -> bool:
    """Whether a node in int8 loses no accuracy because of this neighbour, which is not quantizable or a layer."""
    if _is_product(neighbour):
        return False
    shifts = node.op_type == "Add" and any(array_of(value) is not None for value in node.inputs)
    if shifts and neighbour.op_type == "Clip":  # a hard sigmoid
        return False
    if shifts and neighbour.op_type in ("Mul", "Div"):  # the rest of a BatchNorm
        return any(array_of(value) is not None for value in neighbour.inputs)
    return neighbour.op_type in (*_NEUTRAL, *_LAYERS)


def _is_between_layers(node: ir.Node) -> bool:
    return node.op_type in QUANTIZED_OPERATORS and node.op_type not in _LAYERS


def _neighbours(node: ir.Node) -> Iterator[ir.Node]:
    """The nodes that a node reads from, and those that read its results."""
    for value in node.inputs:
        if value is not None and (producer := value.producer()) is not None:
            yield producer
    for result in node.outputs:
        yield from (user for user, _ in result.uses())


def _float_outputs(model: ir.Model) -> ir.Model:
    """Remove the quantization of the logits, and of Gemm and MatMul outputs that only float operators read.

    onnxruntime's int8 Gemm and MatMul can output float, which is more accurate than 256 steps.
    """
    for dequantizing in list(model.graph):
        quantizing = before(dequantizing, "QuantizeLinear") if dequantizing.op_type == "DequantizeLinear" else None
        if quantizing is None:
            continue
        result = dequantizing.outputs[0]
        has_float_users = not any(_is_quantized(user) for user, _ in result.uses())
        if result.is_graph_output() or (before(quantizing, "Gemm", "MatMul") is not None and has_float_users):
            bypass(dequantizing, first_input(quantizing))
    RemoveUnusedNodesPass()(model)
    return model


def _is_quantized(node: ir.Node) -> bool:
    """Whether a node is computed in int8: only a QuantizeLinear reads its results, or it is a layer."""
    users = [user for result in node.outputs for user, _ in result.uses()]
    is_between = node.op_type in QUANTIZED_OPERATORS and all(user.op_type == "QuantizeLinear" for user in users)
    return is_between or node.op_type in _LAYERS


def _shield_float_layers(model: ir.Model) -> ir.Model:
    """Insert a Max of a single value between a float layer and the QuantizeLinear after it.

    Otherwise onnxruntime quantizes the weights of a layer between DequantizeLinear and QuantizeLinear itself, without
    the limits against overflow, and the layer is not float (measured with 1.32: also with Relu, Clip, MaxPool, Reshape
    or Transpose between layer and QuantizeLinear). It does not move a QuantizeLinear across Max.
    """
    graph = model.graph
    for layer in list(graph):
        if layer.op_type not in ("Conv", "ConvTranspose", "Gemm") or array_of(layer.inputs[1]) is None:
            continue
        value = layer.outputs[0]
        if (user := _only_user(value)) is not None and user.op_type in ("Relu", "Clip"):
            value = user.outputs[0]
        while (user := _only_user(value)) is not None and user.op_type in _MOVED_ACROSS:
            value = user.outputs[0]
        quantizing = [user for user, _ in value.uses() if user.op_type == "QuantizeLinear"]
        if quantizing and len(quantizing) == len(value.uses()):
            insert_after(value, graph, "Max", [value])
    return model


def _only_user(value: ir.Value) -> ir.Node | None:
    users = [user for user, _ in value.uses()]
    return users[0] if len(users) == 1 else None


def _pool_before_relu(model: ir.Model) -> ir.Model:
    """Move a float MaxPool before its Relu, which gives the same result.

    Otherwise onnxruntime moves the QuantizeLinear after them to the front of both, and then quantizes the preceding
    layer, which must remain float. With this rewriting and a float first convolution, `cnn-small` is 1.4–1.8× faster
    than fp32; with all layers int8 it takes 0.79 to 1.01 of the fp32 time (Intel Xeon, one thread, batch 1 to 1,024,
    onnxruntime 1.31.1).
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
    """The names of all nodes with weights, in graph order; valid values for `float_layers`."""
    float_names = set(_float_by_kind(model))
    return [node.name or "" for node in model.graph if node.op_type in _LAYERS and node.name not in float_names]


def candidate_groups(model: ir.Model) -> dict[str, tuple[str, ...]]:
    """The nodes that can be int8 or float, in graph order: layers, Add and Concat.

    The steps of a recurrent layer, which have the same weights, are one group.

    Returns:
        Name of the first node of a group → the names of all its nodes.
    """
    float_names = set(_float_by_kind(model))
    groups: dict[object, list[str]] = {}
    for node in model.graph:
        is_join = node.op_type in _JOINS and all(array_of(value) is None for value in node.inputs)
        if not (is_join or node.op_type in _LAYERS) or node.name in float_names:
            continue
        weights = array_of(node.inputs[1]) if node.op_type in _LAYERS else None
        key = node.name if weights is None else (node.op_type, weights.shape, weights.tobytes())
        groups.setdefault(key, []).append(node.name or "")
    return {names[0]: tuple(names) for names in groups.values()}


class _CalibrationImages(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, name: str, images: NDArray[np.float32]) -> None:
        self._batches: Iterator[dict[str, NDArray[np.float32]]] = (
            {name: images[start : start + _CALIBRATION_BATCH]} for start in range(0, len(images), _CALIBRATION_BATCH)
        )

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        return next(self._batches, None)
