"""Saturation of int8 kernels is detected, and older files use exact kernels where it occurs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from digits_edge.runtime import Classifier
from digits_edge.runtime.checks.verify import verify
from digits_edge.runtime.session import int8_kernels

#: Model bundled with 1.0.0: 8-bit weights, which overflow on x86 without VNNI.
OLD = Path(__file__).parents[2] / "data" / "edge-int8-1.0.0.onnx"


def sums(first: int, second: int, *, exact: bool = False) -> int:
    """Sum of 64 pairs of products of 255 and two adjacent weights, as computed by onnxruntime."""
    weights = np.tile(np.array([[first], [second]], np.int8), (64, 8))
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["activations", "weights"], ["sums"])],
        "sums",
        [helper.make_tensor_value_info("activations", TensorProto.UINT8, ["N", 128])],
        [helper.make_tensor_value_info("sums", TensorProto.INT32, ["N", 8])],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    if exact:
        options.add_session_config_entry("session.x64quantprecision", "1")
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return int(session.run(None, {"activations": np.full((3, 128), 255, np.uint8)})[0][0, 0])


def test_probe_multiplies_four_weights_of_127():
    model = onnx.load_from_string(int8_kernels._PROBE)
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node] == ["MatMulInteger"]
    assert numpy_helper.to_array(model.graph.initializer[0]).tolist() == [[127]] * 4


def test_probe_result_holds_for_larger_products():
    assert (sums(127, 127) != 64 * 255 * 254) == int8_kernels.saturate()
    assert (sums(-127, -127) != -64 * 255 * 254) == int8_kernels.saturate()


@pytest.mark.parametrize(("first", "second"), [(127, 1), (64, 64), (-128, 0), (-64, -64), (127, -127), (1, 127)])
def test_pair_sums_up_to_128_are_exact_on_every_processor(first, second):
    assert sums(first, second) == 64 * 255 * (first + second)


def test_session_option_makes_all_pair_sums_exact():
    assert sums(127, 127, exact=True) == 64 * 255 * 254


def test_older_file_uses_exact_kernels_where_kernels_saturate():
    with Classifier(OLD, provider="cpu") as classifier:
        assert classifier.metadata.may_overflow
        assert classifier.exact_kernels == int8_kernels.saturate()
        found = verify(classifier)
    assert found.holds, found.problems
    assert (found.overflow_free, found.exact_difference) == (False, None)
    assert (found.kernels_saturate, found.exact_kernels) == (int8_kernels.saturate(),) * 2


def test_current_files_use_the_default_kernels():
    for name in ("edge-int8", "cnn-small-int8", "fashion-int8", "edge-fp32"):
        with Classifier(name, provider="cpu") as classifier:
            assert not classifier.metadata.may_overflow
            assert not classifier.exact_kernels


def test_older_file_uses_default_kernels_where_they_do_not_saturate(monkeypatch):
    monkeypatch.setattr(int8_kernels, "saturate", lambda: False)
    with Classifier(OLD, provider="cpu") as classifier:
        assert not classifier.exact_kernels


def test_float_model_uses_the_default_kernels(make_model, metadata):
    with Classifier(make_model(metadata=replace(metadata, overflow_free=False)), provider="cpu") as classifier:
        assert not classifier.exact_kernels


@pytest.mark.parametrize(
    ("cpuinfo", "features"),
    [
        ("flags\t\t: fpu avx2 avx512_vnni\n", {"fpu", "avx2", "avx512_vnni"}),
        ("Features\t: fp asimd asimddp\nflags: x", {"fp", "asimd", "asimddp"}),
        ("vendor_id\t: none\n", set()),
        ("", set()),
    ],
)
def test_processor_features_are_read_from_cpuinfo(monkeypatch, tmp_path, cpuinfo, features):
    (tmp_path / "cpuinfo").write_text(cpuinfo)
    monkeypatch.setattr(int8_kernels, "Path", lambda _: tmp_path / "cpuinfo")
    assert int8_kernels._features() == features


@pytest.mark.parametrize(
    ("features", "machine", "saturates", "fast"),
    [
        ({"avx2", "avx512_vnni"}, "x86_64", False, True),
        ({"avx2"}, "x86_64", True, False),
        ({"asimd"}, "aarch64", False, False),
        ({"asimd", "asimddp"}, "aarch64", False, True),
        ((), "arm64", False, True),
        ((), "AMD64", True, False),
        ((), "AMD64", False, True),
    ],
    ids=["VNNI", "AVX2", "A72", "A76", "Mac", "Windows without VNNI", "Windows with VNNI"],
)
def test_int8_is_fast_with_dot_product_instructions(monkeypatch, features, machine, saturates, fast):
    monkeypatch.setattr(int8_kernels, "_features", lambda: frozenset(features))
    monkeypatch.setattr(int8_kernels.platform, "machine", lambda: machine)
    monkeypatch.setattr(int8_kernels, "saturate", lambda: saturates)
    int8_kernels.are_fast.cache_clear()
    assert int8_kernels.are_fast() is fast
    int8_kernels.are_fast.cache_clear()
