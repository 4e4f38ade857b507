"""What fuzzing found worth keeping, given to every way in again; `python -m fuzz` looks for more."""

import pytest

from fuzz.corpus import inputs
from fuzz.targets import TARGETS

NEEDS = {"keras-file": "keras", "recipe": "keras", "checkpoint": "keras", "model": "onnx", "parquet": "pyarrow"}


@pytest.mark.parametrize("name", TARGETS)
def test_kept_inputs_end_in_documented_errors(name, monkeypatch):
    pytest.importorskip(NEEDS.get(name, "numpy"), reason="this way in needs an extra")
    monkeypatch.chdir(".")  # a target changes the folder
    given = list(inputs(name))
    assert given
    for content in given:
        TARGETS[name].run(content)
