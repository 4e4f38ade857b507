"""From sources to blocks of images: `divide` a source into pieces that are read side by side, `read` a piece.

Both only look at files, so that any machine may do it, again and with the same outcome.
"""

import io
import math
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.datasets.block import Block
from digits_edge.runtime.datasets.kaggle_csv import read_blocks
from digits_edge.runtime.datasets.parquet import read_parquet_blocks, rows_of_groups
from digits_edge.runtime.engines.file_system import is_local, shown
from digits_edge.runtime.engines.record import Bad, Record, chained, is_whole
from digits_edge.runtime.engines.source import Source, pictures_in
from digits_edge.runtime.errors import InputError
from digits_edge.runtime.model_file import Preprocessing
from digits_edge.runtime.picture_form import picture_form
from digits_edge.runtime.pictures import MAX_BYTES, open_picture

#: What a shard answers: 12.8 MB of images, which are on their way at once for every processor.
ROWS_PER_BLOCK = 32_768
#: To open these takes a processor some seconds.
PICTURES_PER_BLOCK = 2_048


@dataclass(frozen=True)
class Work:
    """A source, and what of it an earlier run has dealt with.

    Attributes:
        number: of the source.
        source: itself.
        done: (first, last) of each of its records.
    """

    number: int
    source: Source
    done: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Piece:
    """What one reader reads: a CSV, some row groups of a Parquet file, or some pictures of a folder.

    Attributes:
        work: the source.
        first: its first row or picture, counted from the source's first as 1.
        last: its last one; None of a CSV, which is read to its end.
        ends: whether the source ends with it.
        row_groups: of a Parquet file.
        pictures: their paths.
        failed: why the source cannot be divided; there is nothing to read then.
    """

    work: Work
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
    works = []
    for number, source in enumerate(sources):
        of_source = [record for record in records if record.source == number]
        if not is_whole(chained(of_source)):
            works.append(Work(number, source, tuple((record.first, record.last) for record in of_source)))
    return works


def divide(work: Work) -> Iterator[Piece]:
    """The pieces of a source that are not dealt with yet."""
    source = work.source
    pieces = {"csv": _whole, "parquet": _row_groups, "pictures": _picture_groups}[source.kind]
    try:
        yield from (piece for piece in pieces(work) if piece.last is None or _resumed_at(piece) <= piece.last)
    except Exception as error:  # each file system has its own
        yield Piece(work, failed=_reason(source, error))


def read(piece: Piece, preprocessing: Preprocessing) -> Iterator[SourceBlock]:
    """What is not dealt with yet of a piece, block by block; where it cannot be read, a block that says so."""
    source, first = piece.work.source, _resumed_at(piece)
    try:
        if piece.failed is not None:
            raise InputError(piece.failed)
        blocks = _pictures(piece, preprocessing) if source.kind == "pictures" else _table(piece, first)
        for block in blocks:
            first = block.last + 1
            if (block.first, block.last) not in piece.work.done:
                yield block
    except Exception as error:  # each file system has its own
        yield _failed(piece, first, _reason(source, error))


def _whole(work: Work) -> Iterator[Piece]:
    yield Piece(work)


def _row_groups(work: Work) -> Iterator[Piece]:
    """Row groups together, as many as make a block."""
    source = work.source
    with _stream(source) as stream:
        counts = rows_of_groups(stream, name=source.name)
    start, first, rows = 0, 1, 0
    for group, count in enumerate(counts, start=1):
        rows += count
        if rows >= ROWS_PER_BLOCK or (group == len(counts) and rows):
            yield Piece(work, first, first + rows - 1, ends=group == len(counts), row_groups=range(start, group))
            start, first, rows = group, first + rows, 0
    if sum(counts) == 0:
        yield Piece(work, row_groups=range(0))


def _picture_groups(work: Work) -> Iterator[Piece]:
    source = work.source
    paths = pictures_in(source.fs, source.path, source.pattern)
    for start in range(0, len(paths), PICTURES_PER_BLOCK):
        some = tuple(paths[start : start + PICTURES_PER_BLOCK])
        stop = start + len(some)
        yield Piece(work, start + 1, stop, ends=stop == len(paths), pictures=some)


def _resumed_at(piece: Piece) -> int:
    """The first row or picture of a piece behind those that are dealt with from its beginning."""
    lasts = dict(piece.work.done)
    first = piece.first
    while first in lasts and lasts[first] >= first:
        first = lasts[first] + 1
    return first


