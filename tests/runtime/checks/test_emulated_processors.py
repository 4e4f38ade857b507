"""int8 models on an Intel Haswell emulated by qemu, whose kernels saturate.

`python -m endurance.processors` checks all bundled models on seven processors.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from digits_edge.runtime import Classifier
from digits_edge.runtime.model.golden import EXACT_TOLERANCE, GoldenValues
from digits_edge.runtime.model.model_file import GOLDEN_KEY, METADATA_KEY, Metadata, with_digest, without_digest

EMULATOR = "qemu-x86_64-static"
#: Model bundled with 1.0.0: 8-bit weights, which overflow on x86 without VNNI.
OLD = Path(__file__).parents[2] / "data" / "edge-int8-1.0.0.onnx"

pytestmark = [
    pytest.mark.slow,  # starts in an emulator, 6 s; quick tests compare with exact arithmetic on this processor
    pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="this Python is not for x86-64"),
    pytest.mark.skipif(shutil.which(EMULATOR) is None, reason=f"no {EMULATOR}: apt install qemu-user-static"),
]

PROGRAM = """
import json, sys
from digits_edge.runtime import Classifier
from digits_edge.runtime.session.int8_kernels import saturate
from digits_edge.runtime.checks import verify as checks

checks.BATCH_SIZES = 1, 2, 7, 64  # a larger one takes seconds in an emulator
old, claiming = sys.argv[1:]
found = {"saturates": saturate()}
for name, model, is_verified in (("edge", "edge-int8", True), ("old", old, False), ("claiming", claiming, True)):
    with Classifier(model, provider="cpu", threads=1) as classifier:
        found[name] = {
            "exact_kernels": classifier.exact_kernels,
            "golden": classifier.predict_batch(classifier.golden.images).tolist(),
            "problems": checks.verify(classifier).problems if is_verified else None,
        }
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def claiming(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The old file with exact probabilities and the wrong claim that its weights cannot overflow."""
    ir = pytest.importorskip("onnx_ir", reason="the extra `export` is not installed")
    from digits_edge.export.precision.exact import exact_probabilities

    model = onnx.load_from_string(without_digest(OLD.read_bytes()))
    properties = {entry.key: entry.value for entry in model.metadata_props}
    golden = GoldenValues.unpack(properties[GOLDEN_KEY])
    exact = exact_probabilities(ir.from_proto(model), golden.images)
    properties[GOLDEN_KEY] = replace(golden, exact=exact).pack()
    properties[METADATA_KEY] = replace(Metadata.from_json(properties[METADATA_KEY]), overflow_free=True).to_json()
    onnx.helper.set_model_props(model, properties)
    path = tmp_path_factory.mktemp("claiming") / OLD.name
    path.write_bytes(with_digest(model.SerializeToString()))
    return path


@pytest.fixture(scope="module")
def haswell(claiming: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Output of the program on the emulated processor."""
    command = (EMULATOR, "-cpu", "Haswell", sys.executable, "-c", PROGRAM, str(OLD), str(claiming))
    # without coverage of the subprocess, which is too slow in an emulator
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    folder = tmp_path_factory.mktemp("haswell")  # receives the core file after a crash
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def predicted_here(model: str | Path) -> np.ndarray:
    """Probabilities of the golden images on the processor that runs the tests."""
    with Classifier(model, provider="cpu", threads=1) as classifier:
        return classifier.predict_batch(classifier.golden.images)


def test_the_kernels_saturate(haswell):
    assert haswell["saturates"] is True


def test_bundled_model_passes_with_the_default_kernels(haswell):
    assert (haswell["edge"]["problems"], haswell["edge"]["exact_kernels"]) == ([], False)


def test_bundled_model_has_the_same_probabilities_on_both_processors(haswell):
    with Classifier("edge-int8", provider="cpu") as classifier:
        tolerance = classifier.golden.exact_tolerance
    np.testing.assert_allclose(haswell["edge"]["golden"], predicted_here("edge-int8"), rtol=0, atol=tolerance)


def test_older_file_uses_exact_kernels(haswell):
    assert haswell["old"]["exact_kernels"] is True
    np.testing.assert_allclose(haswell["old"]["golden"], predicted_here(OLD), rtol=0, atol=EXACT_TOLERANCE)


def test_file_with_a_wrong_overflow_free_claim_fails(haswell):
    assert haswell["claiming"]["exact_kernels"] is False
    assert [problem for problem in haswell["claiming"]["problems"] if "from exact arithmetic" in problem]
