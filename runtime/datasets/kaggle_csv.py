"""Read the CSV of Kaggle's Digit Recognizer (`label,pixel0,…,pixel783`).

`read_blocks` streams blocks in constant memory. `read_csv` reads a complete file into memory. `read_csv_on_disk` reads
a file that is larger than the memory.

The format is strict. The header has exactly these names; `label` is first or absent. A field is one to three ASCII
digits (`007` is 7) without spaces, quotes or sign; pixels are 0 to 255, labels 0 to 9. CRLF, a byte order mark, a
quoted header, a missing final newline and blank lines at the end are accepted.
"""

import io
import math
import re
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.datasets.block import Block, numbered
from digits_edge.runtime.datasets.dataset import CLASSES, IMAGE_SHAPE, ProgressCallback
from digits_edge.runtime.datasets.opening import display_name, opened
from digits_edge.runtime.errors import DataError, RowError

LABEL = "label"
PIXELS = tuple(f"pixel{index}" for index in range(math.prod(IMAGE_SHAPE)))

#: One digit and one separator per pixel.
MIN_ROW_BYTES = 2 * len(PIXELS)

# Bytes parsed at once. The temporary arrays stay below malloc's mmap threshold of 128 KiB and in the CPU cache.
# Time for 51 MB: 0.20 s with 16 KiB, 0.17 s with 32 KiB, 0.26 s with 64 KiB.
_CHUNK_BYTES = 32 * 1024
_HEADER_BYTES = 64 * 1024
_HEADER = f"[{LABEL},]{PIXELS[0]},…,{PIXELS[-1]}"
_COMMA, _NEWLINE = b",\n"


