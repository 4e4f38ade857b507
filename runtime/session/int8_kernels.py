"""Properties of onnxruntime's int8 kernels on this processor: overflow (`saturate`) and speed (`are_fast`).

On x86 without VNNI, the kernels add two products in 16 bits, which can overflow: see
`digits_edge.export.precision.overflow`. Models written by `export` avoid it. For older files `open_session` selects
slower, exact kernels on these processors.
"""

import base64
import platform
import re
from functools import cache
from pathlib import Path

import numpy as np

from digits_edge.runtime.session.library import load_onnxruntime

#: ONNX model: MatMulInteger of four activations and four weights of 127. `tests/runtime/session/test_int8_kernels.py`
#: checks its content.
_PROBE = base64.b64decode(
    "CAg6hAEKKwoLYWN0aXZhdGlvbnMKB3dlaWdodHMSBHN1bXMiDU1hdE11bEludGVnZXISBXByb2JlKhUIBAgBEANCB3dlaWdodHNK"
    "BH9/f39aHgoLYWN0aXZhdGlvbnMSDwoNCAISCQoDEgFOCgIIBGIXCgRzdW1zEg8KDQgGEgkKAxIBTgoCCAFCBAoAEBE="
)
_PRODUCTS, _ACTIVATION, _WEIGHT = 4, 255, 127
#: Linux names of the instructions that add four products in 32 bits: VNNI and AMX on x86, SDOT and UDOT on ARM.
_DOT_PRODUCTS = {"avx512_vnni", "avx_vnni", "amx_int8", "asimddp"}


@cache
def saturate() -> bool:
    """Whether the kernels saturate sums of two uint8 × int8 products on this processor.

    Determined by running a multiplication, about 1 ms, so that it is also correct under emulators and on Windows.

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
    """Whether int8 is expected to be clearly faster than fp32 on this processor, by its instructions.

    This rule is for the first prediction, when a measurement (`digits_edge.runtime.session.trial`) would take too long.

    Raises:
        ModelError: onnxruntime is not installed and the processor's features are unknown (not on Linux).
    """
    if features := _features():
        return bool(features & _DOT_PRODUCTS)
    # every ARM processor with macOS has SDOT; on Windows, saturation identifies x86 without VNNI
    return platform.machine().lower() in ("arm64", "aarch64") or not saturate()


def _features() -> frozenset[str]:
    """Feature flags of the first processor core as listed by Linux; empty on other systems."""
    try:
        with Path("/proc/cpuinfo").open() as stream:
            text = stream.read(8192)  # the first core is enough
    except OSError:
        return frozenset()
    found = re.search(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
    return frozenset(found[1].split()) if found else frozenset()
