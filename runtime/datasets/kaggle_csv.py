"""Reading the CSV of Kaggle's Digit Recognizer (`label,pixel0,…,pixel783`) in blocks, fast and in constant memory.

`read_blocks` streams, `read_csv` takes a whole file, `read_csv_on_disk` one that is larger than the memory. The rules
are strict: the header has exactly these names, `label` first or absent; a field is one to three ASCII digits (so `007`
is 7), without spaces, quotes or sign, up to 255, a label up to 9. CRLF, a byte order mark, a quoted header, a last
line without its newline and blank lines at the end are accepted.
"""

import io
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
PIXELS = tuple(f"pixel{index}" for index in range(784))

#: A digit and a separator for each pixel.
MIN_ROW_BYTES = 2 * len(PIXELS)

# What is parsed at once. All of its temporaries are then smaller than what malloc asks the system for anew, 128 KiB,
# and stay in the cache: 51 MB took 0.17 s so, 0.26 s in pieces of 64 KiB and 0.20 s in pieces of 16 KiB.
_CHUNK_BYTES = 32 * 1024
_HEADER_BYTES = 64 * 1024
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
    """Yield a CSV in blocks, one after the other; what has been yielded is not kept.

    Args:
        source: a path or binary stream, plain or gzip. A stream is left open.
        name: what messages call a stream.
        rows_per_block: n of every block but the last, which may be smaller. No rows, no block.
        first_row: the first that is wanted; those before it are not looked at, nor refused.
        skip_bad_rows: go on at malformed rows, and name them in the block in which they would be.
        progress: called as (bytes read so far, bytes of the file or None where it is none).

    Raises:
        RowError: a malformed row; names row, line and column. Rows before it are not all yielded.
        DataError: unreadable, or another header.
    """
    name = name or display_name(source)
    with opened(source, progress, name=name) as stream:
        columns = read_header(stream, name)
        parts = _parsed(stream, columns, name, first_row, skip_bad_rows)
        for part in _regrouped(parts, rows_per_block):
            images = np.ascontiguousarray(part.table[:, -len(PIXELS) :]).reshape(-1, *IMAGE_SHAPE)
            labels = part.table[:, 0].copy() if columns[0] == LABEL else None
            yield Block(images, labels, part.rows, part.bad)