def _table(piece: Piece, first_row: int) -> Iterator[SourceBlock]:
    """The rows of a table from one on, the last block with what tells whether the table ends."""
    work, source, size = piece.work, piece.work.source, _rows_per_block(piece)
    how: dict[str, Any] = {"rows_per_block": size, "first_row": first_row, "skip_bad_rows": True}
    with _stream(source) as stream:
        if source.kind == "csv":
            blocks = read_blocks(stream, name=source.name, **how)
        else:
            blocks = read_parquet_blocks(stream, name=source.name, row_groups=piece.row_groups, **how)
        waiting: SourceBlock | None = None
        first = first_row
        with closing(blocks):  # before the stream is
            for block in _gathered(blocks, size):
                if waiting is not None:
                    yield waiting
                waiting = _of_table(work, first, block)
                first = waiting.last + 1
    yield _ended(waiting or _nothing(work, first_row), piece)


def _ended(block: SourceBlock, piece: Piece) -> SourceBlock:
    return replace(block, ends=piece.ends)


def _rows_per_block(piece: Piece) -> int:
    """Row groups that are more than a block are halved, or cut in more equal parts."""
    if piece.last is None:
        return ROWS_PER_BLOCK
    rows = piece.last - piece.first + 1
    return math.ceil(rows / max(rows // ROWS_PER_BLOCK, 1))


def _gathered(blocks: Iterator[Block], rows: int) -> Iterator[list[Block]]:
    """Blocks together that have so many rows as a shard: where rows are bad some readers' are small."""
    waiting: list[Block] = []
    for block in blocks:
        waiting.append(block)
        if sum(len(one.rows) + len(one.bad) for one in waiting) >= rows:
            yield waiting
            waiting = []
    if waiting:
        yield waiting


def _of_table(work: Work, first: int, blocks: list[Block]) -> SourceBlock:
    labels = [block.labels for block in blocks if block.labels is not None]
    return SourceBlock(
        work.number,
        work.source.name,
        first,
        max(block.last_row for block in blocks),
        np.concatenate([block.images for block in blocks]),
        np.concatenate([block.rows for block in blocks]),
        np.concatenate(labels) if labels else None,
        bad=tuple(Bad(bad.row, str(bad)) for block in blocks for bad in block.bad),
    )


def _pictures(piece: Piece, preprocessing: Preprocessing) -> Iterator[SourceBlock]:
    source, form = piece.work.source, picture_form(preprocessing)
    images, rows, bad = [], [], []
    for row, path in enumerate(piece.pictures, start=piece.first):
        try:
            images.append(form(open_picture(_picture(source, path))).image)
            rows.append(row)
        except (InputError, OSError) as error:
            bad.append(Bad(row, str(error)))
    last = piece.first + len(piece.pictures) - 1
    names = tuple(shown(source.fs, path) for path in piece.pictures)
    stacked = np.stack(images) if images else np.empty((0, 28, 28), np.uint8)
    yield SourceBlock(
        piece.work.number,
        source.name,
        piece.first,
        last,
        stacked,
        np.array(rows, np.int64),
        pictures=names,
        bad=tuple(bad),
        ends=piece.ends,
    )


class _Named(io.BytesIO):
    """Bytes that messages can name."""

    name: str


def _picture(source: Source, path: str) -> Path | _Named:
    if is_local(source.fs):
        return Path(path)
    content = _Named(source.fs.cat_file(path, end=MAX_BYTES + 1))
    content.name = shown(source.fs, path)
    return content


def _stream(source: Source) -> Any:
    return source.fs.open(source.path, "rb")


def _nothing(work: Work, first: int) -> SourceBlock:
    """Of a source that has no rows, or no more."""
    none = np.empty((0, 28, 28), np.uint8)
    return SourceBlock(work.number, work.source.name, first, first - 1, none, np.empty(0, np.int64))


def _failed(piece: Piece, first: int, reason: str) -> SourceBlock:
    return replace(_nothing(piece.work, first), ends=True, failed=reason)


def _reason(source: Source, error: Exception) -> str:
    """Why a source could not be read, naming it."""
    if isinstance(error, InputError):
        return str(error)
    said = (str(error).splitlines() or [""])[0]
    return f"{source.name} could not be read: {type(error).__name__}: {said}"
