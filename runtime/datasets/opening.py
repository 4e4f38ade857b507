"""Open a file or stream, plain or compressed, and report every failure as a `DataError`."""

import gzip
import io
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from digits_edge.runtime.datasets.dataset import ProgressCallback
from digits_edge.runtime.errors import DataError

if TYPE_CHECKING:
    from zipfile import ZipInfo

_BZIP2_MAGIC, _ZIP_MAGIC = b"BZh", b"PK\x03\x04"
_MAGIC = {b"\x1f\x8b": "gzip", _ZIP_MAGIC: "zip", b"PK\x05\x06": "zip"}
#: Exceptions of damaged archives. A damaged bzip2 file also raises `OSError` without a number.
_DAMAGED = (gzip.BadGzipFile, EOFError, zlib.error)

#: Images of handwriting compress about 5:1, and even a data set of blank images is rarely larger than this.
_MAX_UNPACKED_BYTES, _MAX_RATIO = 64_000_000, 100
#: Names of files that macOS and Windows add to folders.
_ADDED = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})


def display_name(source: Path | BinaryIO) -> str:
    """Return the name of a source in error messages: its path, or "standard input" for a stream."""
    return str(source) if isinstance(source, Path) else "standard input"


@contextmanager
def opened(
    source: Path | BinaryIO, progress: ProgressCallback | None = None, *, name: str | None = None
) -> Iterator[io.BufferedIOBase]:
    """Open a file or stream for reading and decompress gzip, bzip2 and zip, detected by the first bytes, not the name.

    Args:
        source: path, or binary stream, which is not closed. A zip archive has one file, and its stream is seekable.
        progress: called with (compressed bytes read so far, file size in bytes or None if `source` is not a file); for
            zip, with the sizes of the unpacked file.
        name: name of a stream in error messages.

    Raises:
        DataError: the file is missing, unreadable or damaged, or an archive of several files; also if a read in the
            `with` block fails.

    Example:
        >>> with opened(io.BytesIO(gzip.compress(b"text"))) as stream:
        ...     stream.read()
        b'text'
    """
    name = name or display_name(source)
    kind = "file"
    try:
        with source.open("rb", buffering=0) if isinstance(source, Path) else nullcontext(source) as raw:
            counted = _Counted(raw, progress) if progress else raw
            start = raw.tell() if raw.seekable() else None
            peekable = io.BufferedReader(cast(io.RawIOBase, counted))  # needs only `readinto`
            try:
                kind = _compression(peekable.peek(len(_ZIP_MAGIC)))
                with _decompressed(kind, peekable, raw, start, name, progress) as plain:
                    yield plain
            finally:
                peekable.detach()
    except _DAMAGED as error:
        raise DataError(f"{name} is a damaged {kind} file ({error}); download it again") from error
    except OSError as error:
        if kind == "bzip2" and error.errno is None:
            raise DataError(f"{name} is a damaged bzip2 file ({error}); download it again") from error
        raise DataError(f"{name} could not be read: {error.strerror or error}") from error


def _compression(head: bytes) -> str:
    """Return the name of the compression of a file, "file" for none."""
    if head.startswith(_BZIP2_MAGIC) and head[3:4] in b"123456789":
        return "bzip2"
    return next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), "file")


def _decompressed(
    kind: str,
    stream: "io.BufferedReader[Any]",
    raw: Any,
    start: int | None,
    name: str,
    progress: ProgressCallback | None,
) -> AbstractContextManager[io.BufferedIOBase]:
    """Return the plain content of a stream; `raw` is the same stream, at position `start` before the first byte."""
    if kind == "gzip":
        return gzip.GzipFile(fileobj=stream)
    if kind == "bzip2":
        import bz2  # deferred: some builds of Python do not have it

        return bz2.BZ2File(stream)
    if kind == "zip":
        if start is None:
            raise DataError(f"{name} is a zip archive, which cannot be read from a pipe; unpack it with `unzip -p`")
        raw.seek(start)
        return _unzipped(raw, name, progress)
    return nullcontext(stream)


@contextmanager
def _unzipped(raw: Any, name: str, progress: ProgressCallback | None) -> Iterator[io.BufferedIOBase]:
    """Open the only file of a zip archive; folders and the files that macOS adds are ignored."""
    import zipfile  # deferred: importing it takes 8 ms

    with ExitStack() as files:
        try:
            archive = files.enter_context(zipfile.ZipFile(raw))
            member = _only_member([info for info in archive.infolist() if _is_content(info)], name)
            plain: Any = files.enter_context(archive.open(member))
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:  # damaged, or encrypted
            raise DataError(f"{name} is a zip archive that cannot be read ({error}); unpack it first") from error
        try:
            if progress is not None:
                plain = io.BufferedReader(_Counted(plain, progress, total=member.file_size))
            yield plain
        except zipfile.BadZipFile as error:
            raise DataError(f"{name} is a damaged zip file ({error}); download it again") from error


def _is_content(member: "ZipInfo") -> bool:
    """Whether a member of an archive is neither a folder nor a file that macOS or Windows adds."""
    base = member.filename.rpartition("/")[2]
    return not (member.is_dir() or member.filename.startswith("__MACOSX/") or base.startswith("._") or base in _ADDED)


def _only_member(members: "list[ZipInfo]", name: str) -> "ZipInfo":
    names = [member.filename for member in members]
    if "[Content_Types].xml" in names:
        raise DataError(f"{name} is an Excel workbook or another Office document; save it as CSV")
    if len(members) != 1:
        listed = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
        raise DataError(f"{name} is an archive of {len(names)} files ({listed}); unpack it and name one")
    if is_bomb(members[0].file_size, members[0].compress_size):
        raise DataError(
            f"{name} is possibly a decompression bomb: {names[0]} unpacks to {members[0].file_size:,} bytes from "
            f"{members[0].compress_size:,}; if you trust it, unpack it first"
        )
    return members[0]


def is_bomb(unpacked: int, packed: int) -> bool:
    """Whether unpacking would take so much more memory than the file that it is a decompression bomb."""
    return unpacked > _MAX_UNPACKED_BYTES and unpacked > _MAX_RATIO * packed


class _Counted(io.RawIOBase):
    """Stream that reports to a callback how much of it has been read."""

    def __init__(self, raw: Any, progress: ProgressCallback, *, total: int | None = None) -> None:
        self._raw, self._progress = raw, progress
        self._done, self._total = 0, _file_bytes(raw) if total is None else total

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
