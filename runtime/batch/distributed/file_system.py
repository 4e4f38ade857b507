"""File systems of sources and outputs: local folders, and remote storage through fsspec or Arrow."""

from pathlib import Path
from typing import Any

from fsspec.core import url_to_fs
from fsspec.implementations.arrow import ArrowFSWrapper
from fsspec.implementations.local import LocalFileSystem

from digits_edge.runtime.errors import DataError, InputError, one_line
from digits_edge.runtime.files import atomic_write


def file_system(place: str) -> tuple[Any, str]:
    """Return the file system of a path or URI such as `s3://bucket/folder`, and the path in it.

    If the fsspec library of a protocol (s3fs, gcsfs, …) is not installed, Arrow opens the URI. Arrow includes S3,
    Google Cloud Storage, Azure and HDFS.

    Returns:
        An `fsspec.AbstractFileSystem`, which can be pickled, and a path in it.

    Raises:
        DataError: the protocol is unknown, or the file system cannot be reached.

    Example:
        >>> fs, path = file_system("memory://folder/test.csv")
        >>> path
        '/folder/test.csv'
    """
    try:
        found, path = url_to_fs(place)
        return found, path.rstrip("/") or path
    except ImportError as missing:
        return _by_arrow(place, str(missing))
    except (ValueError, OSError) as error:
        raise DataError(f"{place} could not be read: {error}") from error


def _by_arrow(place: str, missing: str) -> tuple[Any, str]:
    """Open a URI with Arrow; `missing` is the message of fsspec about the library it lacks."""
    import pyarrow as arrow
    import pyarrow.fs

    scheme, _, rest = place.partition("://")
    host, _, path = rest.partition("/")
    try:
        # without the path, because Arrow would parse `#`, `?` and `%` in it as parts of a URI
        found, root = arrow.fs.FileSystem.from_uri(f"{scheme}://{host}")
    except (arrow.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{place} could not be read: {error} ({missing})") from error
    return ArrowFSWrapper(found), f"{root.rstrip('/')}/{path}".rstrip("/")


def is_local(fs: Any) -> bool:
    """Whether a file system is the local one."""
    return isinstance(fs, LocalFileSystem)


def shown(fs: Any, path: str) -> str:
    """Return the name of a file in messages and manifests: a local path, or a URI such as `s3://bucket/file`."""
    return path if is_local(fs) else str(fs.unstrip_protocol(path))


def write_file(fs: Any, path: str, content: bytes) -> None:
    """Write a file atomically; object storage does this by itself.

    Raises:
        InputError: the file could not be written.
    """
    if is_local(fs):
        with atomic_write(Path(path)) as stream:
            stream.write(content)
        return
    try:
        fs.pipe_file(path, content)
    except Exception as error:  # each file system has its own exception types
        raise InputError(f"{shown(fs, path)} could not be written: {one_line(error)}") from error
