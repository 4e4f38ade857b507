"""Read a CSV of images: that of Kaggle's Digit Recognizer (`label,pixel0,…,pixel783`) and its variants.

`read_blocks` streams blocks in constant memory. `read_csv` reads a complete file into memory. `read_csv_on_disk` reads
a file that is larger than the memory.

`csv_dialect` recognises the delimiter, the header and the columns. A pixel is a whole number from 0 to 255, a label
from 0 to 9.
"""

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.datasets.dataset import IMAGE_SHAPE, ProgressCallback
from digits_edge.runtime.datasets.opening import display_name, opened
from digits_edge.runtime.datasets.tables.block import Block, numbered, range_checked
from digits_edge.runtime.datasets.tables.csv_rows import RowParser
from digits_edge.runtime.datasets.tables.csv_text import open_csv
from digits_edge.runtime.datasets.tables.table_columns import PIXELS
from digits_edge.runtime.errors import DataError, RowError
from digits_edge.runtime.pixel_scale import PixelScale

#: One digit and one separator per pixel.
MIN_ROW_BYTES = 2 * len(PIXELS)


def read_blocks(
    source: Path | BinaryIO,
    *,
    name: str | None = None,
    rows_per_block: int = 1024,
    first_row: int = 1,
    skip_bad_rows: bool = False,
    pixel_range: PixelScale | None = None,
    progress: ProgressCallback | None = None,
) -> Generator[Block, None, None]:
    r"""Read a CSV block by block, in constant memory.

    Args:
        source: path or binary stream, plain or compressed as for `opened`. A stream is not closed.
        name: name of a stream in error messages.
        rows_per_block: number of good rows in each block; the last block may be smaller.
        first_row: first row to read, counted from 1; earlier rows are not checked.
        skip_bad_rows: skip malformed rows and list them in `Block.bad` instead of raising an error.
        pixel_range: 255 for pixels from 0 to 255; 1 for pixels from 0 to 1, which are converted to 0 to 255 and
            rounded; None for 255 and an error if they seem to be scaled to 0–1 (`digits_edge.runtime.pixel_scale`).
        progress: called with (bytes read so far, file size in bytes or None if `source` is not a file).

    Yields:
        Blocks in row order; none if the CSV has no rows.

    Raises:
        RowError: a row is malformed, after all rows before it; names row, line and column.
        DataError: the source is unreadable, the meaning of its columns is not certain, or its pixels seem to be scaled
            to 0–1.

    Example:
        >>> import io
        >>> rows = [",".join(PIXELS), ",".join(["0"] * 784), ",".join(["255"] * 784)]
        >>> [block] = read_blocks(io.BytesIO("\n".join(rows).encode()))
        >>> block.images.shape, block.labels, block.rows.tolist()
        ((2, 28, 28), None, [1, 2])
        >>> list(read_blocks(io.BytesIO(b"a,b"), name="rows.csv"))  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        digits_edge.runtime.errors.DataError: rows.csv, line 1: the header lacks the column pixel0 and 783 more; ...
    """
    name = name or display_name(source)
    with opened(source, progress, name=name) as stream:
        dialect, chunks = open_csv(stream, name)
        parser = RowParser(dialect, pixel_range or 255)
        parts = _regroup(_parsed(chunks, parser, name, first_row, skip_bad_rows), rows_per_block)
        blocks = (Block(parser.images(part.table), parser.labels(part.table), part.rows, part.bad) for part in parts)
        yield from range_checked(blocks, name, pixel_range, is_part=first_row > 1)


