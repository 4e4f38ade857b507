"""Whether int8 kernels saturate here is measured, and older files are protected where they do."""

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

#: The file that 1.0.0 bundled: weights of 8 bits, which overflow on x86 without VNNI.
OLD = Path(__file__).parents[2] / "data" / "edge-int8-1.0.0.onnx"


def sums(first: int, second: int, *, exact: bool = False) -> int:
    """What the kernels here make of 255 times two neighbouring weights, 64 times."""
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


def test_the_probe_is_four_products_of_the_largest_factors():
    model = onnx.load_from_string(int8_kernels._PROBE)
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node] == ["MatMulInteger"]
    assert numpy_helper.to_array(model.graph.initializer[0]).tolist() == [[127]] * 4


def test_what_the_probe_says_holds_for_larger_products():
    assert (sums(127, 127) != 64 * 255 * 254) == int8_kernels.saturate()
    assert (sums(-127, -127) != -64 * 255 * 254) == int8_kernels.saturate()


@pytest.mark.parametrize(("first", "second"), [(127, 1), (64, 64), (-128, 0), (-64, -64), (127, -127), (1, 127)])
def test_neighbours_within_the_limit_are_exact_everywhere(first, second):
    assert sums(first, second) == 64 * 255 * (first + second)


def test_the_session_option_makes_all_neighbours_exact():
    assert sums(127, 127, exact=True) == 64 * 255 * 254


def test_an_older_file_is_protected_where_kernels_saturate():
    with Classifier(OLD, provider="cpu") as classifier:
        assert classifier.metadata.may_overflow
        assert classifier.exact_kernels == int8_kernels.saturate()
        found = verify(classifier)
    assert found.holds, found.problems
    assert (found.overflow_free, found.exact_difference) == (False, None)
    assert (found.kernels_saturate, found.exact_kernels) == (int8_kernels.saturate(),) * 2


def test_files_of_today_need_no_protection():
    for name in ("edge-int8", "cnn-small-int8", "fashion-int8", "edge-fp32"):
        with Classifier(name, provider="cpu") as classifier:
            assert not classifier.metadata.may_overflow
            assert not classifier.exact_kernels


def test_kernels_that_do_not_saturate_need_no_protection(monkeypatch):
    monkeypatch.setattr(int8_kernels, "saturate", lambda: False)
    with Classifier(OLD, provider="cpu") as classifier:
        assert not classifier.exact_kernels


def test_a_float_model_that_does_not_say_so_needs_none(make_model, metadata):
    with Classifier(make_model(metadata=replace(metadata, overflow_free=False)), provider="cpu") as classifier:
        assert not classifier.exact_kernels


@pytest.mark.parametrize(
    ("about", "features"),
    [
        ("flags\t\t: fpu avx2 avx512_vnni\n", {"fpu", "avx2", "avx512_vnni"}),
        ("Features\t: fp asimd asimddp\nflags: x", {"fp", "asimd", "asimddp"}),
        ("vendor_id\t: none\n", set()),
        ("", set()),
    ],
)
def test_features_are_read_as_linux_names_them(monkeypatch, tmp_path, about, features):
    (tmp_path / "cpuinfo").write_text(about)
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
def test_int8_is_fast_where_there_are_instructions_for_it(monkeypatch, features, machine, saturates, fast):
    monkeypatch.setattr(int8_kernels, "_features", lambda: frozenset(features))
    monkeypatch.setattr(int8_kernels.platform, "machine", lambda: machine)
    monkeypatch.setattr(int8_kernels, "saturate", lambda: saturates)
    int8_kernels.are_fast.cache_clear()
    assert int8_kernels.are_fast() is fast
    int8_kernels.are_fast.cache_clear()
