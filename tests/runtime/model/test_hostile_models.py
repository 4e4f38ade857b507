"""Model files that somebody made to do harm: refused with one line, before anything of them runs."""

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


@pytest.mark.parametrize("place", ["here", "beside", "above", "absolute", "device"])
def test_weights_in_another_file_are_not_read(make_model, tmp_path, monkeypatch, place):
    """Its sum does not cover them: they could be replaced, or be a file whose content answers then tell."""
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    where = {
        "here": folder / "w.bin",
        "beside": folder / "w.bin",
        "above": tmp_path / "a" / "w.bin",
        "absolute": tmp_path / "w.bin",
        "device": Path("/dev/zero"),
    }[place]
    if place != "device":
        where.write_bytes(np.ones((784, 10), np.float32).tobytes())
    location = {"here": "w.bin", "beside": "./w.bin", "above": "../w.bin"}.get(place, str(where))
    path = make_model(folder / "model.onnx", weights_in=location)
    with pytest.raises(ModelError, match="could not be opened"):
        Classifier(path, provider="cpu")


@pytest.mark.skipif(os.name != "posix", reason="there are no such files")
def test_what_never_ends_is_no_model(tmp_path):
    os.mkfifo(tmp_path / "pipe.onnx")
    for path in (Path("/dev/zero"), tmp_path / "pipe.onnx"):
        with pytest.raises(ModelError, match="device or pipe"):
            Classifier(path, provider="cpu")
    with pytest.raises(ModelError, match="device or pipe"):
        Classifier("/dev/zero", provider="auto")


@pytest.mark.parametrize("text", ["\x1b]0;owned\x07", "two\nlines", "\u202eback to front"])
def test_names_are_nothing_that_a_terminal_obeys(make_model, metadata, text):
    for changed in (replace(metadata, name=text), replace(metadata, labels=(text, *"123456789"))):
        with pytest.raises(ModelError, match="with control characters") as caught:
            Classifier(make_model(metadata=changed), provider="cpu")
        assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"schema_version": 1}', '{"schema_version": [1]}', "9" * 5000, "null", ""]
)
def test_metadata_of_any_text_is_refused(make_model, monkeypatch, text):
    monkeypatch.setattr(Metadata, "to_json", lambda self: text)
    with pytest.raises(ModelError, match="metadata"):
        Classifier(make_model(), provider="cpu")


@pytest.mark.parametrize("name", ["labels", "precision", "preprocessing", "parameters"])
def test_metadata_that_leave_out_what_decides_an_answer_are_refused(metadata, name):
    values = json.loads(metadata.to_json())
    del values[name]
    with pytest.raises(ModelError, match=name):
        Metadata.from_json(json.dumps(values))


def test_metadata_that_are_no_text_are_refused(make_model):
    """The fuzzer found it: onnxruntime decodes them where they are asked for."""
    content = without_digest(make_model().read_bytes()).replace(b"squares-fp32", b"squares\xfffp32")
    with pytest.raises(ModelError, match="no text"):
        Classifier(_sealed(make_model(), content), provider="cpu")


@pytest.mark.parametrize("shape", [[], None])
def test_a_model_that_answers_with_one_number_is_refused(make_model, shape):
    """The fuzzer found it: such an output has no first axis."""
    path = make_model()
    model = onnx.load_from_string(without_digest(path.read_bytes()))
    model.graph.node.append(helper.make_node("ReduceSum", ["probabilities"], ["sum"], keepdims=0))
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("sum", TensorProto.FLOAT, shape))
    with pytest.raises(ModelError, match="takes and gives"):
        Classifier(_sealed(path, model.SerializeToString()), provider="cpu")


@pytest.mark.parametrize("graph", ["cycle", "custom operator", "deep", "nested"])
def test_a_strange_graph_opens_or_is_refused(make_model, graph):
    """Neither the parser's stack nor the process ends."""
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
    with suppress(ModelError), Classifier(_sealed(path, model.SerializeToString()), provider="cpu") as classifier:
        assert classifier.predict_batch(np.zeros((1, 28, 28), np.uint8)).shape == (1, 10)


def _sealed(path, content):
    path.write_bytes(with_digest(content))
    return path
