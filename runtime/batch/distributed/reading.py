"""From sources to blocks of images: `divide` a source into pieces that are read side by side, `read` a piece.

Both only look at files, so that any machine may do it, again and with the same outcome.
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
from digits_edge.runtime.batch.table import in_order
from digits_edge.runtime.datasets.block import Block
from digits_edge.runtime.datasets.kaggle_csv import read_blocks
from digits_edge.runtime.datasets.parquet import read_parquet_blocks, rows_of_groups
from digits_edge.runtime.errors import InputError, one_line
from digits_edge.runtime.model.model_file import Preprocessing
from digits_edge.runtime.preprocessing.picture_format import picture_format
from digits_edge.runtime.preprocessing.pictures import MAX_BYTES, open_picture

#: What a shard answers, 25.7 MB of images; with half as many the notes of what is done took a tenth of the time.
ROWS_PER_BLOCK = 32_768
#: To open these takes a processor some seconds.
PICTURES_PER_BLOCK = 2_048
#: From another machine: pictures, and bytes of a table.
_FETCHED_AT_ONCE = 16
_BYTES_AT_ONCE = 8_000_000


@dataclass(frozen=True)
class Work:
    """A source, and what of it an earlier run has dealt with.

    Attributes:
        number: of the source.
        source: itself.
        done: (first, last) of each of its records, in order.
        ended: whether the last of them is the source's end.
    """

    number: int
    source: Source
    done: tuple[tuple[int, int], ...]
    ended: bool = False


@dataclass(frozen=True)
class Piece:
    """What one reader reads: a CSV, some row groups of a Parquet file, or some pictures of a folder.

    Attributes:
        number: of the source.
        source: itself.
        done: (first, last) of what an earlier run has dealt with, in order.
        first: its first row or picture, counted from the source's first as 1.
        last: its last one; None of a CSV, which is read to its end.
        ends: whether the source ends with it.
        row_groups: of a Parquet file.
        pictures: their paths.
        failed: why the source cannot be divided; there is nothing to read then.
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
    """Consecutive rows or pictures, read; what one shard answers.

    Attributes:
        source: the source's number.
        name: the source's.
        first: row or picture, counted from the source's first as 1.
        last: the last one, be it good or bad; smaller than `first` where the source is empty.
        images: uint8 (n, 28, 28), of the good ones.
        rows: int64 (n,), which of them each image is.
        labels: uint8 (n,); None where there are none.
        pictures: of a folder all names from `first` to `last`, the bad ones too; of a table empty.
        bad: those without an image.
        ends: whether the source ends here.
        failed: why it could not be read from `first` on; there are no rows then.
    """

    source: int
    name: str
    first: int
    last: int
    images: NDArray[np.uint8]
    rows: NDArray[np.int64]
    labels: NDArray[np.uint8] | None = None
    pictures: tuple[str, ...] = ()
    bad: tuple[Bad, ...] = ()
    ends: bool = False
    failed: str | None = None


def work_left(sources: Sequence[Source], records: Sequence[Record]) -> list[Work]:
    """The sources that are not dealt with to their end."""
    of_sources: dict[int, list[Record]] = {}
    for record in records:
        of_sources.setdefault(record.source, []).append(record)
    works = []
    for number, source in enumerate(sources):
        of_source = one_after_another(of_sources.get(number, []))
        if not is_intact(of_source):
            done = tuple((record.first, record.last) for record in of_source)
            works.append(Work(number, source, done, ended=bool(of_source) and of_source[-1].ends))
    return works


def divide(work: Work) -> Iterator[Piece]:
    """The pieces of a source that are not dealt with yet."""
    pieces = {"csv": _whole, "parquet": _row_groups, "pictures": _picture_groups}[work.source.kind]
    try:
        yield from (piece for piece in pieces(work) if piece.last is None or _resumed_at(piece) <= piece.last)
    except Exception as error:  # each file system has its own
        for first in _gaps(work):
            yield Piece(work.number, work.source, (), first, failed=_reason(work.source, error))


def read(piece: Piece, preprocessing: Preprocessing) -> Iterator[SourceBlock]:
    """What is not dealt with yet of a piece, block by block; where it cannot be read, a block that says so."""
    first = _resumed_at(piece)
    try:
        if piece.failed is not None:
            raise InputError(piece.failed)
        blocks = _pictures(piece, preprocessing) if piece.source.kind == "pictures" else _table(piece, first)
        for block in blocks:
            first = block.last + 1
            if (block.first, block.last) not in piece.done:
                yield block
    except Exception as error:  # each file system has its own
        yield replace(_nothing(piece, first), failed=_reason(piece.source, error))


def _gaps(work: Work) -> Iterator[int]:
    """The first of the rows or pictures, wherever some are not dealt with."""
    following = 1
    for first, last in work.done:
        if first > following:
            yield following
        following = last + 1
    if not work.ended:
        yield following


def _whole(work: Work) -> Iterator[Piece]:
    yield Piece(work.number, work.source, work.done)


def _row_groups(work: Work) -> Iterator[Piece]:
    """Row groups together, as many as make a block."""
    with _stream(work.source) as stream:
        counts = rows_of_groups(stream, name=work.source.name)
    rows = sum(counts)
    start, first, last = 0, 1, 0
    for group, count in enumerate(counts, start=1):
        last += count
        if last - first + 1 >= ROWS_PER_BLOCK or (last == rows and last >= first):
            yield _part(work, first, last, ends=last == rows, row_groups=range(start, group))
            start, first = group, last + 1
    if not rows:
        yield Piece(work.number, work.source, (), row_groups=range(0))


