"""Read sources as blocks of images: `divide` a source into pieces that are read in parallel, `read` a piece.

Both depend only on the files, so that any machine can run them, repeatedly and with the same result.
"""

import io
import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.batch.distributed.file_system import is_local, shown
from digits_edge.runtime.batch.distributed.record import Bad, Record, is_intact, one_after_another
from digits_edge.runtime.batch.distributed.source import Source, pictures_in
from digits_edge.runtime.batch.pictures import without_stages
from digits_edge.runtime.batch.table import in_order
from digits_edge.runtime.datasets.dataset import IMAGE_SHAPE
from digits_edge.runtime.datasets.tables.block import Block
from digits_edge.runtime.datasets.tables.kaggle_csv import read_blocks
from digits_edge.runtime.datasets.tables.parquet import read_parquet_blocks, rows_of_groups
from digits_edge.runtime.errors import InputError, one_line
from digits_edge.runtime.pixel_scale import PixelScale
from digits_edge.runtime.preprocessing.pictures import MAX_BYTES, open_picture
from digits_edge.runtime.preprocessing.prepared import PreparedPicture
from digits_edge.runtime.preprocessing.steps import PictureForm

#: Rows per shard, 25.7 MB of images. With half as many rows, writing the records took 10% of the time.
ROWS_PER_BLOCK = 32_768
#: Opening these takes one processor some seconds.
PICTURES_PER_BLOCK = 2_048
#: Pictures fetched concurrently from remote storage, and bytes of a table fetched per request.
_CONCURRENT_FETCHES = 16
_FETCH_BYTES = 8_000_000


@dataclass(frozen=True)
class Work:
    """A source, and the part of it that an earlier run processed.

    Attributes:
        number: index of the source.
        source: the source.
        done: (first, last) of each record of the source, in order.
        ended: whether the last record reaches the end of the source.
    """

    number: int
    source: Source
    done: tuple[tuple[int, int], ...]
    ended: bool = False


@dataclass(frozen=True)
class Piece:
    """The unit of reading: a CSV, some row groups of a Parquet file, or some pictures of a folder.

    Attributes:
        number: index of the source.
        source: the source.
        done: (first, last) of each record of an earlier run in this piece, in order.
        first: first row or picture, counted from 1 in the source.
        last: last row or picture; None for a CSV, which is read to its end.
        ends: whether this is the last piece of the source.
        row_groups: row groups of a Parquet file.
        pictures: paths of the pictures.
        failed: reason why the source could not be divided; such a piece is not read.
    """

    number: int
    source: Source
    done: tuple[tuple[int, int], ...]
    first: int = 1
    last: int | None = None
    ends: bool = True
    row_groups: range | None = None
    pictures: tuple[str, ...] = ()
    failed: str | None = None


@dataclass(frozen=True, eq=False)
class SourceBlock:
    """Consecutive rows or pictures as images: the content of one shard.

    Attributes:
        source: index of the source.
        name: name of the source.
        first: first row or picture, counted from 1 in the source.
        last: last row or picture, good or bad; smaller than `first` if the source is empty.
        images: images of the good rows or pictures, uint8, (n, 28, 28).
        rows: row or picture number of each image, int64, (n,).
        labels: uint8, (n,); None without labels.
        prepared: the good pictures, whose images are in `images`; empty for a table.
        pictures: names of all pictures from `first` to `last`, including the bad ones; empty for a table.
        bad: malformed rows or unreadable pictures.
        ends: whether this is the end of the source.
        failed: reason why the source could not be read from `first` on; such a block has no rows.
    """

    source: int
    name: str
    first: int
    last: int
    images: NDArray[np.uint8]
    rows: NDArray[np.int64]
    labels: NDArray[np.uint8] | None = None
    prepared: tuple[PreparedPicture, ...] = ()
    pictures: tuple[str, ...] = ()
    bad: tuple[Bad, ...] = ()
    ends: bool = False
    failed: str | None = None


def work_left(sources: Sequence[Source], records: Sequence[Record]) -> list[Work]:
    """Return the sources that the records do not cover completely."""
    by_source: dict[int, list[Record]] = {}
    for record in records:
        by_source.setdefault(record.source, []).append(record)
    works = []
    for number, source in enumerate(sources):
        source_records = one_after_another(by_source.get(number, []))
        if not is_intact(source_records):
            done = tuple((record.first, record.last) for record in source_records)
            works.append(Work(number, source, done, ended=bool(source_records) and source_records[-1].ends))
    return works


