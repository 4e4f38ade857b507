"""What onnxruntime's int8 kernels do on this processor: `saturate`, and `are_fast`.

On x86 without VNNI they add two products in 16 bits, which is not enough for all weights: see
`digits_edge.export.precision.overflow`. The models that `export` makes avoid it; for older files `open_session` selects slower
kernels there.
"""

import base64
import platform
import re
from functools import cache
from pathlib import Path

import numpy as np

from digits_edge.runtime.session.library import load_onnxruntime

#: Four activations of 255 times four weights of 127, by MatMulInteger; tests/runtime/session/test_int8_kernels.py makes it.
_PROBE = base64.b64decode(
    "CAg6hAEKKwoLYWN0aXZhdGlvbnMKB3dlaWdodHMSBHN1bXMiDU1hdE11bEludGVnZXISBXByb2JlKhUIBAgBEANCB3dlaWdodHNK"
    "BH9/f39aHgoLYWN0aXZhdGlvbnMSDwoNCAISCQoDEgFOCgIIBGIXCgRzdW1zEg8KDQgGEgkKAxIBTgoCCAFCBAoAEBE="
)
_PRODUCTS, _ACTIVATION, _WEIGHT = 4, 255, 127
#: What Linux calls the instructions that add four products in 32 bits: VNNI and AMX on x86, SDOT and UDOT on ARM.
_DOT_PRODUCTS = {"avx512_vnni", "avx_vnni", "amx_int8", "asimddp"}


@cache
def saturate() -> bool:
    """Whether the kernels saturate sums of two products of uint8 and int8 here.

    A multiplication tells, in a millisecond, so that the result also holds under an emulator and on Windows.

    Raises:
        ModelError: onnxruntime is not installed.
    """
    ort = load_onnxruntime()
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(_PROBE, options, providers=["CPUExecutionProvider"])
    activations = np.full((1, _PRODUCTS), _ACTIVATION, np.uint8)
    return int(session.run(None, {"activations": activations})[0][0, 0]) != _PRODUCTS * _ACTIVATION * _WEIGHT


@cache
def are_fast() -> bool:
    """Whether int8 is expected to be clearly faster than fp32 here: the processor multiplies four pairs at once.

    It is a rule for the first prediction, for which a measurement would take too long (`digits_edge.runtime.session.trial`).
    """
    if features := _features():
        return bool(features & _DOT_PRODUCTS)
    # macOS runs on ARM with SDOT only; on Windows the arithmetic tells x86 with VNNI apart
    return platform.machine().lower() in ("arm64", "aarch64") or not saturate()


def _features() -> frozenset[str]:
    """The processor's features by their names in Linux, of its first core; empty elsewhere."""
    try:
        with Path("/proc/cpuinfo").open() as stream:
            about = stream.read(8192)  # the rest is other cores
    except OSError:
        return frozenset()
    found = re.search(r"^(?:flags|Features)\s*:(.*)$", about, re.MULTILINE)
    return frozenset(found[1].split()) if found else frozenset()