def read_blocks(
    source: Path | BinaryIO,
    *,
    name: str | None = None,
    rows_per_block: int = 1024,
    first_row: int = 1,
    skip_bad_rows: bool = False,
    progress: ProgressCallback | None = None,
) -> Generator[Block, None, None]:
    r"""Read a CSV block by block, in constant memory.

    Args:
        source: path or binary stream, plain or gzip. A stream is not closed.
        name: name of a stream in error messages.
        rows_per_block: number of good rows in each block; the last block may be smaller.
        first_row: first row to read, counted from 1; earlier rows are not checked.
        skip_bad_rows: skip malformed rows and list them in `Block.bad` instead of raising an error.
        progress: called with (bytes read so far, file size in bytes or None if `source` is not a file).

    Yields:
        Blocks in row order; none if the CSV has no rows.

    Raises:
        RowError: a row is malformed; names row, line and column. Some rows before it may not be yielded.
        DataError: the source is unreadable, or the header is not the expected one.

    Example:
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
        columns = read_header(stream, name)
        parts = _parsed(stream, columns, name, first_row, skip_bad_rows)
        for part in _regroup(parts, rows_per_block):
            images = np.ascontiguousarray(part.table[:, -len(PIXELS) :]).reshape(-1, *IMAGE_SHAPE)
            labels = part.table[:, 0].copy() if columns[0] == LABEL else None
            yield Block(images, labels, part.rows, part.bad)


def read_csv(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """Read all images and labels of a CSV.

    Returns:
        Images, uint8 (N, 28, 28), and labels, uint8 (N,), or None without a label column.

    Raises:
        DataError: as `read_blocks`, or the file has no rows.
    """
    blocks = list(read_blocks(path))
    if not blocks:
        raise _no_rows(path)
    images = np.concatenate([block.images for block in blocks])
    labels = [block.labels for block in blocks if block.labels is not None]
    return images, np.concatenate(labels) if labels else None


def read_csv_on_disk(path: Path, target: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """Read a CSV that is larger than the memory: write its images to a file and memory-map that file.

    Args:
        path: the CSV.
        target: file to create; it must exist as long as the images are used.

    Returns:
        As `read_csv`; the images are a read-only memory map.

    Raises:
        DataError: as `read_csv`.
    """
    labels = bytearray()
    rows = 0
    with target.open("wb") as stream:
        for block in read_blocks(path):
            stream.write(block.images.data)
            rows += len(block.images)
            labels += b"" if block.labels is None else block.labels.tobytes()
    if not rows:
        raise _no_rows(path)
    images = np.memmap(target, np.uint8, mode="r", shape=(rows, *IMAGE_SHAPE))
    return images, np.frombuffer(labels, np.uint8) if labels else None


def _no_rows(path: Path) -> DataError:
    return DataError(f"{path} has a header but no rows; download it again")


def read_header(stream: io.BufferedIOBase, name: str) -> tuple[str, ...]:
    """Read and check the column names; afterwards the stream is at the first row.

    Args:
        stream: decompressed CSV, at its first byte.
        name: name of the CSV in error messages.

    Returns:
        Column names: optionally `label`, then `pixel0` to `pixel783`.

    Raises:
        DataError: the header has other columns or another order.

    Example:
        >>> columns = read_header(io.BytesIO(",".join(("label", *PIXELS)).encode()), "rows.csv")
        >>> columns[0], len(columns)
        ('label', 785)
    """
    line = stream.readline(_HEADER_BYTES).removeprefix(b"\xef\xbb\xbf").rstrip(b"\r\n").decode(errors="replace")
    if not line:
        raise DataError(f"{name} is empty, expected the header {_HEADER}")
    found = tuple(column.removeprefix('"').removesuffix('"') for column in line.split(","))
    expected = (LABEL, *PIXELS) if found[0] == LABEL else PIXELS
    missing = [column for column in expected if column not in found]
    if missing:
        others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise DataError(
            f"{name}, line 1: the header lacks the column {missing[0]}{others}; add it, or use the header {_HEADER}"
        )
    if found != expected:
        position = next(index for index, column in enumerate(found) if expected[index : index + 1] != (column,))
        wanted = repr(expected[position]) if position < len(expected) else "the end of the line"
        raise DataError(
            f"{name}, line 1: column {position + 1} is {found[position][:20]!r}, expected {wanted}; "
            f"use the header {_HEADER}"
        )
    return expected


def _chunks(stream: io.BufferedIOBase) -> Iterator[bytes]:
    """Yield complete lines, each terminated by LF.

    The last line is held back until the next non-blank line arrives, so that blank lines at the end of the file are
    ignored while one between rows reaches the parser. Of a line longer than any row only the beginning is yielded.
    """
    rest = b""
    while piece := stream.read(_CHUNK_BYTES):
        text = rest + piece
        end = text.rstrip(b"\r\n").rfind(b"\n") + 1
        rest = text[end:]
        if end:
            yield _with_plain_newlines(text[:end])
        if len(rest) > _CHUNK_BYTES:  # longer than a row: pass it on to be rejected instead of filling the memory
            if lines := rest.rfind(b"\n") + 1:  # a row followed by blank lines
                yield _with_plain_newlines(rest[:lines])
                rest = rest[lines:]
            else:
                yield rest + b"\n"
                rest = _skip_line(stream)
    last = rest.rstrip(b"\r\n")
    if last:
        yield _with_plain_newlines(last) + b"\n"


def _skip_line(stream: io.BufferedIOBase) -> bytes:
    """Read to the end of the line and return the bytes read beyond it."""
    while piece := stream.read(_CHUNK_BYTES):
        _, newline, rest = piece.partition(b"\n")
        if newline:
            return rest
    return b""


def _with_plain_newlines(text: bytes) -> bytes:
    # searching for one byte is 10× faster than searching for two
    return text.replace(b"\r\n", b"\n") if b"\r" in text else text


class _Part(NamedTuple):
    """Parsed rows, uint8 (n, columns), with their row numbers, int64 (n,), and the malformed rows among them."""

    table: NDArray[np.uint8]
    rows: NDArray[np.int64]
    bad: tuple[RowError, ...] = ()


def _parsed(
    stream: io.BufferedIOBase, columns: tuple[str, ...], name: str, first_row: int, skip_bad_rows: bool
) -> Iterator[_Part]:
    """Yield the rows of each chunk."""
    following = 1
    for text in _chunks(stream):
        row, following = following, following + text.count(b"\n")
        if following <= first_row:
            continue
        if row < first_row:
            text, row = text.split(b"\n", first_row - row)[-1], first_row
        table = _parse(text, columns)
        if table is not None:
            yield _Part(table, numbered(row, len(table)))
        elif skip_bad_rows:
            yield _good_and_bad(text, columns, row, name)
        else:
            raise _first_error(text, columns, row, name)


def _good_and_bad(text: bytes, columns: tuple[str, ...], first_row: int, name: str) -> _Part:
    """Parse a chunk that has malformed rows, line by line."""
    good, rows, bad = [np.empty((0, len(columns)), np.uint8)], [], []
    for row, line in enumerate(text.removesuffix(b"\n").split(b"\n"), start=first_row):
        values = _parse(line + b"\n", columns)
        if values is None:
            bad.append(_first_error(line, columns, row, name))
        else:
            good.append(values)
            rows.append(row)
    return _Part(np.concatenate(good), np.array(rows, np.int64), tuple(bad))


def _parse(text: bytes, columns: tuple[str, ...]) -> NDArray[np.uint8] | None:
    """Parse all rows of `text` at once: uint8 (n, columns), or None if any row is malformed.

    Computes for every byte the value of a field that ends there, from this byte and the two before it, then takes the
    values just before the separators. This needs no loop over fields, and wide integers only for separator positions.
    """
    raw = np.frombuffer(text, np.uint8)
    digits = raw - np.uint8(ord("0"))  # wraps around: every byte that is not a digit is above 9
    is_digit = digits < 10
    ends = np.flatnonzero(~is_digit)
    if len(ends) % len(columns) or not is_digit[0]:
        return None
    separators = raw[ends].reshape(-1, len(columns))
    regular = (separators[:, :-1] == _COMMA).all() and (separators[:, -1] == _NEWLINE).all()
    empty_field = ~(is_digit[1:] | is_digit[:-1])
    four_digits = is_digit[3:] & is_digit[2:-1] & is_digit[1:-2] & is_digit[:-3]
    if not regular or empty_field.any() or four_digits.any():
        return None
    digits *= is_digit
    numbers = digits.astype(np.uint16)
    numbers[1:] += digits[:-1] * np.uint8(10)
    numbers[2:] += (digits[:-2] * is_digit[1:-1]) * np.uint16(100)
    values = numbers[ends - 1]
    if values.max() > 255:
        return None
    table = values.astype(np.uint8).reshape(-1, len(columns))
    return None if columns[0] == LABEL and table[:, 0].max() >= CLASSES else table


def _first_error(text: bytes, columns: tuple[str, ...], first_row: int, name: str) -> RowError:
    """Find the first malformed row of a chunk that `_parse` rejected."""
    for row, line in enumerate(text.removesuffix(b"\n").split(b"\n"), start=first_row):
        if reason := _line_error(line, columns):
            return RowError(name, row, f"row {row} (line {row + 1}), {reason}")
    raise AssertionError("the fast and the exact parser disagree")


def _line_error(line: bytes, columns: tuple[str, ...]) -> str | None:
    """Return the first malformed column of a line and the remedy; None if the line is valid."""
    fields = line.split(b",") if line else []
    for column, field in zip(columns, fields, strict=False):
        highest = CLASSES - 1 if column == LABEL else 255
        if not re.fullmatch(rb"[0-9]{1,3}", field) or int(field) > highest:
            shown = field[:20].decode(errors="backslashreplace")
            return f"column {column}: {shown!r} is not an integer from 0 to {highest}; correct it"
    if len(fields) < len(columns):
        return (
            f"column {columns[len(fields)]}: missing, the row has {len(fields)} of {len(columns)} fields; "
            "complete or remove the row"
        )
    if len(fields) > len(columns):
        return f"after column {columns[-1]}: {len(fields)} fields, expected {len(columns)}; remove the extra fields"
    return None


def _regroup(parts: Iterator[_Part], rows: int) -> Iterator[_Part]:
    """Yield the same rows in parts of `rows` good rows (the last one may be smaller), each with its bad rows."""
    pending: list[_Part] = []
    count = 0
    for part in parts:
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
