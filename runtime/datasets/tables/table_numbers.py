"""Read a field or a row of a table as numbers: `3`, `007`, `3.0`, `1e2`."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_NUMBER_BYTES = b"0123456789.eE+-"


def number(field: bytes) -> float | None:
    """Return the value of a field; None if it is not a decimal number.

    Example:
        >>> number(b"1e2"), number(b"1_0"), number(b"nan")
        (100.0, None, None)
    """
    try:
        return None if field.translate(None, _NUMBER_BYTES) else float(field)
    except ValueError:
        return None


def numbers(fields: Sequence[bytes]) -> NDArray[np.float64] | None:
    """Return the values of some fields, float64; None if one is not a decimal number. Infinity is a value."""
    if b"".join(fields).translate(None, _NUMBER_BYTES):
        return None
    try:
        return np.fromiter(map(float, fields), np.float64, len(fields))
    except ValueError:
        return None
