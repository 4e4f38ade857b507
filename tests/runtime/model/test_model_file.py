import json
from dataclasses import replace

import onnxruntime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from digits_edge.runtime.errors import ModelError, UsageError
from digits_edge.runtime.model.model_file import Metadata, read_model_file, with_digest


def test_metadata_is_equal_after_parsing(metadata):
    written = replace(metadata, test={"errors": 3, "images": 10}, versions={"keras": "3"}, temperature=1.25)
    assert Metadata.from_json(written.to_json()) == written


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("schema_version", 3),
        ("precision", "int3"),
        ("labels", 7),
        ("labels", None),
    ],
)
def test_metadata_with_invalid_values_is_rejected(metadata, entry, value):
    values = json.loads(metadata.to_json()) | {entry: value}
    with pytest.raises(ModelError, match="metadata"):
        Metadata.from_json(json.dumps(values))


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", '{"schema_version": 1}', "not json"])
def test_text_that_is_not_metadata_is_rejected(text):
    with pytest.raises(ModelError, match="metadata"):
        Metadata.from_json(text)


def test_model_file_with_checksum_is_an_onnx_model(model_path):
    content = read_model_file(model_path)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    assert session.get_modelmeta().custom_metadata_map["digits_edge.sha256"] == content[-64:].decode()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), mask=st.integers(1, 255))
def test_flipped_bits_are_rejected(model_path, tmp_path, place, mask):
    content = bytearray(model_path.read_bytes())
    content[int(place * len(content))] ^= mask
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(content)
    with pytest.raises(ModelError, match=r"damaged\.onnx"):
        read_model_file(damaged)


def test_every_byte_of_the_checksum_entry_is_checked(model_path, tmp_path):
    content, damaged = model_path.read_bytes(), tmp_path / "damaged.onnx"
    for place in range(len(content) - 64 - 24, len(content)):
        damaged.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(ModelError):
            read_model_file(damaged)


@pytest.mark.parametrize("length", [0, 1, 63, 64, 85, 1000, -1, -64, -100])
def test_truncated_file_is_rejected(model_path, tmp_path, length):
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(model_path.read_bytes()[:length])
    with pytest.raises(ModelError, match=r"cut\.onnx"):
        read_model_file(cut)


def test_bytes_after_the_checksum_are_rejected(model_path):
    model_path.write_bytes(model_path.read_bytes() + b"\0")
    with pytest.raises(ModelError, match="not a digits-edge model file"):
        read_model_file(model_path)


def test_other_onnx_model_is_rejected_with_the_export_command(make_model):
    with pytest.raises(ModelError, match="digits-edge export") as caught:
        read_model_file(make_model(complete=False))
    assert caught.value.exit_code == 3


def test_pointer_of_git_lfs_names_the_command(tmp_path):
    pointer = tmp_path / "edge.onnx"
    pointer.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 132000\n")
    with pytest.raises(ModelError, match="get the model with `git lfs pull`"):
        read_model_file(pointer)


def test_missing_file_and_folder_are_rejected(tmp_path):
    for path in (tmp_path / "none.onnx", tmp_path):
        with pytest.raises(ModelError, match="could not be read"):
            read_model_file(path)


def test_checksum_entry_has_a_fixed_length():
    assert len(with_digest(b"")) == len(with_digest(b"model")) - 5


def test_free_width_and_columns_belong_together(metadata):
    line = {"height": 32, "width": None, "channels": 1, "polarity": "white-on-black"}
    values = {**json.loads(metadata.to_json()), "input": line, "preprocessing": [{"step": "line"}]}
    sequence = Metadata.from_json(json.dumps({**values, "output": "columns", "column_px": 2}))
    assert sequence.is_sequence
    assert sequence.input.description == "32×W"
    for entry in ({"output": "softmax", "column_px": None}, {"output": "columns", "column_px": None}):
        with pytest.raises(ModelError, match="free width"):
            Metadata.from_json(json.dumps({**values, **entry}))
    with pytest.raises(UsageError, match="free width"):
        _ = sequence.input.shape