def _picture_groups(work: Work) -> Iterator[Piece]:
    paths = pictures_in(work.source.fs, work.source.path, work.source.patterns)
    for start in range(0, len(paths), PICTURES_PER_BLOCK):
        some = tuple(paths[start : start + PICTURES_PER_BLOCK])
        stop = start + len(some)
        yield _part(work, start + 1, stop, ends=stop == len(paths), pictures=some)
    if not paths:
        yield Piece(work.number, work.source, ())


def _part(work: Work, first: int, last: int, **of_kind: Any) -> Piece:
    """A piece, with so much of what is done as lies in it."""
    begin, end = (bisect_left(work.done, (row, 0)) for row in (first, last + 1))
    return Piece(work.number, work.source, work.done[begin:end], first, last, **of_kind)


def _resumed_at(piece: Piece) -> int:
    """The first row or picture of a piece behind those that are dealt with from its beginning."""
    lasts = dict(piece.done)
    first = piece.first
    while first in lasts and lasts[first] >= first:
        first = lasts[first] + 1
    return first


def _table(piece: Piece, first_row: int) -> Iterator[SourceBlock]:
    """The rows of a table from one on, the last block with what tells whether the table ends."""
    source, size = piece.source, _rows_per_block(piece)
    how: dict[str, Any] = {"rows_per_block": size, "first_row": first_row, "skip_bad_rows": True}
    waiting: SourceBlock | None = None
    first = first_row
    try:
        with _stream(source) as stream:
            if source.kind == "csv":
                blocks = read_blocks(stream, name=source.name, **how)
            else:
                blocks = read_parquet_blocks(stream, name=source.name, row_groups=piece.row_groups, **how)
            with closing(blocks):  # before the stream is
                for block in _gathered(blocks, size):
                    if waiting is not None:
                        yield waiting
                    waiting = _of_table(piece, first, block)
                    first = waiting.last + 1
    except Exception:
        if waiting is not None:  # it was read before what failed
            yield waiting
        raise
    yield replace(waiting or _nothing(piece, first_row), ends=piece.ends)


def _rows_per_block(piece: Piece) -> int:
    """Row groups that are more than a block are halved, or cut in more equal parts."""
    if piece.last is None:
        return ROWS_PER_BLOCK
    rows = piece.last - piece.first + 1
    return math.ceil(rows / math.ceil(rows / ROWS_PER_BLOCK))


def _gathered(blocks: Iterator[Block], rows: int) -> Iterator[list[Block]]:
    """Blocks together that have so many rows as a shard: where rows are bad some readers' are small."""
    waiting: list[Block] = []
    count = 0
    for block in blocks:
        waiting.append(block)
        count += len(block.rows) + len(block.bad)
        if count >= rows:
            yield waiting
            waiting, count = [], 0
    if waiting:
        yield waiting


def _of_table(piece: Piece, first: int, blocks: list[Block]) -> SourceBlock:
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


def _pictures(piece: Piece, preprocessing: Preprocessing) -> Iterator[SourceBlock]:
    source, form = piece.source, picture_format(preprocessing)

    def image_of(path: str) -> NDArray[np.uint8] | str:
        """The image of a picture, or why it has none."""
        try:
            return form(open_picture(_picture(source, path))).image
        except InputError as error:
            return str(error)
        except Exception as error:  # each file system has its own
            return f"{shown(source.fs, path)} could not be read: {one_line(error)}"

    images, rows, bad = [], [], []
    # what a processor does with one takes a millisecond, and its way here through a network many
    at_once = 1 if is_local(source.fs) else _FETCHED_AT_ONCE
    with ThreadPoolExecutor(at_once) as pool:
        found = in_order(pool, image_of, piece.pictures, ahead=2 * at_once)
        for row, (_, image) in enumerate(found, start=piece.first):
            if isinstance(image, str):
                bad.append(Bad(row, image))
            else:
                images.append(image)
                rows.append(row)
    yield SourceBlock(
        piece.number,
        source.name,
        piece.first,
        piece.first + len(piece.pictures) - 1,
        np.stack(images) if images else np.empty((0, 28, 28), np.uint8),
        np.array(rows, np.int64),
        pictures=tuple(shown(source.fs, path) for path in piece.pictures),
        bad=tuple(bad),
        ends=piece.ends,
    )


class _Named(io.BytesIO):
    """Bytes that messages can name."""

    name: str


def _picture(source: Source, path: str) -> Path | _Named:
    if is_local(source.fs):
        return Path(path)
    with source.fs.open(path, "rb") as stream:
        content = _Named(stream.read(MAX_BYTES + 1))
    content.name = shown(source.fs, path)
    return content


@contextmanager
def _stream(source: Source) -> Iterator[Any]:
    """A source's bytes; from another machine they come in large pieces, for each of which it is asked once."""
    with source.fs.open(source.path, "rb") as stream:
        yield stream if is_local(source.fs) else io.BufferedReader(_Raw(stream), _BYTES_AT_ONCE)


class _Raw(io.RawIOBase):
    """A file of any file system as what a buffer can be put before."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes; Parquet begins with its end."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read."""
        content = self._stream.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place."""
        self._stream.seek(offset, whence)
        return self.tell()

    def tell(self) -> int:
        """Where it stands."""
        place: int = self._stream.tell()
        return place


def _nothing(piece: Piece, first: int) -> SourceBlock:
    """Of a source that has no rows, or none that can be read."""
    none = np.empty((0, 28, 28), np.uint8)
    return SourceBlock(piece.number, piece.source.name, first, first - 1, none, np.empty(0, np.int64))


def _reason(source: Source, error: Exception) -> str:
    """Why a source could not be read, naming it."""
    return str(error) if isinstance(error, InputError) else f"{source.name} could not be read: {one_line(error)}"