def divide(work: Work) -> Iterator[Piece]:
    """Yield the unprocessed pieces of a source; if it cannot be divided, a failed piece for each gap."""
    pieces = {"csv": _single_piece, "parquet": _row_group_pieces, "pictures": _picture_pieces}[work.source.kind]
    try:
        yield from (piece for piece in pieces(work) if piece.last is None or _first_unprocessed(piece) <= piece.last)
    except Exception as error:  # each file system has its own exception types
        for first in _gaps(work):
            yield Piece(work.number, work.source, (), first, failed=_reason(work.source, error))


def read(piece: Piece, form: PictureForm, pixel_range: PixelScale | None = None) -> Iterator[SourceBlock]:
    """Yield the unprocessed blocks of a piece; if it cannot be read, a final block with the reason.

    Args:
        piece: the piece.
        form: conversion of pictures to the input of the model.
        pixel_range: as for `read_blocks`; for tables only.
    """
    first = _first_unprocessed(piece)
    try:
        if piece.failed is not None:
            raise InputError(piece.failed)
        if piece.source.kind == "pictures":
            blocks = _read_pictures(piece, form)
        else:
            blocks = _read_table(piece, first, pixel_range)
        for block in blocks:
            first = block.last + 1
            if (block.first, block.last) not in piece.done:
                yield block
    except Exception as error:  # each file system has its own exception types
        yield replace(_empty_block(piece, first), failed=_reason(piece.source, error))


def _gaps(work: Work) -> Iterator[int]:
    """Yield the first row or picture of each unprocessed range."""
    following = 1
    for first, last in work.done:
        if first > following:
            yield following
        following = last + 1
    if not work.ended:
        yield following


def _single_piece(work: Work) -> Iterator[Piece]:
    yield Piece(work.number, work.source, work.done)


def _row_group_pieces(work: Work) -> Iterator[Piece]:
    """Combine consecutive row groups until they have the rows of a block."""
    with _open(work.source) as stream:
        counts = rows_of_groups(stream, name=work.source.name)
    rows = sum(counts)
    start, first, last = 0, 1, 0
    for group, count in enumerate(counts, start=1):
        last += count
        if last - first + 1 >= ROWS_PER_BLOCK or (last == rows and last >= first):
            yield _piece(work, first, last, ends=last == rows, row_groups=range(start, group))
            start, first = group, last + 1
    if not rows:
        yield Piece(work.number, work.source, (), row_groups=range(0))


def _picture_pieces(work: Work) -> Iterator[Piece]:
    paths = pictures_in(work.source.fs, work.source.path, work.source.patterns)
    for start in range(0, len(paths), PICTURES_PER_BLOCK):
        group = tuple(paths[start : start + PICTURES_PER_BLOCK])
        stop = start + len(group)
        yield _piece(work, start + 1, stop, ends=stop == len(paths), pictures=group)
    if not paths:
        yield Piece(work.number, work.source, ())


def _piece(work: Work, first: int, last: int, **fields: Any) -> Piece:
    """Create a piece with the records that are in it."""
    begin, end = (bisect_left(work.done, (row, 0)) for row in (first, last + 1))
    return Piece(work.number, work.source, work.done[begin:end], first, last, **fields)


def _first_unprocessed(piece: Piece) -> int:
    """Return the first row or picture after the records that cover the start of a piece without a gap."""
    lasts = dict(piece.done)
    first = piece.first
    while first in lasts and lasts[first] >= first:
        first = lasts[first] + 1
    return first


def _read_table(piece: Piece, first_row: int, pixel_range: PixelScale | None) -> Iterator[SourceBlock]:
    """Read the rows of a table from `first_row` on; only the last block has `ends` set."""
    source, size = piece.source, _rows_per_block(piece)
    options: dict[str, Any] = {"rows_per_block": size, "first_row": first_row, "skip_bad_rows": True}
    options["pixel_range"] = pixel_range
    pending: SourceBlock | None = None
    first = first_row
    try:
        with _open(source) as stream:
            if source.kind == "csv":
                blocks = read_blocks(stream, name=source.name, **options)
            else:
                blocks = read_parquet_blocks(stream, name=source.name, row_groups=piece.row_groups, **options)
            with closing(blocks):  # before the stream is closed
                for group in _grouped(blocks, size):
                    if pending is not None:
                        yield pending
                    pending = _table_block(piece, first, group)
                    first = pending.last + 1
    except Exception:
        if pending is not None:  # it was read before the failure
            yield pending
        raise
    yield replace(pending or _empty_block(piece, first_row), ends=piece.ends)


