"""Opening a file or stream, gzipped or not, so that whatever is wrong with it is a `DataError`."""

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


#: Images of handwriting pack to a fifth; even a set of blank ones is rarely larger than this.
_MAX_UNPACKED_BYTES, _MAX_RATIO = 64_000_000, 100


def display_name(source: Path | BinaryIO) -> str:
    """Say what messages call the source: its path, or "standard input" for a stream that was not named."""
    return str(source) if isinstance(source, Path) else "standard input"


@contextmanager
def opened(
    source: Path | BinaryIO, progress: ProgressCallback | None = None, *, name: str | None = None
) -> Iterator[io.BufferedIOBase]:
    """Open for reading; gzip is told by its first bytes, not by the name, and decompressed on the way.

    Args:
        source: a path, or a binary stream, which is left open.
        progress: called as (bytes read so far, bytes of the file or None where it is none), before decompression.
        name: what messages call a stream.

    Raises:
        DataError: missing, unreadable, or a damaged gzip; also when this shows only while the block reads.
    """
    name = name or display_name(source)
    try:
        with source.open("rb", buffering=0) if isinstance(source, Path) else nullcontext(source) as raw:
            counted = _Counted(raw, progress) if progress else raw
            peekable = io.BufferedReader(cast(io.RawIOBase, counted))  # any object with readinto will do
            try:
                if peekable.peek(2).startswith(_GZIP_MAGIC):
                    with gzip.GzipFile(fileobj=peekable) as plain:
                        yield plain
                else:
                    yield peekable
            finally:
                peekable.detach()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{name} is a damaged gzip file ({error}); fetch it again") from error
    except OSError as error:
        raise DataError(f"{name} could not be read: {error.strerror or error}") from error


def is_bomb(unpacked: int, packed: int) -> bool:
    """Whether so few bytes would fill the memory with so many more that no images can be meant."""
    return unpacked > _MAX_UNPACKED_BYTES and unpacked > _MAX_RATIO * packed


class _Counted(io.RawIOBase):
    """A stream that tells how much of it has been read."""

    def __init__(self, raw: Any, progress: ProgressCallback) -> None:
        self._raw, self._progress = raw, progress
        self._done, self._total = 0, _file_bytes(raw)

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Read, and tell."""
        count: int | None = self._raw.readinto(buffer)
        self._done += count or 0
        self._progress(self._done, self._total)
        return count


def _file_bytes(stream: Any) -> int | None:
    """The size of a regular file; None for pipes and streams in memory."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, AttributeError):
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None
