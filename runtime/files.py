"""Writing files whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from digits_edge.runtime.errors import InputError, UsageError

CACHE_ENVIRONMENT = "DIGITS_EDGE_CACHE"


def refuse_existing(path: Path, *, overwrite: bool) -> None:
    """Refuse to replace a file that exists, unless asked to, and one whose folder is missing.

    Asked before the work begins, so that hours of it are not lost for want of a place.

    Raises:
        UsageError: `path` exists and `overwrite` is false, or it is a folder or a device, which a rename would replace.
        InputError: there is no such folder.
    """
    if path.is_dir():
        raise UsageError(f"{path} is a folder; name a file in it")
    if path.exists() and not path.is_file():
        raise UsageError(f"{path} is a device or pipe; name a file")
    if path.exists() and not overwrite:
        raise UsageError(f"{path} exists already; --overwrite replaces it")
    if not path.parent.is_dir():
        raise InputError(f"{path} could not be written: there is no folder {path.parent}")


def user_cache() -> Path:
    """The folder for what can be had again: what DIGITS_EDGE_CACHE names, else the user's own.

    Of a user without a home it is one in the folder for temporary files.
    """
    if named := os.environ.get(CACHE_ENVIRONMENT):
        return Path(named).expanduser()
    import tempfile  # most commands need no cache

    import platformdirs

    try:
        return platformdirs.user_cache_path("digits-edge", appauthor=False)
    except RuntimeError:
        return Path(tempfile.gettempdir(), "digits-edge")


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that appears under `path` complete, or not at all.

    The bytes go to a hidden file beside the target, are synced to the disk and renamed when the block ends; an
    error or an interrupt in the block removes them and leaves whatever stood at `path`. What a power cut left there
    is written over: its name is always the same.

    Raises:
        InputError: the folder is missing or read-only, the disk is full, or somebody else is writing the same file.
    """
    part = path.with_name(f".{path.name}.unfinished")
    try:
        with _locked(part, path) as stream:
            try:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
                _let_go(stream)
                part.replace(path)  # while it is locked: what it is afterwards nobody may write over
            except BaseException:
                with suppress(OSError):  # of what is not written yet; the disk may be full
                    _let_go(stream)
                part.unlink(missing_ok=True)
                raise
        sync_folder(path.parent)
    except OSError as error:
        raise InputError(f"{path} could not be written: {error.strerror or error}") from error


def _let_go(stream: IO[bytes]) -> None:
    """Close a file where the system renames and removes nothing that is open, as Windows."""
    if os.name != "posix":
        stream.close()


@contextmanager
def _locked(part: Path, path: Path) -> Iterator[IO[bytes]]:
    """Open a file to be written by this block alone, empty."""
    while True:
        with open(part, "wb", opener=_without_emptying) as stream:
            if _is_taken(stream):
                raise InputError(f"{path} is being written by another run; wait for it, or name another file")
            if _is_still(part, stream):
                stream.truncate(0)
                yield stream
                return


def _is_taken(stream: IO[bytes]) -> bool:
    """Whether somebody else is writing it; nobody can tell where there are no locks."""
    try:
        return not lock(stream)
    except OSError:
        return False


def _without_emptying(path: str, flags: int) -> int:
    # in a folder that others can write to the name may be a link of theirs
    return os.open(path, flags & ~os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0), 0o666)


def _is_still(path: Path, stream: IO[bytes]) -> bool:
    """Whether the open file has its name yet: it may have been renamed by who had it locked."""
    try:
        return os.path.samestat(path.stat(), os.fstat(stream.fileno()))
    except FileNotFoundError:
        return False


def lock(stream: IO[bytes]) -> bool:
    """Whether nobody else has this file open and locked; it is ours until it is closed.

    True always on Windows, which lets nobody rename what is open.

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
    """Make the rename itself durable, where the system lets a folder be opened."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
