"""Suppression of messages that C++ libraries write to stderr."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

#: Descriptor of the standard error stream while `silenced_stderr` discards descriptor 2.
_stderr: int | None = None


def write_past_silence(text: str) -> bool:
    """Write to the standard error stream although it is silenced; do nothing and return False if it is not."""
    stderr = _stderr
    if stderr is None:
        return False
    with suppress(OSError):
        os.write(stderr, text.encode(errors="backslashreplace"))
    return True


@contextmanager
def silenced_stderr() -> Iterator[None]:
    """Discard everything written to file descriptor 2 in the block, also by C++ code."""
    global _stderr
    try:
        saved = os.dup(2)
    except OSError:  # it is closed
        yield
        return
    _stderr = saved
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        _stderr = None
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)
