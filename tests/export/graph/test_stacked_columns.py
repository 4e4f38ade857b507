"""Stacking columns as channels does not change the outputs of a quantized convolution."""

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digits_edge.export.graph.stacked_columns import stack_columns

from .running import run_graph


def convolution(
    *,
    kernel: tuple[int, int] = (3, 3),
    pads: tuple[int, ...] = (0, 0, 0, 0),
    strides: tuple[int, int] = (1, 1),
    channels: int = 1,
    sides: tuple[int, int] = (9, 8),
    zero_point: int = 7,
    dtype: ir.DataType = ir.DataType.UINT8,
) -> ir.Model:
    rng = np.random.default_rng(0)
    arrays: dict[str, Any] = {
        "step": np.array(0.25, np.float32),
        "zero": np.array(zero_point, dtype.numpy()),
        "kernel": rng.integers(-127, 128, (3, channels, *kernel)).astype(np.int8),
        "steps": rng.random(3).astype(np.float32),
        "zeros": np.zeros(3, np.int8),
        "bias": rng.standard_normal(3).astype(np.float32),
    }
    values = {name: ir.Value(name=name, const_value=ir.tensor(array, name=name)) for name, array in arrays.items()}
    image = ir.Value(name="image", shape=ir.Shape(["N", channels, *sides]), type=ir.TensorType(dtype))
    pixels = ir.node("DequantizeLinear", [image, values["step"], values["zero"]])
    weights = ir.node("DequantizeLinear", [values["kernel"], values["steps"], values["zeros"]], {"axis": 0})
    settings = {"strides": list(strides), "pads": list(pads)}
    node = ir.node("Conv", [pixels.outputs[0], weights.outputs[0], values["bias"]], settings)
    result = node.outputs[0]
    result.name, result.dtype, result.shape = "result", ir.DataType.FLOAT, ir.Shape(["N", 3, None, None])
    nodes, initializers = [pixels, weights, node], list(values.values())
    graph = ir.Graph([image], [result], nodes=nodes, initializers=initializers, opset_imports={"": 17}, name="g")
    return ir.Model(graph, ir_version=8)


def operators(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph if node.op_type != "DequantizeLinear"]


@given(
    kernel=st.tuples(st.integers(1, 5), st.integers(2, 4)),
    pads=st.tuples(*[st.integers(0, 3)] * 4),
    sides=st.tuples(*[st.integers(5, 12)] * 2),
    zero_point=st.integers(0, 255),
)
def test_rewritten_convolution_has_the_same_outputs(
    kernel: tuple[int, int], pads: tuple[int, ...], sides: tuple[int, int], zero_point: int
) -> None:
    images = np.random.default_rng(1).integers(0, 256, (2, 1, *sides), np.uint8)
    settings: dict[str, Any] = {"kernel": kernel, "pads": pads, "sides": sides, "zero_point": zero_point}
    rewritten = stack_columns(convolution(**settings))
    padding = ["Pad"] if pads[1] or pads[3] else []
    assert operators(rewritten) == [*padding, *["Slice"] * kernel[1], "Concat", "Conv"]
    expected = run_graph(convolution(**settings), images)
    np.testing.assert_allclose(run_graph(rewritten, images), expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    "settings",
    [{"strides": (1, 2)}, {"channels": 2}, {"kernel": (3, 1)}, {"kernel": (3, 5)}, {"dtype": ir.DataType.INT8}],
    ids=str,
)
def test_other_convolutions_are_unchanged(settings: dict[str, Any]) -> None:
    assert operators(stack_columns(convolution(**settings))) == ["Conv"]
