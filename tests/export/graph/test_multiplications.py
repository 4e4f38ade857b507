"""The share of multiplications in int8, in graphs, exported files and commands."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from digits_edge.cli.main import run as run_command
from digits_edge.export import Exported, Int8Options, Source, export, read_source
from digits_edge.export.graph.multiplications import int8_share
from digits_edge.runtime.datasets import Dataset
from digits_edge.runtime.errors import CheckError
from digits_edge.runtime.model.bundled import MODELS, bundled_classifiers
from digits_edge.runtime.model.model_file import Precision
from digits_edge.runtime.model.pixel_range import PixelRange
from tests.export.conftest import shared_conversions


def graph_of(*nodes: onnx.NodeProto, weights: dict[str, np.ndarray], shape: list[int | str]) -> onnx.ModelProto:
    tensors = [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()]
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    return helper.make_model(helper.make_graph(nodes, "g", [image], [result], tensors))


def test_multiplications_are_counted_from_the_shapes() -> None:
    ones = np.ones
    scale, zero = np.float32(0.5), np.int8(0)
    weights = {
        "w": ones((8, 2, 3, 3), np.float32),  # 2 groups of 2 channels: 8 · 4 · 4 outputs, 18 products each
        "q": ones((128, 10), np.int8),  # 1,280 products
        "s": np.array(scale),
        "z": np.array(zero),
        "u": np.array(np.uint8(0)),
    }
    nodes = (
        helper.make_node("Conv", ["x", "w"], ["c"], group=2),
        helper.make_node("Flatten", ["c"], ["f"]),
        helper.make_node("QuantizeLinear", ["f", "s", "u"], ["fq"]),
        helper.make_node("DequantizeLinear", ["fq", "s", "u"], ["fd"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["qd"]),
        helper.make_node("MatMul", ["fd", "qd"], ["y"]),
    )
    model = graph_of(*nodes, weights=weights, shape=["N", 4, 6, 6])
    convolution, dense = 8 * 4 * 4 * 2 * 9, 128 * 10
    assert int8_share(model) == pytest.approx(dense / (convolution + dense))
    identity = graph_of(helper.make_node("Relu", ["x"], ["y"]), weights={}, shape=["N", 4])
    assert int8_share(identity) == 0


def test_index_has_the_share_of_every_bundled_model() -> None:
    for model in bundled_classifiers():
        share = model.figures["int8_share"]
        assert share == pytest.approx(int8_share(onnx.load(MODELS / model.file)), abs=1e-4)
        assert (share > 0.9) == (model.precision == "int8")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """A function that runs `digits-edge` and returns exit code, stdout and stderr."""

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        capsys.readouterr()
        return run_command([str(argument) for argument in arguments]), *capsys.readouterr()

    return run


@pytest.mark.parametrize("source", ["residual", "softmax-rows"], indirect=True)
def test_mostly_float_model_needs_the_option(
    source: Source, drawn: Dataset, tmp_path: Path, export_once: Callable[[str, Precision], Exported]
) -> None:
    largest = {"residual": ("conv_3",), "softmax_rows": ("gemm_1",)}[source.model.name]
    options = {"precision": "int8", "training": drawn, "int8": Int8Options(float_layers=largest)}
    with shared_conversions():
        with pytest.raises(CheckError, match=rf"only \d+% of the multiplications are int8: {largest[0]}"):
            export(source, tmp_path / "m.onnx", **options)  # type: ignore[arg-type]
        assert not list(tmp_path.iterdir())
        exported = export(source, tmp_path / "m.onnx", **options | {"int8": Int8Options(largest, allow_float=True)})  # type: ignore[arg-type]
    share = exported.metadata.int8_share
    assert share is not None and 0 < share < 0.5
    assert share == pytest.approx(int8_share(onnx.load(exported.path)), abs=1e-4)
    assert export_once(source.model.name.replace("_", "-"), "fp32").metadata.int8_share == 0


def test_commands_print_the_share(
    run: Callable[..., tuple[int, str, str]], trained: Callable[[str], Path], drawn: Dataset, tmp_path: Path
) -> None:
    data, target = tmp_path / "drawn.npz", tmp_path / "m.onnx"
    np.savez(data, x_train=drawn.images, y_train=drawn.labels, x_test=drawn.images[:50], y_test=drawn.labels[:50])
    exporting = ("export", trained("softmax-rows"), "-o", target, "--input-scale", "1", "--data", data)
    code, out, err = run(*exporting, "--float-layers", "gemm_1")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "stayed float" in err and "--allow-float" in err
    code, out, err = run(*exporting, "--json")
    assert (code, json.loads(out)["int8_share"]) == (0, 1.0), err
    assert "  multiplications in int8: 100 %\n" in run("verify", target)[1]
    old = Path(__file__).parents[2] / "data" / "edge-int8-1.0.0.onnx"
    code, out, err = run("verify", old)
    assert (code, "  multiplications in int8: not recorded" in out) == (0, True), err
    assert json.loads(run("verify", old, "--json")[1])["int8_share"] is None
    assert " int8 share " in run("models")[1]
    assert {json.loads(line)["int8_share"] for line in run("models", "--json")[1].splitlines()} >= {0.0, 1.0}


def test_all_float_graph_is_refused(trained: Callable[[str], Path], drawn: Dataset, tmp_path: Path) -> None:
    source = read_source(trained("softmax-rows"), pixel_range=PixelRange(1))
    with pytest.raises(CheckError, match="only 0"):
        export(
            replace(source),
            tmp_path / "m.onnx",
            precision="int8",
            training=drawn,
            int8=Int8Options(float_layers=("gemm_1", "gemm_3")),
        )