def read_csv(
    path: Path, *, pixel_range: PixelScale | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """Read all images and labels of a CSV.

    Args:
        path: the CSV.
        pixel_range: as for `read_blocks`.

    Returns:
        Images, uint8 (N, 28, 28), and labels, uint8 (N,), or None without a label column.

    Raises:
        DataError: as `read_blocks`, or the file has no rows.
    """
    blocks = list(read_blocks(path, pixel_range=pixel_range))
    if not blocks:
        raise _no_rows(path)
    images = np.concatenate([block.images for block in blocks])
    labels = [block.labels for block in blocks if block.labels is not None]
    return images, np.concatenate(labels) if labels else None


def read_csv_on_disk(
    path: Path, target: Path, *, pixel_range: PixelScale | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """Read a CSV that is larger than the memory: write its images to a file and memory-map that file.

    Args:
        path: the CSV.
        target: file to create; it must exist as long as the images are used.
        pixel_range: as for `read_blocks`.

    Returns:
        As `read_csv`; the images are a read-only memory map.

    Raises:
        DataError: as `read_csv`.
    """
    labels = bytearray()
    rows = 0
    with target.open("wb") as stream:
        for block in read_blocks(path, pixel_range=pixel_range):
            stream.write(block.images.data)
            rows += len(block.images)
            labels += b"" if block.labels is None else block.labels.tobytes()
    if not rows:
        raise _no_rows(path)
    images = np.memmap(target, np.uint8, mode="r", shape=(rows, *IMAGE_SHAPE))
    return images, np.frombuffer(labels, np.uint8) if labels else None


def _no_rows(path: Path) -> DataError:
    return DataError(f"{path} has a header but no rows; download it again")


class _Part(NamedTuple):
    """Parsed rows, uint8 (n, columns), with their row numbers, int64 (n,), and the malformed rows among them."""

    table: NDArray[np.uint8]
    rows: NDArray[np.int64]
    bad: tuple[RowError, ...] = ()


def _parsed(
    chunks: Iterator[bytes], parser: RowParser, name: str, first_row: int, skip_bad_rows: bool
) -> Iterator[_Part]:
    """Yield the rows of each chunk."""
    row = 1
    for text in chunks:
        if row < first_row:
            lines = text.count(b"\n")
            if row + lines <= first_row:
                row += lines
                continue
            text, row = text.split(b"\n", first_row - row)[-1], first_row
        table = parser.rows(text)
        if table is not None:
            yield _Part(table, numbered(row, len(table)))
            row += len(table)
            continue
        part = _line_by_line(text, parser, row, name)
        row += text.count(b"\n")
        if part.bad and not skip_bad_rows:
            before = int(np.searchsorted(part.rows, part.bad[0].row))
            yield _Part(part.table[:before], part.rows[:before])
            raise part.bad[0]
        yield part


def _line_by_line(text: bytes, parser: RowParser, first_row: int, name: str) -> _Part:
    """Parse a chunk exactly, with the malformed rows."""
    good, rows, bad = [np.empty((0, parser.width), np.uint8)], [], []
    for row, line in enumerate(text.removesuffix(b"\n").split(b"\n"), start=first_row):
        values = parser.row(line)
        if values is None:
            where = f"row {row} (line {row + parser.dialect.header_lines})"
            bad.append(RowError(name, row, f"{where}, {parser.error(line)}"))
        else:
            good.append(values[np.newaxis])
            rows.append(row)
    return _Part(np.concatenate(good), np.array(rows, np.int64), tuple(bad))


def _regroup(parts: Iterator[_Part], rows: int) -> Iterator[_Part]:
    """Yield the same rows in parts of `rows` good rows (the last one may be smaller), each with its bad rows.

    If `parts` raises `RowError`, it is raised after all rows before it.
    """
    pending: list[_Part] = []
    count, malformed = 0, None
    while True:
        try:
            part = next(parts, None)
        except RowError as error:
            part, malformed = None, error
        if part is None:
            break
        pending.append(part)
        count += len(part.rows)
        if count >= rows:
            rest = _concatenate(pending)
            for _ in range(count // rows):
                full, rest = _split(rest, rows)
                yield full
            pending, count = [rest], len(rest.rows)
    if pending and (count or any(part.bad for part in pending)):
        yield _concatenate(pending)
    if malformed is not None:
        raise malformed


def _concatenate(parts: list[_Part]) -> _Part:
    tables, rows, bad = zip(*parts, strict=True)
    return _Part(np.concatenate(tables), np.concatenate(rows), sum(bad, ()))


def _split(part: _Part, count: int) -> tuple[_Part, _Part]:
    """Split after `count` good rows; bad rows before the last of them go to the first part."""
    last = int(part.rows[count - 1])
    before = tuple(bad for bad in part.bad if bad.row < last)
    after = part.bad[len(before) :]
    return (
        _Part(part.table[:count], part.rows[:count], before),
        _Part(part.table[count:], part.rows[count:], after),
    )
