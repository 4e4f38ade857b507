"""Malicious model files are rejected with a one-line error, before any part of them runs."""

import json
import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from digits_edge.runtime.classifier import Classifier
from digits_edge.runtime.errors import ModelError
from digits_edge.runtime.model.model_file import Metadata, with_digest, without_digest


@pytest.mark.parametrize("place", ["same folder", "dot", "parent", "absolute", "device"])
def test_external_weights_are_not_read(make_model, tmp_path, monkeypatch, place):
    """The checksum does not cover them: they could be replaced, or disclose another file's content."""
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    weights = {
        "same folder": folder / "w.bin",
        "dot": folder / "w.bin",
        "parent": tmp_path / "a" / "w.bin",
        "absolute": tmp_path / "w.bin",
        "device": Path("/dev/zero"),
    }[place]
    if place != "device":
        weights.write_bytes(np.ones((784, 10), np.float32).tobytes())
    location = {"same folder": "w.bin", "dot": "./w.bin", "parent": "../w.bin"}.get(place, str(weights))
    path = make_model(folder / "model.onnx", weights_in=location)
    with pytest.raises(ModelError, match="could not be opened"):
        Classifier(path, provider="cpu")


@pytest.mark.skipif(os.name != "posix", reason="needs /dev/zero and named pipes")
def test_device_or_pipe_is_rejected(tmp_path):
    os.mkfifo(tmp_path / "pipe.onnx")
    for path in (Path("/dev/zero"), tmp_path / "pipe.onnx"):
        with pytest.raises(ModelError, match="device or pipe"):
            Classifier(path, provider="cpu")
    with pytest.raises(ModelError, match="device or pipe"):
        Classifier("/dev/zero", provider="auto")


@pytest.mark.parametrize("text", ["\x1b]0;owned\x07", "two\nlines", "\u202eback to front"])
def test_names_with_control_characters_are_rejected(make_model, metadata, text):
    for changed in (replace(metadata, name=text), replace(metadata, labels=(text, *"123456789"))):
        with pytest.raises(ModelError, match="control characters") as caught:
            Classifier(make_model(metadata=changed), provider="cpu")
        assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"schema_version": 1}', '{"schema_version": [1]}', "9" * 5000, "null", ""]
)
def test_invalid_metadata_is_rejected(make_model, monkeypatch, text):
    monkeypatch.setattr(Metadata, "to_json", lambda self: text)
    with pytest.raises(ModelError, match="metadata"):
        Classifier(make_model(), provider="cpu")


@pytest.mark.parametrize("name", ["labels", "precision", "preprocessing", "parameters"])
def test_metadata_without_a_required_field_is_rejected(metadata, name):
    values = json.loads(metadata.to_json())
    del values[name]
    with pytest.raises(ModelError, match=name):
        Metadata.from_json(json.dumps(values))


def test_metadata_that_is_not_utf8_is_rejected(make_model):
    """Found by fuzzing: onnxruntime decodes metadata on access."""
    content = without_digest(make_model().read_bytes()).replace(b"squares-fp32", b"squares\xfffp32")
    with pytest.raises(ModelError, match="not UTF-8"):
        Classifier(_with_checksum(make_model(), content), provider="cpu")


@pytest.mark.parametrize("shape", [[], None])
def test_model_with_scalar_output_is_rejected(make_model, shape):
    """Found by fuzzing: such an output has no first axis."""
    path = make_model()
    model = onnx.load_from_string(without_digest(path.read_bytes()))
    model.graph.node.append(helper.make_node("ReduceSum", ["probabilities"], ["sum"], keepdims=0))
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("sum", TensorProto.FLOAT, shape))
    with pytest.raises(ModelError, match="has inputs and outputs"):
        Classifier(_with_checksum(path, model.SerializeToString()), provider="cpu")


@pytest.mark.parametrize("graph", ["cycle", "custom operator", "deep", "nested"])
def test_unusual_graph_opens_or_is_rejected(make_model, graph):
    """The parser's stack does not overflow and the process does not crash."""
    path = make_model()
    model = onnx.load_from_string(without_digest(path.read_bytes()))
    nodes = model.graph.node
    if graph == "cycle":
        nodes[0].input[0] = "logits"
    elif graph == "custom operator":
        nodes[1].op_type, nodes[1].domain = "Run", "com.evil"
        model.opset_import.append(helper.make_opsetid("com.evil", 1))
    elif graph == "deep":
        nodes[1].input[0] = "value-10000"
        steps = [helper.make_node("Neg", [f"value-{i}"], [f"value-{i + 1}"]) for i in range(10_000)]
        rest = [helper.make_node("Identity", ["float"], ["value-0"]), *steps, *nodes[1:]]
        del nodes[1:]
        nodes.extend(rest)
    else:
        inner = helper.make_graph([helper.make_node("Identity", ["float"], ["out"])], "inner", [], [])
        inner.output.append(helper.make_tensor_value_info("out", TensorProto.FLOAT, None))
        for depth in range(200):
            yes = helper.make_node("Constant", [], [f"yes-{depth}"], value_ints=[1])
            bools = helper.make_node("Cast", [f"yes-{depth}"], [f"bool-{depth}"], to=TensorProto.BOOL)
            choice = helper.make_node("If", [f"bool-{depth}"], ["out"], then_branch=inner, else_branch=inner)
            inner = helper.make_graph([yes, bools, choice], "inner", [], inner.output)
            if inner.ByteSize() > 100_000:  # it doubles with every step
                break
        nodes[1].input[0] = "out"
        rest = [*inner.node, *nodes[1:]]
        del nodes[1:]
        nodes.extend(rest)
    with (
        suppress(ModelError),
        Classifier(_with_checksum(path, model.SerializeToString()), provider="cpu") as classifier,
    ):
        assert classifier.predict_batch(np.zeros((1, 28, 28), np.uint8)).shape == (1, 10)


def _with_checksum(path, content):
    path.write_bytes(with_digest(content))
    return path
