"""Run the seeds and the stored fuzzing inputs of every target; `python -m fuzz` searches for more."""

import pytest

from fuzz.corpus import inputs
from fuzz.targets import TARGETS

NEEDS = {
    "keras-file": "keras",
    "keras-model": "keras",
    "recipe": "keras",
    "checkpoint": "keras",
    "model": "onnx",
    "parquet": "pyarrow",
}


@pytest.mark.parametrize("name", TARGETS)
def test_stored_inputs_raise_documented_errors_only(name, monkeypatch):
    pytest.importorskip(NEEDS.get(name, "numpy"), reason="this target needs an extra")
    monkeypatch.chdir(".")  # restores the folder that a target changes
    contents = list(inputs(name))
    assert contents
    for content in contents:
        TARGETS[name].run(content)
