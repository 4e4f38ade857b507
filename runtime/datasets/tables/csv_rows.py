"""`RowParser`: converts lines of a CSV of images to uint8 arrays.

Lines of integers are parsed many at once. Any other line is parsed exactly, field by field: decimal numbers such as
`3.0` and `1e2`, spaces and quotes around fields. The exact parser decides what is valid.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.datasets.dataset import CLASSES, IMAGE_SHAPE
from digits_edge.runtime.datasets.tables.csv_dialect import SPACES, Dialect
from digits_edge.runtime.datasets.tables.table_columns import PIXELS
from digits_edge.runtime.datasets.tables.table_numbers import number, numbers
from digits_edge.runtime.pixel_scale import PixelScale, unscaled

_NEWLINE = ord("\n")


class RowParser:
    r"""Parser of the rows of one dialect.

    Example:
        >>> from digits_edge.runtime.datasets.tables.csv_dialect import recognise_dialect
        >>> dialect = recognise_dialect(",".join(PIXELS).encode(), "rows.csv", complete=True)
        >>> parser = RowParser(dialect)
        >>> parser.rows(b",".join([b"7"] * 784) + b"\n").shape
        (1, 784)
        >>> parser.error(b"x" + b",0" * 783)
        "column pixel0: 'x' is not an integer from 0 to 255; correct it"
    """

    def __init__(self, dialect: Dialect, pixel_range: PixelScale = 255) -> None:
        """Create a parser.

        Args:
            dialect: dialect of the lines.
            pixel_range: 1 if the pixels are from 0 to 1; they are then converted to 0 to 255.
        """
        columns, read = dialect.columns, dialect.read
        self.dialect = dialect
        self.width = len(read)
        self._label = None if columns.label is None else read.index(columns.label)
        self._pixels = _as_slice([read.index(position) for position in columns.pixels])
        self._highest = np.full(self.width, pixel_range)
        self._is_scaled = np.full(self.width, pixel_range == 1)
        if self._label is not None:
            self._highest[self._label], self._is_scaled[self._label] = CLASSES - 1, False
        self._scaled_at = np.flatnonzero(self._is_scaled)
        self._before, self._after = read[0], len(dialect.names) - 1 - read[-1]
        self._is_contiguous = self._before + self.width + self._after == len(dialect.names)
        self._delimiter = b"," if dialect.delimiter == SPACES else dialect.delimiter
        self._is_plain = not (self._before or self._after or dialect.quoted or dialect.delimiter == SPACES)
        self._separator = self._delimiter[0]
        # arrays of each chunk would grow and shrink the heap, and the page faults take as long as the parsing
        self._memory = np.empty((5, 0), np.uint8)

    def images(self, table: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the images of some rows, uint8 (n, 28, 28)."""
        return np.ascontiguousarray(table[:, self._pixels]).reshape(-1, *IMAGE_SHAPE)

    def labels(self, table: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
        """Return the labels of some rows, uint8 (n,), or None without labels."""
        return None if self._label is None else table[:, self._label].copy()

    def rows(self, text: bytes) -> NDArray[np.uint8] | None:
        """Parse many lines of integers of one to three digits, such as `7` or `7.0`, at once.

        Args:
            text: complete lines.

        Returns:
            uint8 (n, width), or None if any line has something else.
        """
        if not self._is_plain:
            if not self._is_contiguous:
                return None
            if self.dialect.quoted and text.count(b'"') != 2 * len(self.dialect.names) * text.count(b"\n"):
                return None
            text = self._plain(text)
        table = self._parse(text)
        if table is None and b".0" in text:  # 5× faster than the exact parser
            whole = text.replace(b".0" + self._delimiter, self._delimiter).replace(b".0\n", b"\n")
            table = self._parse(whole)
        return table if table is None or not self._scaled_at.size else self._unscaled(table)

    def row(self, line: bytes) -> NDArray[np.uint8] | None:
        """Parse one line without line end exactly: uint8 (width,), or None if it is malformed."""
        fields = self.dialect.fields(line)
        if len(fields) != len(self.dialect.names):
            return None
        values = numbers([fields[position] for position in self.dialect.read])
        if values is None or not self._is_valid(values, slice(None)).all():
            return None
        return self._unscaled(values) if self._scaled_at.size else values.astype(np.uint8)

    def error(self, line: bytes) -> str:
        """Return the first malformed column of a malformed line, and the remedy."""
        fields, names = self.dialect.fields(line), self.dialect.names
        for index, position in enumerate(self.dialect.read):
            if position < len(fields) and not self.is_valid(fields[position], index):
                shown = fields[position][:20].decode(errors="backslashreplace")
                kind = "a number" if self._is_scaled[index] else "an integer"
                expected = f"{kind} from 0 to {self._highest[index]}"
                return f"column {names[position]}: {shown!r} is not {expected}; correct it"
        if len(fields) < len(names):
            return (
                f"column {names[len(fields)]}: missing, the row has {len(fields)} of {len(names)} fields; "
                "complete or remove the row"
            )
        return f"after column {names[-1]}: {len(fields)} fields, expected {len(names)}; remove the extra fields"

    def is_valid(self, field: bytes, index: int) -> bool:
        """Whether a field is a value of a column, `index` counted among the columns that are read."""
        value = number(field)
        return value is not None and bool(self._is_valid(np.array(value), index))

    def _is_valid(self, values: NDArray[np.float64], index: int | slice) -> NDArray[np.bool_]:
        """Whether each value is valid in its column."""
        is_right_kind = self._is_scaled[index] | (values == np.rint(values))
        return np.asarray((values >= 0) & (values <= self._highest[index]) & is_right_kind)

    def _unscaled(self, values: NDArray[Any]) -> NDArray[np.uint8] | None:
        """Convert the pixels of some rows, (…, width), to 0 to 255; None if one is not from 0 to 1."""
        pixels = unscaled(values[..., self._scaled_at])
        if pixels is None:
            return None
        table = values.astype(np.uint8)
        table[..., self._scaled_at] = pixels
        return table

    def _plain(self, text: bytes) -> bytes:
        """Remove quotes, the columns that are not read, and repeated spaces; an irregular line stays irregular."""
        delimiter = self._delimiter
        if self.dialect.quoted:
            text = text.replace(b'"' + delimiter + b'"', delimiter).replace(b'"\n"', b"\n")
            text = text.removeprefix(b'"').removesuffix(b'"\n').removesuffix(b"\n") + b"\n"
        if not (self._before or self._after or self.dialect.delimiter == SPACES):
            return text
        lines: Sequence[bytes] = text.removesuffix(b"\n").split(b"\n")
        if self.dialect.delimiter == SPACES:
            lines = [b",".join(line.split()) for line in lines]
        if self._before:
            lines = [line.split(delimiter, self._before)[-1] for line in lines]
        if self._after:
            lines = [line.rsplit(delimiter, self._after)[0] for line in lines]
        return b"\n".join(lines) + b"\n"

    def _parse(self, text: bytes) -> NDArray[np.uint8] | None:
        """Parse regular lines: uint8 (n, width), or None if any line is not regular.

        Computes for every byte the value of a field that ends there, from this byte and the two before it, then takes
        the values just before the separators. This needs no loop over fields, and only arithmetic of bytes.
        """
        raw = np.frombuffer(text, np.uint8)
        if self._memory.shape[1] < len(raw):
            self._memory = np.empty((5, len(raw)), np.uint8)
        digits, is_digit, *others = self._memory[:, : len(raw)]
        mask = others[0].view(np.bool_)
        np.subtract(raw, ord("0"), out=digits)  # wraps around: every byte that is not a digit is above 9
        np.less(digits, 10, out=is_digit.view(np.bool_))
        ends = np.flatnonzero(np.logical_not(is_digit, out=mask))
        rows, rest = divmod(len(ends), self.width)
        if rest or not is_digit[0] or not (raw[ends[self.width - 1 :: self.width]] == _NEWLINE).all():
            return None
        if np.count_nonzero(np.equal(raw, self._separator, out=mask)) != len(ends) - rows:
            return None
        if not _add_tens_and_hundreds(digits, is_digit, *others):
            return None
        ends -= 1
        table = digits[ends].reshape(-1, self.width)
        return None if self._label is not None and table[:, self._label].max() >= CLASSES else table


def _add_tens_and_hundreds(
    digits: NDArray[np.uint8],
    is_digit: NDArray[np.uint8],
    second: NDArray[np.uint8],
    third: NDArray[np.uint8],
    part: NDArray[np.uint8],
) -> bool:
    """Replace the digit in each byte by the number of up to three digits that ends there, in place.

    Args:
        digits: uint8, the values of the bytes that are digits.
        is_digit: 1 for each byte that is a digit, else 0.
        second: memory for intermediate results.
        third: the same.
        part: the same.

    Returns:
        False if a field is empty, has four digits or is above 255.
    """
    is_field = np.bitwise_or(is_digit[1:], is_digit[:-1], out=second[1:])
    if not is_field.all():
        return False
    np.bitwise_and(is_digit[1:], is_digit[:-1], out=second[1:])
    np.bitwise_and(second[2:], second[1:-1], out=third[2:])
    has_four = np.bitwise_and(third[3:], is_digit[:-3], out=second[3:])
    digits *= is_digit
    hundreds = np.multiply(digits[:-2], third[2:], out=part[2:])
    if has_four.any() or hundreds.max() > 2:
        return False
    tens = np.multiply(digits[:-1], 10, out=second[1:])
    digits[1:] += tens
    hundreds *= 100
    digits[2:] += hundreds
    return not (digits[2:] < hundreds).any()  # the sum of a number above 255 wraps around


def _as_slice(positions: Sequence[int]) -> slice | NDArray[np.intp]:
    """Return consecutive positions as a slice, which does not copy."""
    if [*positions] == [*range(positions[0], positions[0] + len(PIXELS))]:
        return slice(positions[0], positions[0] + len(PIXELS))
    return np.array(positions)
