"""Space-to-depth rewriting does not change the outputs of a convolution."""

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digits_edge.export.graph.space_to_depth import to_space_to_depth

from .running import run_graph


def convolution(*, kernel=(5, 5), pads=(0, 0, 0, 0), strides=(2, 2), channels=1, sides=(28, 28)) -> ir.Model:
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((3, channels, *kernel)).astype(np.float32)
    bias = rng.standard_normal(3).astype(np.float32)
    image = ir.Value(name="image", shape=ir.Shape(["N", channels, *sides]), type=ir.TensorType(ir.DataType.FLOAT))
    initializers = [
        ir.Value(name=name, const_value=ir.tensor(array, name=name))
        for name, array in (("weights", weights), ("bias", bias))
    ]
    node = ir.node("Conv", [image, *initializers], {"strides": list(strides), "pads": list(pads)})
    result = node.outputs[0]
    result.name, result.dtype = "result", ir.DataType.FLOAT
    out = [(side + pads[axis] + pads[axis + 2] - kernel[axis]) // strides[axis] + 1 for axis, side in enumerate(sides)]
    result.shape = ir.Shape(["N", 3, *out])
    graph = ir.Graph([image], [result], nodes=[node], initializers=initializers, opset_imports={"": 17}, name="g")
    return ir.Model(graph, ir_version=8)


def operators(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


side = st.integers(1, 7)


@given(
    kernel=st.tuples(side, side),
    pads=st.tuples(*[st.integers(0, 3)] * 4),
    sides=st.tuples(*[st.sampled_from([8, 10, 28])] * 2),
)
def test_rewritten_convolution_has_the_same_outputs(kernel, pads, sides):
    images = np.random.default_rng(1).random((2, 1, *sides), np.float32)
    settings = {"kernel": kernel, "pads": pads, "sides": sides}
    rewritten = to_space_to_depth(convolution(**settings))
    assert operators(rewritten) == ["SpaceToDepth", "Conv"]
    np.testing.assert_allclose(run_graph(rewritten, images), run_graph(convolution(**settings), images), atol=1e-5)


@pytest.mark.parametrize(
    "settings", [{"strides": (1, 1)}, {"strides": (2, 1)}, {"channels": 2}, {"sides": (27, 28)}], ids=str
)
def test_other_convolutions_are_unchanged(settings):
    assert operators(to_space_to_depth(convolution(**settings))) == ["Conv"]
