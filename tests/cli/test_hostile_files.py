"""Property test: no file that users pass to a command ends in "this is a bug, please report it"."""

import json
import zipfile
from contextlib import redirect_stderr, redirect_stdout
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from digits_edge.cli.main import run
from digits_edge.runtime.session.precision import find_model

pytest.importorskip("tf2onnx", reason="needs the extras [train] and [export]")

from fuzz.keras_models import keras_file

#: Kind of file → its content; written as each suffix that a command knows.
CONTENTS = {
    "empty": b"",
    "text": b"not a model\n",
    "zip": None,
    "config": None,
    "hdf5": b"\x89HDF\r\n\x1a\n" + bytes(64),
    "numbers": b"label," + ",".join(f"pixel{i}" for i in range(784)).encode() + b"\n" + b"1e999," * 784 + b"nan\n",
    "model": None,
    "truncated": None,
    "npz": None,
}
SUFFIXES = (".keras", ".h5", ".onnx", ".ort", ".csv", ".npz", ".png", ".parquet", "")
#: Models of mixed policies, with an output of logarithms, with rows as input, and of float64: see `fuzz.keras_models`.
KERAS = {"own0.keras": b"\1\0\1\0\0", "own1.keras": b"\2\0\3\1", "own2.keras": b"\0\2\0\0", "own3.keras": b"\5\1\1\1\5"}
EVERY_FILE = [f"{kind}{suffix}" for kind in CONTENTS for suffix in SUFFIXES] + [*KERAS, "folder", "none", "run"]
FILE = st.sampled_from(EVERY_FILE)
DATA = st.sampled_from([name for name in EVERY_FILE if name != "npz.npz"])
KERAS_FILE = st.one_of(st.sampled_from(list(KERAS)), FILE)

COMMAND_LINES = st.one_of(
    st.tuples(st.just("predict"), FILE),
    st.tuples(st.just("predict"), st.just("text.png"), st.just("--model"), FILE),
    st.tuples(st.just("batch-predict"), FILE, st.just("-o"), st.just("out.csv"), st.just("--overwrite")),
    st.tuples(st.just("verify"), FILE),
    st.tuples(st.just("verify"), st.just("edge-int8"), st.just("--keras"), KERAS_FILE, st.just("--input-scale=1")),
    st.tuples(st.just("report"), FILE, st.just("-o"), st.just("r.html"), st.just("--overwrite")),
    st.tuples(st.just("train"), st.just("perceptron"), st.just("--data"), DATA, st.just("-o"), st.just("t")),
    st.tuples(st.just("train"), st.just("--recipe"), FILE, st.just("--data"), DATA, st.just("-o"), st.just("t")),
    st.tuples(st.just("evaluate"), KERAS_FILE, st.just("--data"), FILE, st.just("--input-scale=1")),
    st.tuples(st.just("evaluate"), KERAS_FILE, st.just("--data=npz.npz"), st.just("--input-scale=1")),
    st.tuples(st.just("compare"), KERAS_FILE, FILE, st.just("--data=npz.npz"), st.just("--input-scale=1")),
    st.tuples(
        st.just("export"),
        KERAS_FILE,
        st.sampled_from(["-o=m.onnx", "-om.onnx", "-om.ort"]),
        st.sampled_from(["--precision=fp32", "--precision=fp16", "--precision=int8"]),
        st.sampled_from(["--data=npz.npz", "--data=text.csv", "--data=none"]),
        st.just("--input-scale=1"),
        st.just("--overwrite"),
    ),
).map(list)


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    archive, config = BytesIO(), BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a.txt", "text")
    with zipfile.ZipFile(config, "w") as file:
        file.writestr("config.json", json.dumps({"class_name": "Nothing"}))
        file.writestr("metadata.json", "[]")
    model = find_model("edge-int8", "cpu").read_bytes()
    images, labels = np.zeros((40, 28, 28), np.uint8), np.arange(40) % 10
    arrays = BytesIO()
    np.savez(arrays, x_train=images, y_train=labels, x_test=images, y_test=labels)
    made = {"zip": archive.getvalue(), "config": config.getvalue(), "model": model, "truncated": model[:-100]}
    for kind, content in (CONTENTS | made | {"npz": arrays.getvalue()}).items():
        for suffix in SUFFIXES:
            (folder / f"{kind}{suffix}").write_bytes(content or b"")
    for name, described in KERAS.items():
        (folder / name).write_bytes(keras_file(described) or b"")
    (folder / "folder").mkdir()
    (folder / "run").mkdir()
    (folder / "run" / "recipe.json").write_text("{}")
    (folder / "run" / "model.keras").write_bytes(b"text")
    return folder


@pytest.mark.parametrize("examples", [25, pytest.param(60, marks=pytest.mark.slow)])
def test_no_file_is_reported_as_a_bug(files, monkeypatch, examples):
    monkeypatch.chdir(files)

    @settings(max_examples=examples, suppress_health_check=list(HealthCheck))
    @given(arguments=COMMAND_LINES)
    def check(arguments):
        stdout, stderr = TextIOWrapper(BytesIO(), "utf-8"), StringIO()
        with redirect_stdout(stdout), redirect_stderr(stderr):
            code = run(["--quiet", "--debug", *arguments])
        assert code in range(5)
        assert "this is a bug" not in stderr.getvalue(), (arguments, stderr.getvalue())

    check()