def _rows_per_block(piece: Piece) -> int:
    """Return the rows per block: row groups larger than a block are cut into equal blocks."""
    if piece.last is None:
        return ROWS_PER_BLOCK
    rows = piece.last - piece.first + 1
    return math.ceil(rows / math.ceil(rows / ROWS_PER_BLOCK))


def _grouped(blocks: Iterator[Block], rows: int) -> Iterator[list[Block]]:
    """Combine blocks until they have the rows of a shard; the Parquet reader yields small blocks around bad rows."""
    pending: list[Block] = []
    count = 0
    for block in blocks:
        pending.append(block)
        count += len(block.rows) + len(block.bad)
        if count >= rows:
            yield pending
            pending, count = [], 0
    if pending:
        yield pending


def _table_block(piece: Piece, first: int, blocks: list[Block]) -> SourceBlock:
    labels = [block.labels for block in blocks if block.labels is not None]
    return SourceBlock(
        piece.number,
        piece.source.name,
        first,
        max(block.last_row for block in blocks),
        np.concatenate([block.images for block in blocks]),
        np.concatenate([block.rows for block in blocks]),
        np.concatenate(labels) if labels else None,
        bad=tuple(Bad(bad.row, str(bad)) for block in blocks for bad in block.bad),
    )


def _read_pictures(piece: Piece, form: PictureForm) -> Iterator[SourceBlock]:
    """Read the pictures of a piece as one block."""
    source = piece.source

    def read_image(path: str) -> PreparedPicture | str:
        """Return the image of a picture and its boxes, or the reason why it has none."""
        try:
            return without_stages(form(open_picture(_picture(source, path))))
        except InputError as error:
            return str(error)
        except Exception as error:  # each file system has its own exception types
            return f"{shown(source.fs, path)} could not be read: {one_line(error)}"

    prepared: list[PreparedPicture] = []
    rows, bad = [], []
    # processing a picture takes about 1 ms, fetching it over a network much longer
    threads = 1 if is_local(source.fs) else _CONCURRENT_FETCHES
    with ThreadPoolExecutor(threads) as pool:
        found = in_order(pool, read_image, piece.pictures, ahead=2 * threads)
        for row, (_, picture) in enumerate(found, start=piece.first):
            if isinstance(picture, str):
                bad.append(Bad(row, picture))
            else:
                prepared.append(picture)
                rows.append(row)
    yield SourceBlock(
        piece.number,
        source.name,
        piece.first,
        piece.first + len(piece.pictures) - 1,
        np.stack([picture.image for picture in prepared]) if prepared else np.empty((0, *form.image.shape), np.uint8),
        np.array(rows, np.int64),
        prepared=tuple(prepared),
        pictures=tuple(shown(source.fs, path) for path in piece.pictures),
        bad=tuple(bad),
        ends=piece.ends,
    )


class _NamedBytes(io.BytesIO):
    """In-memory file with a name for error messages."""

    name: str


def _picture(source: Source, path: str) -> Path | _NamedBytes:
    """Return a local path, or the content of a remote picture."""
    if is_local(source.fs):
        return Path(path)
    with source.fs.open(path, "rb") as stream:
        content = _NamedBytes(stream.read(MAX_BYTES + 1))
    content.name = shown(source.fs, path)
    return content


@contextmanager
def _open(source: Source) -> Iterator[Any]:
    """Open a source for reading; a remote one is fetched in large requests."""
    with source.fs.open(source.path, "rb") as stream:
        yield stream if is_local(source.fs) else io.BufferedReader(_RawStream(stream), _FETCH_BYTES)


class _RawStream(io.RawIOBase):
    """Adapter of an fsspec file for `io.BufferedReader`."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def readable(self) -> bool:
        """Always true."""
        return True

    def seekable(self) -> bool:
        """Always true; Parquet files are read from their end."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer."""
        content = self._stream.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Change the position."""
        self._stream.seek(offset, whence)
        return self.tell()

    def tell(self) -> int:
        """Return the position."""
        position: int = self._stream.tell()
        return position


def _empty_block(piece: Piece, first: int) -> SourceBlock:
    """Create a block without rows, for a source that is empty or cannot be read."""
    empty = np.empty((0, *IMAGE_SHAPE), np.uint8)
    return SourceBlock(piece.number, piece.source.name, first, first - 1, empty, np.empty(0, np.int64))


def _reason(source: Source, error: Exception) -> str:
    """Return the reason why a source could not be read, including its name."""
    return str(error) if isinstance(error, InputError) else f"{source.name} could not be read: {one_line(error)}"
