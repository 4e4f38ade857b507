"""Hooks for schemathesis that generate pictures, because random bytes are not valid pictures."""

import io

import numpy as np
import schemathesis
from hypothesis import strategies as st

from digits_edge.runtime.datasets.synthetic_digits import draw_digit


def _png(digit: int) -> bytes:
    stream = io.BytesIO()
    draw_digit(digit, np.random.default_rng(digit), size=64).save(stream, "PNG")
    return stream.getvalue()


for kind in ("image/png", "image/jpeg", "application/octet-stream"):
    schemathesis.openapi.media_type(kind, st.integers(0, 9).map(_png))
