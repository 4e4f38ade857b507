"""Download a data set of the catalogue: resume interrupted transfers, try each mirror, verify checksums."""

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

_TIMEOUT_S = 3.0  # to connect and between two reads; a stalled transfer is resumed
_READ_BYTES = 64 * 1024


def download(known: KnownSet, split: str, folder: Path, *, progress: ProgressCallback | None = None) -> None:
    """Download the files of one split that are missing in `folder`.

    A file appears complete and verified. An interrupted transfer leaves a hidden `.part` file, which the next call
    resumes.

    Args:
        known: catalogue entry; its mirrors are tried in order.
        split: "train" or "test".
        folder: target folder; created if missing.
        progress: called with (bytes of the current file so far, its size in bytes or None if the server does not
            report it), for one file after the other.

    Raises:
        DataError: no mirror has a file with the expected checksum. The message lists the files to download by hand.
        InputError: the folder cannot be written.
    """
    missing = [file for file in known.files[split] if not (folder / file.name).exists()]
    for file in reversed(missing):  # images last: `load` takes them as the sign that the split is complete
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
                f"or set DIGITS_EDGE_DATA to a folder that contains {known.name}/"
            )


def _fetch_checked(url: str, file: KnownFile, folder: Path, progress: ProgressCallback) -> None:
    """Download a file, verify its checksum and write it to its final name.

    The verified bytes in memory are written, not the `.part` file: another process that downloads into the same
    `.part` can make this attempt fail, but cannot corrupt the result.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"{folder} could not be created: {error.strerror}; "
            "set DIGITS_EDGE_DATA to a folder that contains the data sets"
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
    _fetch_checked(url, file, folder, progress)  # the old part had other content: download again from the start


def _fetch(url: str, part: Path, progress: ProgressCallback) -> None:
    """Complete `part`; retry as long as each attempt adds bytes."""
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
    """Request the bytes that `part` lacks, once."""
    done = _size(part)
    request = Request(url, headers={"Range": f"bytes={done}-"} if done else {})
    try:
        response: HTTPResponse = urlopen(request, timeout=_TIMEOUT_S)
    except HTTPError as error:
        if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # nothing is missing; the checksum decides whether the part is correct
        raise
    with response:
        continues = response.status == HTTPStatus.PARTIAL_CONTENT
        done = done if continues else 0
        total = None if response.length is None else done + response.length
        # Written at its offset, not appended: two processes that share the part write the same bytes twice.
        with part.open("r+b" if continues else "wb") as stream:
            stream.seek(done)
            while block := response.read(_READ_BYTES):
                stream.write(block)
                done += len(block)
                progress(done, total)
    if total is not None and done < total:
        raise ConnectionError(f"connection closed after {done} of {total} bytes")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _content_sha256(compressed: bytes) -> str:
    """Return the SHA-256 of a gzip file's content in hex; empty if it is not an intact gzip file."""
    try:
        return hashlib.sha256(gzip.decompress(compressed)).hexdigest()
    except (OSError, EOFError, zlib.error):
        return ""


def _ignore(done_bytes: int, total_bytes: int | None) -> None:
    """Default progress callback."""
