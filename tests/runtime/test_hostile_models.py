"""Model files that somebody made to do harm: refused with one line, before anything of them runs."""

import os
from pathlib import Path

import numpy as np
import pytest

from digits_edge.runtime.classifier import Classifier
from digits_edge.runtime.errors import ModelError


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