def read_csv(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """Read all images and labels of a CSV: uint8 (N, 28, 28), and uint8 (N,) or None without a label column.

    Raises:
        DataError: as `read_blocks`; also for a file without rows, of which nothing can be told.
    """
    blocks = list(read_blocks(path))
    if not blocks:
        raise DataError(f"{path} has a header but no rows; fetch it again")
    images = np.concatenate([block.images for block in blocks])
    labels = [block.labels for block in blocks if block.labels is not None]
    return images, np.concatenate(labels) if labels else None


def read_csv_on_disk(path: Path, target: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """Read a CSV larger than the memory: its images go to a file, block by block, and are mapped from there.

    Args:
        path: the CSV.
        target: the file to make; it must stay as long as the images are used.

    Returns:
        As `read_csv`; the images are a read-only memory map, of which only what is used is in memory.

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
        raise DataError(f"{path} has a header but no rows; fetch it again")
    images = np.memmap(target, np.uint8, mode="r", shape=(rows, *IMAGE_SHAPE))
    return images, np.frombuffer(labels, np.uint8) if labels else None


def read_header(stream: io.BufferedIOBase, name: str) -> tuple[str, ...]:
    """Read and check the column names; the stream stands at the first row afterwards.

    Raises:
        DataError: they are not `label` (or not) and then pixel0 to pixel783.
    """
    line = stream.readline(_HEADER_BYTES).removeprefix(b"\xef\xbb\xbf").rstrip(b"\r\n").decode(errors="replace")
    if not line:
        raise DataError(f"{name} is empty; it must begin with the header pixel0,…,pixel783, with or without label")
    found = tuple(column.removeprefix('"').removesuffix('"') for column in line.split(","))
    expected = (LABEL, *PIXELS) if found[0] == LABEL else PIXELS
    missing = [column for column in expected if column not in found]
    if missing:
        others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise DataError(f"{name}: the header (line 1) lacks the column {missing[0]}{others}; add it or mend its name")
    if found != expected:
        position = next(index for index, column in enumerate(found) if expected[index : index + 1] != (column,))
        raise DataError(
            f"{name}: the header (line 1) has {found[position][:20]!r} as column {position + 1}; "
            "it must be label (or not) and then pixel0 to pixel783, in this order"
        )
    return expected


def _chunks(stream: io.BufferedIOBase) -> Iterator[bytes]:
    """Yield whole lines, each ended by LF.

    The last line is held back until its successor is seen, so that blank lines at the end of the file go unnoticed
    while one between rows reaches the parser. Of a line that is longer than any row only the beginning is yielded.
    """
    rest = b""
    while piece := stream.read(_CHUNK_BYTES):
        text = rest + piece
        end = text.rstrip(b"\r\n").rfind(b"\n") + 1
        rest = text[end:]
        if end:
            yield _with_plain_newlines(text[:end])
        if len(rest) > _CHUNK_BYTES:  # let the parser refuse it now, not the memory later
            if lines := rest.rfind(b"\n") + 1:  # a row and blank lines
                yield _with_plain_newlines(rest[:lines])
                rest = rest[lines:]
            else:
                yield rest + b"\n"
                rest = _after_this_line(stream)
    last = rest.rstrip(b"\r\n")
    if last:
        yield _with_plain_newlines(last) + b"\n"


def _after_this_line(stream: io.BufferedIOBase) -> bytes:
    """Read to the end of the line and return what was read beyond it."""
    while piece := stream.read(_CHUNK_BYTES):
        _, newline, rest = piece.partition(b"\n")
        if newline:
            return rest
    return b""


def _with_plain_newlines(text: bytes) -> bytes:
    # to look for one byte takes a tenth of the time of looking for two
    return text.replace(b"\r\n", b"\n") if b"\r" in text else text


class _Part(NamedTuple):
    """Rows, uint8 (n, columns), their numbers, int64 (n,), and the malformed ones among them."""

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
            raise _first_mistake(text, columns, row, name)


def _good_and_bad(text: bytes, columns: tuple[str, ...], first_row: int, name: str) -> _Part:
    """Parse line by line what has a mistake somewhere."""
    good, rows, bad = [np.empty((0, len(columns)), np.uint8)], [], []
    for row, line in enumerate(text.removesuffix(b"\n").split(b"\n"), start=first_row):
        values = _parse(line + b"\n", columns)
        if values is None:
            bad.append(_first_mistake(line, columns, row, name))
        else:
            good.append(values)
            rows.append(row)
    return _Part(np.concatenate(good), np.array(rows, np.int64), tuple(bad))


def _parse(text: bytes, columns: tuple[str, ...]) -> NDArray[np.uint8] | None:
    """Parse all rows of `text` at once: uint8 (n, columns), or None where anything about them is amiss.

    Every byte is given the number that a field ending there would have, from it and the two before; then those just
    before a separator are taken. No loop over fields, and wide integers only for the positions of the separators.
    """
    raw = np.frombuffer(text, np.uint8)
    digits = raw - np.uint8(ord("0"))  # wraps, so that everything that is not a digit is above 9
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


def _first_mistake(text: bytes, columns: tuple[str, ...], first_row: int, name: str) -> RowError:
    """Find line by line what `_parse` stumbled over; called only when there is a mistake."""
    for row, line in enumerate(text.removesuffix(b"\n").split(b"\n"), start=first_row):
        if reason := _mistake(line, columns):
            return RowError(name, row, f"row {row} (line {row + 1}), {reason}")
    raise AssertionError("the fast and the exact parser disagree")


def _mistake(line: bytes, columns: tuple[str, ...]) -> str | None:
    """The first column of a line that is amiss, and what mends it."""
    fields = line.split(b",") if line else []
    for column, field in zip(columns, fields, strict=False):
        most = CLASSES - 1 if column == LABEL else 255
        if not re.fullmatch(rb"[0-9]{1,3}", field) or int(field) > most:
            shown = field[:20].decode(errors="backslashreplace")
            return f"column {column}: {shown!r} is not a whole number from 0 to {most}; mend it"
    if len(fields) < len(columns):
        return (
            f"column {columns[len(fields)]}: missing, the row has {len(fields)} of {len(columns)} fields; "
            "add the others or remove the row"
        )
    if len(fields) > len(columns):
        return f"after column {columns[-1]}: {len(fields)} fields but {len(columns)} columns; remove what is too much"
    return None


def _regrouped(parts: Iterator[_Part], rows: int) -> Iterator[_Part]:
    """Yield the same rows in parts of `rows` good rows, the last one smaller, each with the bad rows up to its end."""
    waiting: list[_Part] = []
    count = 0
    for part in parts:
        waiting.append(part)
        count += len(part.rows)
        if count >= rows:
            together = _together(waiting)
            for _ in range(count // rows):
                whole, together = _split(together, rows)
                yield whole
            waiting, count = [together], len(together.rows)
    if waiting and (count or any(part.bad for part in waiting)):
        yield _together(waiting)


def _together(parts: list[_Part]) -> _Part:
    tables, rows, bad = zip(*parts, strict=True)
    return _Part(np.concatenate(tables), np.concatenate(rows), sum(bad, ()))


def _split(part: _Part, count: int) -> tuple[_Part, _Part]:
    """The first `count` good rows, with the bad ones before the last of them; and the others."""
    last = int(part.rows[count - 1])
    before = tuple(bad for bad in part.bad if bad.row < last)
    after = part.bad[len(before) :]
    return (
        _Part(part.table[:count], part.rows[:count], before),
        _Part(part.table[count:], part.rows[count:], after),
    )
