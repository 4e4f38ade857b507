"""Opening a file or stream, gzipped or not, so that whatever is wrong with it is a `DataError`."""

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import BinaryIO, cast

from digits_edge.runtime.errors import DataError

_GZIP_MAGIC = b"\x1f\x8b"


def display_name(source: Path | BinaryIO) -> str:
    """Say what messages call the source: its path, or "standard input" for any stream."""
    return str(source) if isinstance(source, Path) else "standard input"


@contextmanager
def opened(source: Path | BinaryIO) -> Iterator[io.BufferedIOBase]:
    """Open for reading; gzip is told by its first bytes, not by the name, and decompressed on the way.

    Args:
        source: a path, or a binary stream, which is left open.

    Raises:
        DataError: missing, unreadable, or a damaged gzip; also when this shows only while the block reads.
    """
    try:
        with source.open("rb", buffering=0) if isinstance(source, Path) else nullcontext(source) as raw:
            peekable = io.BufferedReader(cast(io.RawIOBase, raw))  # any object with readinto will do
            try:
                if peekable.peek(2).startswith(_GZIP_MAGIC):
                    with gzip.GzipFile(fileobj=peekable) as plain:
                        yield plain
                else:
                    yield peekable
            finally:
                peekable.detach()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{display_name(source)} is a damaged gzip file ({error}); fetch it again") from error
    except OSError as error:
        raise DataError(f"{display_name(source)} could not be read: {error.strerror or error}") from error
