"""Read images from Parquet in blocks with pyarrow (the extra `parquet`), in constant memory.

Two layouts are supported: one integer column per pixel, recognised by name as in a CSV (`table_columns`), or one column
`image` whose values are lists of 784 integers or binary values of 784 bytes. A column `label` is optional; other
columns are ignored.
"""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.datasets.dataset import CLASSES, IMAGE_SHAPE, ProgressCallback
from digits_edge.runtime.datasets.opening import display_name
from digits_edge.runtime.datasets.tables.block import Block, numbered, range_checked
from digits_edge.runtime.datasets.tables.table_columns import LABEL, PIXELS, UnknownColumnsError, recognise_columns
from digits_edge.runtime.errors import DataError, RowError
from digits_edge.runtime.packages import needs_message
from digits_edge.runtime.pixel_scale import PixelScale, unscaled

IMAGE = "image"
#: Each batch has a cost per column. Time for 10,000 rows of 785 columns: 3.5 s in batches of 128, 0.3 s in these.
_ROWS_AT_ONCE = 4096
_BUFFER_BYTES = 1 << 20


class _Columns(NamedTuple):
    """Names of the columns to read: the label, if any, and the pixels, or the column of lists."""

    label: str | None
    pixels: tuple[str, ...]
    pixel_range: PixelScale = 255

    @property
    def has_lists(self) -> bool:
        return self.pixels == (IMAGE,)

    @property
    def names(self) -> list[str]:
        return [*([] if self.label is None else [self.label]), *self.pixels]


def read_parquet_blocks(
    source: Path | BinaryIO,
    *,
    name: str | None = None,
    row_groups: range | None = None,
    rows_per_block: int = 1024,
    first_row: int = 1,
    skip_bad_rows: bool = False,
    pixel_range: PixelScale | None = None,
    progress: ProgressCallback | None = None,
) -> Generator[Block, None, None]:
    """Read a Parquet file block by block, in constant memory.

    Args:
        source: path, or seekable binary stream, which is not closed.
        name: name of a stream in error messages.
        row_groups: row groups to read, counted from 0; None for all. Row numbers always count from the file's start.
        rows_per_block: maximum number of rows in a block; blocks at the end of a batch may be smaller.
        first_row: first row to read, counted from 1; earlier rows are not checked.
        skip_bad_rows: skip malformed rows instead of raising an error; each is yielded as a block without images.
        pixel_range: as for `read_blocks`.
        progress: called with (rows read so far, rows in the file).

    Yields:
        Blocks in row order.

    Raises:
        RowError: a pixel is not 0 to 255, a label is not 0 to 9, or a value is missing, after all rows before it; names
            column and row.
        DataError: pyarrow is missing, or the file is unreadable or has neither layout.

    Example:
        >>> block = next(read_parquet_blocks(Path("digits.parquet")))  # doctest: +SKIP
        >>> block.images.shape  # doctest: +SKIP
        (1024, 28, 28)
    """
    name = name or display_name(source)
    with _opened(source, name) as file:
        groups = range(file.num_row_groups) if row_groups is None else row_groups
        is_part = first_row > 1 or groups != range(file.num_row_groups)
        blocks = _read(file, name, groups, rows_per_block, first_row, skip_bad_rows, pixel_range or 255, progress)
        yield from range_checked(blocks, name, pixel_range, is_part=is_part)


def _read(
    file: Any,
    name: str,
    groups: range,
    rows_per_block: int,
    first_row: int,
    skip_bad_rows: bool,
    pixel_range: PixelScale,
    progress: ProgressCallback | None,
) -> Iterator[Block]:
    """Read row groups of an open file; the arguments are those of `read_parquet_blocks`."""
    columns = _columns(file.schema_arrow.names, name)._replace(pixel_range=pixel_range)
    row = 1 + sum(file.metadata.row_group(group).num_rows for group in range(groups.start))
    rows = max(rows_per_block, _ROWS_AT_ONCE)
    for batch in file.iter_batches(rows, row_groups=groups, columns=columns.names, use_threads=False):
        wanted = batch.slice(max(0, first_row - row))
        row += len(batch)
        if len(wanted):
            for block in _blocks(wanted, columns, row - len(wanted), name, skip_bad_rows):
                yield from _parts(block, rows_per_block)
        if progress is not None:
            progress(row - 1, file.metadata.num_rows)


def rows_of_groups(source: Path | BinaryIO, *, name: str | None = None) -> list[int]:
    """Return the number of rows in each row group of a Parquet file.

    Args:
        source: path, or seekable binary stream, which is not closed.
        name: name of a stream in error messages.

    Raises:
        DataError: pyarrow is missing, or the file is unreadable.
    """
    with _opened(source, name or display_name(source)) as file:
        return [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]


