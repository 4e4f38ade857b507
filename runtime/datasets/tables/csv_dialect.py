"""`recognise_dialect()`: how a CSV of images is written, from its first lines: delimiter, quotes, header and columns.

Only what is certain is recognised. Otherwise the error names the cause, for example semicolons and 783 columns.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from digits_edge.runtime.datasets.dataset import CLASSES
from digits_edge.runtime.datasets.tables.table_columns import (
    HEADER,
    LABEL,
    PIXELS,
    Columns,
    UnknownColumnsError,
    recognise_columns,
)
from digits_edge.runtime.datasets.tables.table_numbers import number
from digits_edge.runtime.errors import DataError

SPACES = b" "
#: Delimiters in the order in which they are tried, with their names in messages.
_DELIMITERS = {b",": "comma", b";": "semicolon", b"\t": "tab", b"|": "bar", SPACES: "space"}
#: First bytes of other kinds of files that are named `.csv` by mistake.
_OTHER_FILES = {
    b"PAR1": "a Parquet file; name it .parquet",
    b"\x93NUMPY": "a NumPy array; save it with `numpy.savez` and name it .npz",
    b"\xd0\xcf\x11\xe0": "an Excel workbook; save it as CSV",
    b"\xfd7zXZ": "compressed with xz; unpack it first",
    b"(\xb5/\xfd": "compressed with zstd; unpack it first",
    b"7z\xbc\xaf": "a 7z archive; unpack it first",
    b"Rar!": "a RAR archive; unpack it first",
    **dict.fromkeys(
        (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"II*\0", b"MM\0*"),
        "a picture; pass its folder, or classify it with `digits-edge predict`",
    ),
    b"version https://git-lfs": "a pointer of Git LFS; get the file with `git lfs pull`",
    b"<": "a web page, possibly a login page; download the file again",
    b"{": "a JSON file; save it as CSV",
    b"[": "a JSON file; save it as CSV",
}


@dataclass(frozen=True)
class Dialect:
    """How the rows of a CSV are written.

    Attributes:
        delimiter: one byte between two fields; `SPACES` stands for any number of spaces.
        names: names of all columns; those of Kaggle's files if there is no header.
        columns: positions of the label and the pixels.
        header_lines: number of lines before the first row.
        quoted: whether the fields of the first row are in double quotes.
    """

    delimiter: bytes
    names: tuple[str, ...]
    columns: Columns
    header_lines: int = 1
    quoted: bool = False

    @cached_property
    def read(self) -> tuple[int, ...]:
        """Positions of the columns that are read, in the order of the file."""
        label = () if self.columns.label is None else (self.columns.label,)
        return tuple(sorted((*label, *self.columns.pixels)))

    def fields(self, line: bytes) -> list[bytes]:
        """Split a line into fields without quotes and spaces around them; a decimal comma becomes a point.

        Example:
            >>> Dialect(b";", ("label", "pixel0"), Columns(0, (1,))).fields(b'"7"; 0,5')
            [b'7', b'0.5']
        """
        fields = _split(line, self.delimiter)
        if self.delimiter != b"," and b"," in line:
            fields = [field.replace(b",", b".") for field in fields]
        return fields


def recognise_dialect(text: bytes, name: str, *, complete: bool) -> Dialect:
    r"""Recognise the dialect of a CSV.

    Args:
        text: first lines, in UTF-8 with LF or CRLF.
        name: name of the CSV in error messages.
        complete: whether `text` is the complete CSV; otherwise its last line is not.

    Raises:
        DataError: the meaning of the columns is not certain.

    Example:
        >>> dialect = recognise_dialect(";".join(["ImageId", *PIXELS]).encode(), "rows.csv", complete=True)
        >>> dialect.delimiter, dialect.columns.pixels[0], dialect.header_lines
        (b';', 1, 1)
        >>> recognise_dialect(";".join(PIXELS[:783]).encode(), "rows.csv", complete=True)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        digits_edge.runtime.errors.DataError: rows.csv, line 1: 783 semicolon-separated columns, but the ...
    """
    if not text.strip():
        raise DataError(f"{name} is empty, expected the header {HEADER}")
    for magic, kind in _OTHER_FILES.items():
        if text.startswith(magic):
            raise DataError(f"{name} is {kind}")
    lines = [line.removesuffix(b"\r") for line in text.split(b"\n")]
    if not complete:
        del lines[max(1, len(lines) - 1) :]
    announced = _announced_delimiter(lines[0])
    first = 0 if announced is None else 1
    rows = [line for line in lines[first:] if line]
    if not rows or not lines[first]:
        raise DataError(f"{name}, line {first + 1}: the line is blank, expected the header {HEADER}; remove it")
    reasons: dict[int, str] = {}
    for delimiter in _DELIMITERS if announced is None else (announced,):
        try:
            return _dialect(rows, delimiter, first)
        except UnknownColumnsError as error:
            count = len(_split(rows[0], delimiter))
            kind = "" if delimiter == b"," else f"{count} {_DELIMITERS[delimiter]}-separated columns, but "
            reasons.setdefault(count, f"{kind}{error}")
    reason = reasons[max(reasons)] if max(reasons) > 1 else f"one column, expected {HEADER}; use commas between columns"
    raise DataError(f"{name}, line {first + 1}: {reason}")


def _announced_delimiter(line: bytes) -> bytes | None:
    """Return the delimiter that Excel reads from a first line `sep=;`."""
    name, delimiter = line.strip(b'"')[:4], line.strip(b'"')[4:]
    return delimiter if name.lower() == b"sep=" and delimiter in _DELIMITERS else None


def _dialect(rows: Sequence[bytes], delimiter: bytes, lines_before: int) -> Dialect:
    """Return the dialect if the columns can be recognised with this delimiter."""
    names = _names(rows[0], delimiter)
    try:
        columns, header_lines = recognise_columns(names), 1
    except UnknownColumnsError:
        fields = _split(rows[0], delimiter)
        if any(number(field.replace(b",", b".")) is None for field in fields):
            raise
        names, columns = _columns_without_header([_split(row, delimiter) for row in rows])
        header_lines = 0
    first_row = rows[header_lines : header_lines + 1]
    quoted = any(row.startswith(b'"') for row in first_row) and delimiter != SPACES
    return Dialect(delimiter, tuple(names), columns, lines_before + header_lines, quoted)


def _names(line: bytes, delimiter: bytes) -> list[str]:
    """Return the fields of the header; names in quotes may contain the delimiter."""
    text = line.decode(errors="replace")
    if delimiter == SPACES:
        text = " ".join(text.split())
    try:
        return next(csv.reader([text], delimiter=delimiter.decode(), skipinitialspace=True), [""])
    except csv.Error:  # a field that is too long
        return [text]


def _split(line: bytes, delimiter: bytes) -> list[bytes]:
    """Split a line at each delimiter and remove quotes and spaces around the fields."""
    if delimiter == SPACES:
        fields = line.split()
    else:
        fields = line.split(delimiter) if line else []
        if b" " in line:
            fields = [field.strip(b" ") for field in fields]
    if b'"' in line:
        fields = [field[1:-1] if len(field) > 1 and field[:1] == field[-1:] == b'"' else field for field in fields]
    return fields


def _columns_without_header(rows: Sequence[list[bytes]]) -> tuple[list[str], Columns]:
    """Return names and positions of the columns of a CSV without header.

    The pixels at the border of handwritten digits are 0. Of 785 columns, the label or an index is the one that is not
    0 in all rows, if there is only one.
    """
    count, pixels = len(rows[0]), len(PIXELS)
    if count == pixels:
        return [*PIXELS], Columns(None, tuple(range(pixels)))
    if count != pixels + 1:
        raise UnknownColumnsError(
            f"there is no header and {count} numbers, expected {pixels}, or {pixels + 1} with {LABEL}; "
            f"correct the row, or add the header {HEADER}"
        )
    found = [*_extra_columns([row for row in rows if len(row) == count])]
    if len(found) != 1:
        raise UnknownColumnsError(
            f"there is no header and {count} numbers, of which the first or the last could be {LABEL}; "
            f"add the header {HEADER}"
        )
    name, position = found[0]
    names, first = [*PIXELS], 1 if position == 0 else 0
    names.insert(position, name)
    return names, Columns(position if name == LABEL else None, tuple(range(first, first + pixels)))


def _extra_columns(rows: Sequence[list[bytes]]) -> Iterator[tuple[str, int]]:
    """Yield name and position of each column that could be the label or an index."""
    first, last = ([number(row[position]) for row in rows] for position in (0, -1))
    digits = set(range(CLASSES))
    if any(first) and first in ([*range(len(first))], [*range(1, len(first) + 1)]):
        yield "index", 0
    if any(first) and set(first) <= digits:
        yield LABEL, 0
    if any(last) and set(last) <= digits:
        yield LABEL, len(rows[0]) - 1
