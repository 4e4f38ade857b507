"""int8 weights cannot overflow in a kernel, and predictions agree with exact arithmetic on this processor."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from digits_edge.export import Exported, Int8Options, Source, exact_golden, export
from digits_edge.export.precision.exact import exact_probabilities
from digits_edge.export.precision.overflow import MAX_PAIR_SUM, bounds, channel_scales, pair_sums, quantized
from digits_edge.runtime.checks.verify import verify
from digits_edge.runtime.classifier import Classifier
from digits_edge.runtime.datasets import Dataset
from digits_edge.runtime.errors import CheckError
from digits_edge.runtime.model.bundled import bundled_models
from digits_edge.runtime.model.model_file import METADATA_KEY, Metadata, Precision, read_model_file
from digits_edge.runtime.session.library import load_onnxruntime
from digits_edge.runtime.session.precision import find_model

finite = st.floats(-10, 10, width=32)
gemm_weights = hnp.arrays(np.float32, st.tuples(st.integers(1, 9), st.integers(1, 4)), elements=finite)
conv_weights = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 3), st.integers(1, 3)),
    elements=finite,
)


def saturated_sums(weights: np.ndarray, activations: np.ndarray) -> np.ndarray:
    """The result of `vpmaddubsw` and `vpmaddwd` for activations (K,) and int8 weights (K, N): sums of clipped pairs."""
    products = activations[:, np.newaxis].astype(np.int64) * weights
    products = np.pad(products, [(0, len(products) % 2), (0, 0)])
    return np.clip(products[::2] + products[1::2], -(2**15), 2**15 - 1).sum(axis=0)


@given(gemm_weights, st.data())
def test_gemm_does_not_saturate_for_any_activations(weights, data):
    integers = quantized(weights, channel_scales(weights, "Gemm"), "Gemm")
    activations = data.draw(hnp.arrays(np.uint8, len(weights), elements=st.sampled_from([0, 1, 254, 255])))
    np.testing.assert_array_equal(saturated_sums(integers, activations), activations.astype(np.int64) @ integers)


@given(gemm_weights)
def test_weights_and_pair_sums_are_within_the_limits(weights):
    integers = quantized(weights, channel_scales(weights, "Gemm"), "Gemm")
    assert np.abs(integers).max() <= 127
    assert pair_sums(integers, "Gemm").max() <= MAX_PAIR_SUM


@given(conv_weights)
def test_convolution_does_not_saturate_in_either_channel_layout(weights):
    integers = quantized(weights, channel_scales(weights, "Conv"), "Conv")
    for patch in (
        np.moveaxis(integers, 1, -1).reshape(len(integers), -1),  # onnxruntime: one row
        np.pad(np.moveaxis(integers, 1, -1), [(0, 0)] * 3 + [(0, integers.shape[1] % 2)]).reshape(len(integers), -1),
    ):
        activations = np.full(patch.shape[1], 255, np.uint8)
        for one_sign in (np.maximum(patch, 0), np.minimum(patch, 0)):
            np.testing.assert_array_equal(
                saturated_sums(one_sign.T, activations), activations.astype(np.int64) @ one_sign.T
            )


@pytest.mark.parametrize(
    ("weights", "scale"),
    [
        ([[127], [1]], 1),  # 8 bits if the other weight of the pair is small
        ([[127], [127]], 254 / 128),  # 7 bits if it is as large
        ([[127], [-127]], 1),  # opposite signs cancel out
        ([[5], [127], [127], [5]], 132 / 128),  # the second and third weight are not a pair
        ([[0], [0]], None),
    ],
)
def test_scale_is_the_smallest_possible(weights, scale):
    scales = channel_scales(np.array(weights, np.float32), "Gemm")
    assert scales.dtype == np.float32
    if scale is not None:
        np.testing.assert_allclose(scales, [scale], rtol=1e-6)


@given(hnp.arrays(np.float32, st.tuples(st.just(3), st.just(1), st.integers(1, 3), st.integers(1, 4)), elements=finite))
def test_a_single_channel_does_not_saturate_with_stacked_columns(weights):
    integers = quantized(weights, channel_scales(weights, "Conv"), "Conv")
    stacked = np.moveaxis(integers, 3, 1)  # the channels of `export.graph.stacked_columns`
    assert pair_sums(stacked, "Conv").max() <= MAX_PAIR_SUM


def test_single_channel_is_paired_along_the_kernel():
    weights = np.zeros((1, 1, 3, 3), np.int32)
    weights[0, 0, 0, :2] = 100  # the first two of nine
    assert pair_sums(weights, "Conv").tolist() == [200]
    weights[0, 0, 0] = [0, 100, 100]  # the second and third
    assert pair_sums(weights, "Conv").tolist() == [100]


BUNDLED = [model.name for model in bundled_models() if model.precision == "int8"]


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_weights_are_within_the_limit_in_their_metadata(name):
    path = find_model(name, "cpu")
    model = onnx.load_from_string(read_model_file(path))
    largest = bounds(ir.from_proto(model))
    metadata = Metadata.from_json({entry.key: entry.value for entry in model.metadata_props}[METADATA_KEY])
    assert metadata.overflow_free
    assert metadata.largest_pair_sums == largest
    assert len(largest) >= 2
    assert max(largest.values()) <= MAX_PAIR_SUM


@pytest.mark.parametrize("name", BUNDLED)
def test_weights_optimized_by_onnxruntime_are_within_the_limit(name, tmp_path):
    """onnxruntime may quantize layers itself (WeightBiasQuantization), or merge and move weights."""
    ort, optimized = load_onnxruntime(), tmp_path / "optimized.onnx"
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(optimized)
    ort.InferenceSession(read_model_file(find_model(name, "cpu")), options, providers=["CPUExecutionProvider"])
    graph = onnx.load(optimized).graph
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    largest = []
    for node in graph.node:
        weights_index = {"QLinearConv": 3, "QGemm": 3, "QLinearMatMul": 3}.get(node.op_type)
        if weights_index is not None:
            operator = "Conv" if node.op_type == "QLinearConv" else "Gemm"
            weights = constants[node.input[weights_index]]
            assert weights.dtype == np.int8
            largest.append(pair_sums(weights.astype(np.int32), operator).max())
    assert len(largest) >= 2
    assert max(largest) <= MAX_PAIR_SUM


@pytest.mark.parametrize("name", ["edge-int8", "cnn-small-int8", "fashion-int8", "edge-fp32"])
def test_bundled_models_agree_with_exact_arithmetic(name):
    path = find_model(name, "cpu")
    with Classifier(path, provider="cpu", threads=1) as classifier:
        images = classifier.golden.images[:20]
        exact = exact_probabilities(ir.from_proto(onnx.load_from_string(read_model_file(path))), images)
        np.testing.assert_allclose(classifier.predict_batch(images), exact, atol=1e-4)


@pytest.mark.parametrize("kind", ["residual", "pooled", "softmax-rows", "batch-norm-before-padding"])
def test_export_cannot_overflow_and_agrees_with_exact_arithmetic(
    kind: str, export_once: Callable[[str, Precision], Exported]
):
    exported = export_once(kind, "int8")
    assert exported.metadata.overflow_free
    assert 0 < max(exported.metadata.largest_pair_sums.values()) <= MAX_PAIR_SUM
    with Classifier(exported.path, provider="cpu") as classifier:
        result = verify(classifier)
        assert result.holds, result.problems
        assert result.exact_difference is not None
        assert result.exact_difference < 1e-3


@pytest.mark.parametrize("source", ["residual"], indirect=True)
def test_float_layers_are_computed_in_float(source: Source, drawn: Dataset, tmp_path: Path):
    """onnxruntime would quantize them again between QuantizeLinear and DequantizeLinear."""
    exported = export(
        source,
        tmp_path / "m.onnx",
        precision="int8",
        training=drawn,
        int8=Int8Options(("conv_1", "conv_3"), allow_float=True),
    )
    assert set(exported.metadata.largest_pair_sums) & {"conv_1", "conv_3"} == set()
    graph = ir.from_proto(onnx.load_from_string(read_model_file(exported.path)))
    with Classifier(exported.path, provider="cpu") as classifier:
        images = drawn.images[:40]
        differences = np.abs(classifier.predict_batch(images) - exact_probabilities(graph, images)).max(axis=1)
    # rounding of a float layer's output may select the next integer in few images; quantized weights change all images
    assert np.quantile(differences, 0.9) < 1e-4
    assert differences.max() < 5e-3


@pytest.mark.parametrize("source", ["softmax-rows"], indirect=True)
def test_export_fails_if_kernels_differ_from_exact_arithmetic(
    source: Source, drawn: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(exact_golden, "exact_probabilities", lambda *_: np.full((48, 10), 0.1, np.float32))
    with pytest.raises(CheckError, match="kernels differ from exact arithmetic"):
        export(source, tmp_path / "m.onnx", precision="int8", training=drawn)
    assert not (tmp_path / "m.onnx").exists()


def test_float_model_has_no_exact_golden_values(export_once: Callable[[str, Precision], Exported]):
    exported = export_once("residual", "fp32")
    assert exported.metadata.largest_pair_sums == {}
    with Classifier(exported.path, provider="cpu") as classifier:
        assert classifier.golden.exact is None
        assert verify(classifier).exact_difference is None
