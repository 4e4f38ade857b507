"""Open a file or stream, plain or gzip, and report every failure as a `DataError`."""

import gzip
import io
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, BinaryIO, cast

from digits_edge.runtime.datasets.dataset import ProgressCallback
from digits_edge.runtime.errors import DataError

_GZIP_MAGIC = b"\x1f\x8b"

#: Images of handwriting compress about 5:1, and even a data set of blank images is rarely larger than this.
_MAX_UNPACKED_BYTES, _MAX_RATIO = 64_000_000, 100


def display_name(source: Path | BinaryIO) -> str:
    """Return the name of a source in error messages: its path, or "standard input" for a stream."""
    return str(source) if isinstance(source, Path) else "standard input"


@contextmanager
def opened(
    source: Path | BinaryIO, progress: ProgressCallback | None = None, *, name: str | None = None
) -> Iterator[io.BufferedIOBase]:
    """Open a file or stream for reading and decompress gzip, which is detected by its first bytes, not by the name.

    Args:
        source: path, or binary stream, which is not closed.
        progress: called with (compressed bytes read so far, file size in bytes or None if `source` is not a file).
        name: name of a stream in error messages.

    Raises:
        DataError: the file is missing, unreadable, or a damaged gzip file; also if a read in the `with` block fails.

    Example:
        >>> with opened(io.BytesIO(gzip.compress(b"text"))) as stream:
        ...     stream.read()
        b'text'
    """
    name = name or display_name(source)
    try:
        with source.open("rb", buffering=0) if isinstance(source, Path) else nullcontext(source) as raw:
            counted = _Counted(raw, progress) if progress else raw
            peekable = io.BufferedReader(cast(io.RawIOBase, counted))  # needs only `readinto`
            try:
                if peekable.peek(2).startswith(_GZIP_MAGIC):
                    with gzip.GzipFile(fileobj=peekable) as plain:
                        yield plain
                else:
                    yield peekable
            finally:
                peekable.detach()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{name} is a damaged gzip file ({error}); download it again") from error
    except OSError as error:
        raise DataError(f"{name} could not be read: {error.strerror or error}") from error


def is_bomb(unpacked: int, packed: int) -> bool:
    """Whether unpacking would take so much more memory than the file that it is a decompression bomb."""
    return unpacked > _MAX_UNPACKED_BYTES and unpacked > _MAX_RATIO * packed


class _Counted(io.RawIOBase):
    """Stream that reports to a callback how much of it has been read."""

    def __init__(self, raw: Any, progress: ProgressCallback) -> None:
        self._raw, self._progress = raw, progress
        self._done, self._total = 0, _file_bytes(raw)

    def readable(self) -> bool:
        """Always true."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Read into a buffer and call the callback."""
        count: int | None = self._raw.readinto(buffer)
        self._done += count or 0
        self._progress(self._done, self._total)
        return count


def _file_bytes(stream: Any) -> int | None:
    """Size of a regular file; None for pipes and in-memory streams."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, AttributeError):
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None
