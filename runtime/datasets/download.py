"""Fetching a known data set into a folder: from mirrors, resumed where it was cut, checked before it is in place."""

import gzip
import hashlib
import zlib
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from digits_edge.runtime.datasets.catalogue import KnownFile, KnownSet
from digits_edge.runtime.datasets.dataset import ProgressCallback
from digits_edge.runtime.errors import DataError
from digits_edge.runtime.files import atomic_write

_TIMEOUT_S = 3.0  # to connect, and between two reads; a stalled transfer is resumed
_READ_BYTES = 64 * 1024


def download(known: KnownSet, split: str, folder: Path, *, progress: ProgressCallback | None = None) -> None:
    """Fetch what `folder` lacks of one split.

    A file appears complete and checked. What came of one that was cut stays beside it as `.part`, and the next call
    goes on from there.

    Args:
        known: the set, with its mirrors in the order to ask them.
        split: "train" or "test".
        folder: where the files go; made if missing.
        progress: called as (bytes of this file so far, its bytes or None where the server does not say); a file after
            the other.

    Raises:
        DataError: no mirror could give a file of the right content; says where to put which files by hand.
        InputError: the folder cannot be written.
    """
    missing = [file for file in known.files[split] if not (folder / file.name).exists()]
    for file in reversed(missing):  # the images last: by them a later call sees that the split is there
        reasons = []
        for mirror in known.mirrors:
            try:
                _fetch_checked(mirror + file.name, file, folder, progress or _ignore)
                break
            except (OSError, HTTPException) as error:
                reasons.append(f"{urlsplit(mirror).hostname}: {' '.join(str(error).split()) or type(error).__name__}")
        else:
            files = " and ".join(file.name for file in missing)
            raise DataError(
                f"{known.name} could not be downloaded ({'; '.join(reasons)}); put {files} into {folder}, "
                f"or set DIGITS_EDGE_DATA to a folder that holds {known.name}/"
            )


def _fetch_checked(url: str, file: KnownFile, folder: Path, progress: ProgressCallback) -> None:
    """Fetch, check, put in place.

    The bytes that were checked are the bytes that are written, so that another process downloading into the same
    `.part` can spoil the attempt but never the file.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"{folder} could not be made: {error.strerror}; set DIGITS_EDGE_DATA to a folder with the sets"
        ) from error
    part = folder / f".{file.name}.part"
    resumed = part.exists()
    _fetch(url, part, progress)
    content = part.read_bytes()
    if _content_sha256(content) == file.sha256:
        with atomic_write(folder / file.name) as stream:
            stream.write(content)
        part.unlink(missing_ok=True)
        return
    part.unlink(missing_ok=True)
    if not resumed:
        raise ConnectionError("wrong checksum")
    _fetch_checked(url, file, folder, progress)  # the old part was of something else: once more from the start


def _fetch(url: str, part: Path, progress: ProgressCallback) -> None:
    """Complete `part`, asking again for the rest as long as each attempt gains something."""
    while True:
        before = _size(part)
        try:
            return _fetch_rest(url, part, progress)
        except HTTPError:
            raise
        except (OSError, HTTPException):
            if _size(part) <= before:
                raise


def _fetch_rest(url: str, part: Path, progress: ProgressCallback) -> None:
    done = _size(part)
    request = Request(url, headers={"Range": f"bytes={done}-"} if done else {})
    try:
        response: HTTPResponse = urlopen(request, timeout=_TIMEOUT_S)
    except HTTPError as error:
        if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # there is no rest; whether the part is right the checksum tells
        raise
    with response:
        continues = response.status == HTTPStatus.PARTIAL_CONTENT
        done = done if continues else 0
        total = None if response.length is None else done + response.length
        # Written at its place, not appended: two processes that share the part then write the same bytes twice.
        with part.open("r+b" if continues else "wb") as stream:
            stream.seek(done)
            while block := response.read(_READ_BYTES):
                stream.write(block)
                done += len(block)
                progress(done, total)
    if total is not None and done < total:
        raise ConnectionError(f"cut after {done} of {total} bytes")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _content_sha256(compressed: bytes) -> str:
    """Hash of what is in a gzip file; of nothing, so never the right one, if it is damaged or no gzip at all."""
    try:
        return hashlib.sha256(gzip.decompress(compressed)).hexdigest()
    except (OSError, EOFError, zlib.error):
        return ""


def _ignore(done_bytes: int, total_bytes: int | None) -> None:
    """Stand in for the callback nobody gave."""