@contextmanager
def _opened(source: Path | BinaryIO, name: str) -> Iterator[Any]:
    """Open as `pyarrow.parquet.ParquetFile` and report every failure as a `DataError`."""
    try:
        import pyarrow as arrow
        import pyarrow.parquet
    except ImportError as error:
        raise DataError(needs_message(name, ["parquet"])) from error
    try:
        # without the buffer, pyarrow reads each column of a row group completely
        with arrow.parquet.ParquetFile(source, buffer_size=_BUFFER_BYTES, pre_buffer=False) as file:
            yield file
    except UnicodeDecodeError as error:
        raise DataError(f"{name} is a damaged Parquet file (a name in it is not UTF-8); download it again") from error
    except (arrow.ArrowException, OSError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{name} could not be read as Parquet ({reason}); download it again") from error


def _blocks(batch: Any, columns: _Columns, first_row: int, table: str, skip_bad_rows: bool) -> Iterator[Block]:
    """Convert a batch to one block; if it has malformed rows, halve it until good and malformed rows are separate."""
    try:
        yield _block(batch, columns, first_row, table)
    except RowError as bad:
        if len(batch) == 1:
            if not skip_bad_rows:
                raise
            empty = np.empty((0, *IMAGE_SHAPE), np.uint8)
            yield Block(empty, None if columns.label is None else empty[:, 0, 0], numbered(1, 0), (bad,))
            return
        half = len(batch) // 2
        for part, row in ((batch.slice(0, half), first_row), (batch.slice(half), first_row + half)):
            yield from _blocks(part, columns, row, table, skip_bad_rows)


def _parts(block: Block, rows: int) -> Iterator[Block]:
    """Cut a block into blocks of at most `rows` rows; a block of a single bad row stays as it is."""
    for start in range(0, max(1, len(block.rows)), rows):
        part = slice(start, start + rows)
        labels = None if block.labels is None else block.labels[part]
        yield Block(block.images[part], labels, block.rows[part], block.bad)


def _columns(names: list[str], table: str) -> _Columns:
    """Return the columns to read."""
    if IMAGE in names:
        if twice := next((name for name in (LABEL, IMAGE) if names.count(name) > 1), None):
            raise DataError(f"{table} has the column {twice} twice; remove one")
        return _Columns(LABEL if LABEL in names else None, (IMAGE,))
    try:
        found = recognise_columns(names)
    except UnknownColumnsError as error:
        raise DataError(f"{table}: {error}; or use {IMAGE} with {len(PIXELS)} values per row") from error
    label = None if found.label is None else names[found.label]
    return _Columns(label, tuple(names[position] for position in found.pixels))


def _block(batch: Any, columns: _Columns, first_row: int, table: str) -> Block:
    """Convert a batch without malformed rows to a block."""
    label = columns.label
    labels = None if label is None else _integers(batch.column(label), CLASSES - 1, label, first_row, table)
    if columns.has_lists:
        images = _images(batch.column(IMAGE), columns.pixel_range, first_row, table)
    else:
        images = np.empty((len(batch), len(PIXELS)), np.uint8)
        for index, pixel in enumerate(columns.pixels):
            images[:, index] = _integers(batch.column(pixel), columns.pixel_range, pixel, first_row, table)
    return Block(images.reshape(-1, *IMAGE_SHAPE), labels, numbered(first_row, len(batch)))


def _images(column: Any, pixel_range: PixelScale, first_row: int, table: str) -> NDArray[np.uint8]:
    """Convert a column of lists or binary values to uint8 (n, 784)."""
    import pyarrow as arrow
    import pyarrow.compute

    kind = column.type
    if arrow.types.is_binary(kind) or arrow.types.is_large_binary(kind) or arrow.types.is_fixed_size_binary(kind):
        lengths = arrow.compute.binary_length(column)
    elif arrow.types.is_list(kind) or arrow.types.is_large_list(kind) or arrow.types.is_fixed_size_list(kind):
        lengths = arrow.compute.list_value_length(column)
    else:
        raise DataError(
            f"{table}: column {IMAGE} has type {kind}, expected lists of {len(PIXELS)} integers or binary values of "
            f"{len(PIXELS)} bytes"
        )
    counts = lengths.fill_null(0).to_numpy(zero_copy_only=False)
    if (counts != len(PIXELS)).any():
        index = int(np.argmax(counts != len(PIXELS)))
        row = first_row + index
        reason = f"{counts[index]} values, expected {len(PIXELS)}; correct or remove the row"
        raise RowError(table, row, f"row {row}, column {IMAGE}: {reason}")
    if arrow.types.is_nested(kind):
        values = _integers(column.flatten(), pixel_range, IMAGE, first_row, table, values_per_row=len(PIXELS))
    else:
        values = np.frombuffer(b"".join(column.to_pylist()), np.uint8)
        if pixel_range == 1:
            values = _as_bytes(values, 1, IMAGE, first_row, table, values_per_row=len(PIXELS))
    return values.reshape(-1, len(PIXELS))


def _integers(
    column: Any, highest: int, name: str, first_row: int, table: str, *, values_per_row: int = 1
) -> NDArray[np.uint8]:
    """Convert a column of numbers to uint8 after checking that every value is 0 to `highest`, in which 1 is white."""
    import pyarrow as arrow

    if not (arrow.types.is_integer(column.type) or arrow.types.is_floating(column.type)):
        raise DataError(f"{table}: column {name} has type {column.type}, expected integers from 0 to {highest}")
    if column.null_count:
        row = first_row + int(np.argmax(column.is_null().to_numpy(zero_copy_only=False))) // values_per_row
        raise RowError(table, row, f"row {row}, column {name}: missing value; add it or remove the row")
    values = column.to_numpy(zero_copy_only=False)
    return _as_bytes(values, highest, name, first_row, table, values_per_row=values_per_row)


def _as_bytes(
    values: NDArray[Any], highest: int, name: str, first_row: int, table: str, *, values_per_row: int
) -> NDArray[np.uint8]:
    """Convert numbers to uint8; those from 0 to 1 become 0 to 255."""
    valid = (values >= 0) & (values <= highest)
    if highest != 1 and np.issubdtype(values.dtype, np.floating):
        valid &= values == np.rint(values)
    if not valid.all():
        index = int(np.argmin(valid))
        row = first_row + index // values_per_row
        kind = "a number" if highest == 1 else "an integer"
        reason = f"{values[index]} is not {kind} from 0 to {highest}; correct it"
        raise RowError(table, row, f"row {row}, column {name}: {reason}")
    converted = unscaled(values) if highest == 1 else None
    return np.asarray(values, np.uint8) if converted is None else converted
