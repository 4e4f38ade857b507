"""Headers of requests, without the conversion of those that are not asked for: `header_of`."""

from typing import overload

from starlette.types import Scope

#: Maximum number of digits of a length in a header; longer ones are refused before they are converted.
MAX_LENGTH_DIGITS = 12


@overload
def header_of(scope: Scope, name: bytes, default: str = "") -> str: ...


@overload
def header_of(scope: Scope, name: bytes, default: None) -> str | None: ...


def header_of(scope: Scope, name: bytes, default: str | None = "") -> str | None:
    """The first value of a header of a request.

    Args:
        scope: scope of an HTTP request.
        name: name of the header in lower case.
        default: value for a request without the header.

    Example:
        >>> header_of({"headers": [(b"host", b"pi.local")]}, b"host"), header_of({"headers": []}, b"host")
        ('pi.local', '')
    """
    for key, value in scope["headers"]:
        if key == name:
            found: str = value.decode("latin-1")
            return found
    return default
