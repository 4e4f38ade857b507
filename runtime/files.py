"""Atomic writing of files, and the user's cache folder."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from digits_edge.runtime.errors import InputError, UsageError

CACHE_ENVIRONMENT = "DIGITS_EDGE_CACHE"


def refuse_existing(path: Path, *, overwrite: bool) -> None:
    """Check that an output file can be created, before a long computation starts.

    Raises:
        UsageError: `path` exists and `overwrite` is false, or it is a folder or a device, which a rename would replace.
        InputError: the parent folder does not exist.

    Example:
        >>> import tempfile
        >>> refuse_existing(Path(tempfile.gettempdir()), overwrite=True)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        digits_edge.runtime.errors.UsageError: ... is a folder; give a file name in it
    """
    if path.is_dir():
        raise UsageError(f"{path} is a folder; give a file name in it")
    if path.exists() and not path.is_file():
        raise UsageError(f"{path} is a device or pipe; give a file name")
    if path.exists() and not overwrite:
        raise UsageError(f"{path} already exists; replace it with --overwrite")
    if not path.parent.is_dir():
        raise InputError(f"{path} could not be written: folder {path.parent} does not exist; create it first")


def is_same_file(one: Path, other: Path) -> bool:
    """Whether two paths are one existing file, perhaps by a link.

    Example:
        >>> is_same_file(Path(__file__), Path(__file__)), is_same_file(Path("missing.csv"), Path("missing.csv"))
        (True, False)
    """
    return one.exists() and other.exists() and one.samefile(other)


def user_cache() -> Path:
    """The cache folder: DIGITS_EDGE_CACHE if it is set, else the platform's cache folder of the user.

    For users without a home folder it is in the folder for temporary files.
    """
    if from_environment := os.environ.get(CACHE_ENVIRONMENT):
        return Path(from_environment).expanduser()
    import tempfile  # deferred: most commands need no cache

    import platformdirs

    try:
        return platformdirs.user_cache_path("digits-edge", appauthor=False)
    except RuntimeError:
        return Path(tempfile.gettempdir(), "digits-edge")


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """Write a file atomically: `path` is replaced when the block ends, and unchanged if it raises.

    The bytes are written to a hidden file in the same folder, synced to the disk, and renamed when the block ends. An
    error or interrupt in the block removes the hidden file. Its name is always the same, so the next run overwrites
    what a power failure left.

    Raises:
        InputError: the folder is missing or read-only, the disk is full, or another process is writing the same file.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with atomic_write(Path(folder, "digits.csv")) as stream:
        ...         _ = stream.write(b"label")
        ...     Path(folder, "digits.csv").read_bytes()
        b'label'
    """
    part = path.with_name(f".{path.name}.unfinished")
    try:
        with _locked(part, path) as stream:
            try:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
                _close_on_windows(stream)
                part.replace(path)  # while it is locked: another writer that had it open must not write to `path`
            except BaseException:
                with suppress(OSError):  # closing flushes the buffer, and the disk may be full
                    _close_on_windows(stream)
                part.unlink(missing_ok=True)
                raise
        sync_folder(path.parent)
    except OSError as error:
        raise InputError(f"{path} could not be written: {error.strerror or error}") from error


def _close_on_windows(stream: IO[bytes]) -> None:
    """Close a file on systems that cannot rename or remove open files."""
    if os.name != "posix":
        stream.close()


@contextmanager
def _locked(part: Path, path: Path) -> Iterator[IO[bytes]]:
    """Open an empty file that only this block writes."""
    while True:
        with open(part, "wb", opener=_open_without_truncating) as stream:
            if _is_locked_by_another(stream):
                raise InputError(f"{path} is being written by another run; wait for it, or give another file name")
            if _still_has_name(part, stream):
                stream.truncate(0)
                yield stream
                return


def _is_locked_by_another(stream: IO[bytes]) -> bool:
    """Whether another process has locked the file; False on file systems without locks."""
    try:
        return not lock(stream)
    except OSError:
        return False


def _open_without_truncating(path: str, flags: int) -> int:
    # O_NOFOLLOW: in a shared folder another user may have created a link of this name
    return os.open(path, flags & ~os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0), 0o666)


def _still_has_name(path: Path, stream: IO[bytes]) -> bool:
    """Whether the open file is still at `path`; the previous owner of the lock may have renamed it."""
    try:
        return os.path.samestat(path.stat(), os.fstat(stream.fileno()))
    except FileNotFoundError:
        return False


def lock(stream: IO[bytes]) -> bool:
    """Lock an open file until it is closed, without waiting.

    Returns:
        Whether the lock was acquired; False if another process holds it. Always True on Windows, which does not rename
        open files.

    Raises:
        OSError: the file system has no locks.
    """
    if os.name != "posix":
        return True
    import fcntl

    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def sync_folder(folder: Path) -> None:
    """Sync a folder to the disk, so that renames in it survive a power failure; no operation on Windows."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
