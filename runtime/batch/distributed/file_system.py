"""Where sources lie and answers go: this machine's folders, or any file system that fsspec or Arrow knows."""

from pathlib import Path
from typing import Any

from fsspec.core import url_to_fs
from fsspec.implementations.arrow import ArrowFSWrapper
from fsspec.implementations.local import LocalFileSystem

from digits_edge.runtime.errors import DataError, InputError, one_line
from digits_edge.runtime.files import atomic_write


def file_system(place: str) -> tuple[Any, str]:
    """The file system of a path or URI such as `s3://bucket/folder`, and the place in it.

    What fsspec has no library for here (s3fs, gcsfs, …) Arrow opens, which brings S3, Google's and Azure's storage and
    HDFS with it.

    Returns:
        An `fsspec.AbstractFileSystem`, which may be pickled, and a path in it.

    Raises:
        DataError: nobody knows this kind of file system, or it cannot be reached.
    """
    try:
        found, path = url_to_fs(place)
        return found, path.rstrip("/") or path
    except ImportError as missing:
        return _by_arrow(place, str(missing))
    except (ValueError, OSError) as error:
        raise DataError(f"{place} could not be read: {error}") from error


def _by_arrow(place: str, missing: str) -> tuple[Any, str]:
    import pyarrow as arrow
    import pyarrow.fs

    scheme, _, rest = place.partition("://")
    host, _, path = rest.partition("/")
    try:
        # without the path, in which it would take a `#`, `?` or `%` for parts of a URI
        found, root = arrow.fs.FileSystem.from_uri(f"{scheme}://{host}")
    except (arrow.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{place} could not be read: {error} ({missing})") from error
    return ArrowFSWrapper(found), f"{root.rstrip('/')}/{path}".rstrip("/")


def is_local(fs: Any) -> bool:
    """Whether paths in it are paths of this machine."""
    return isinstance(fs, LocalFileSystem)


def shown(fs: Any, path: str) -> str:
    """What messages and manifests call a file: of this machine its path, else with `s3://` or the like."""
    return path if is_local(fs) else str(fs.unstrip_protocol(path))


def write_file(fs: Any, path: str, content: bytes) -> None:
    """Write a file, on this machine whole or not at all; object storage does so itself.

    Raises:
        InputError: it could not be written.
    """
    if is_local(fs):
        with atomic_write(Path(path)) as stream:
            stream.write(content)
        return
    try:
        fs.pipe_file(path, content)
    except Exception as error:  # each file system has its own
        raise InputError(f"{shown(fs, path)} could not be written: {one_line(error)}") from error
