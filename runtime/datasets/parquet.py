"""Reading images from Parquet in blocks, by pyarrow (the extra `parquet`), in constant memory.

Two layouts are read: a column of whole numbers for each pixel, as Kaggle's CSV has them (`pixel0` … `pixel783`, in any
order), or one column `image` whose values are lists of 784 whole numbers or 784 bytes. A column `label` is optional;
other columns are passed over.
"""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.datasets.block import Block, numbered
from digits_edge.runtime.datasets.dataset import CLASSES, IMAGE_SHAPE, ProgressCallback
from digits_edge.runtime.datasets.kaggle_csv import LABEL, PIXELS
from digits_edge.runtime.datasets.opening import display_name
from digits_edge.runtime.errors import DataError, RowError

IMAGE = "image"
#: 785 columns cost time for every batch: 10,000 rows took 3.5 s in batches of 128, and 0.3 s in these.
_ROWS_AT_ONCE = 4096
_BUFFER_BYTES = 1 << 20


def read_parquet_blocks(
    source: Path | BinaryIO,
    *,
    name: str | None = None,
    row_groups: range | None = None,
    rows_per_block: int = 1024,
    first_row: int = 1,
    skip_bad_rows: bool = False,
    progress: ProgressCallback | None = None,
) -> Generator[Block, None, None]:
    """Yield a Parquet file in blocks, one after the other; what has been yielded is not kept.

    Args:
        source: the file, or a stream with random access, which is left open.
        name: what messages call a stream.
        row_groups: those that are wanted, counted from 0; None for all. Rows are counted from the file's first always.
        rows_per_block: rows of a block at most; where a row group ends, fewer.
        first_row: the first that is wanted; those before it are read, but neither looked at nor refused.
        skip_bad_rows: go on at malformed rows; each is a block of its own without images.
        progress: called as (rows read so far, rows of the file).

    Raises:
        RowError: a value is none of 0…255 (a label of 0…9); names column and row.
        DataError: pyarrow is missing, or the file is unreadable or has neither layout.
    """
    name = name or display_name(source)
    with _opened(source, name) as file:
        columns = _columns(file.schema_arrow.names, name)
        groups = range(file.num_row_groups) if row_groups is None else row_groups
        row = 1 + sum(file.metadata.row_group(group).num_rows for group in range(groups.start))
        rows = max(rows_per_block, _ROWS_AT_ONCE)
        for batch in file.iter_batches(rows, row_groups=groups, columns=list(columns), use_threads=False):
            wanted = batch.slice(max(0, first_row - row))
            row += len(batch)
            if len(wanted):
                for whole in _blocks(wanted, columns, row - len(wanted), name, skip_bad_rows):
                    yield from _parts(whole, rows_per_block)
            if progress is not None:
                progress(row - 1, file.metadata.num_rows)


def rows_of_groups(source: Path | BinaryIO, *, name: str | None = None) -> list[int]:
    """How many rows each row group of a Parquet file has.

    Args:
        source: the file, or a stream with random access, which is left open.
        name: what messages call a stream.

    Raises:
        DataError: pyarrow is missing, or the file is unreadable.
    """
    with _opened(source, name or display_name(source)) as file:
        return [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]


@contextmanager
def _opened(source: Path | BinaryIO, name: str) -> Iterator[Any]:
    """Open as `pyarrow.parquet.ParquetFile`, so that whatever is wrong with it is a `DataError`."""
    try:
        import pyarrow as arrow
        import pyarrow.parquet
    except ImportError as error:
        raise DataError(f"{name} needs pyarrow; `pip install 'digits-edge[parquet]'` adds it") from error
    try:
        # buffered, or every column's part of a row group is read whole
        with arrow.parquet.ParquetFile(source, buffer_size=_BUFFER_BYTES, pre_buffer=False) as file:
            yield file
    except UnicodeDecodeError as error:
        raise DataError(f"{name} is no whole Parquet file (a name in it is no text); fetch it again") from error
    except (arrow.ArrowException, OSError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{name} is no whole Parquet file, or cannot be read ({reason}); fetch it again") from error


def _blocks(batch: Any, columns: tuple[str, ...], first_row: int, table: str, skip_bad_rows: bool) -> Iterator[Block]:
    """A batch as a block; where it has malformed rows and these are skipped, as its good parts, found by halving."""
    try:
        yield _block(batch, columns, first_row, table)
    except RowError as bad:
        if not skip_bad_rows:
            raise
        if len(batch) == 1:
            none = np.empty((0, *IMAGE_SHAPE), np.uint8)
            yield Block(none, none[:, 0, 0] if LABEL in columns else None, numbered(1, 0), (bad,))
            return
        half = len(batch) // 2
        for part, row in ((batch.slice(0, half), first_row), (batch.slice(half), first_row + half)):
            yield from _blocks(part, columns, row, table, skip_bad_rows)


def _parts(block: Block, rows: int) -> Iterator[Block]:
    """A block without bad rows, or one bad row alone, in blocks of so many rows."""
    for start in range(0, max(1, len(block.rows)), rows):
        part = slice(start, start + rows)
        labels = None if block.labels is None else block.labels[part]
        yield Block(block.images[part], labels, block.rows[part], block.bad)


def _columns(names: list[str], table: str) -> tuple[str, ...]:
    """The columns that are read: the label, where there is one, then the pixels or the image."""
    twice = [name for name in (LABEL, IMAGE, *PIXELS) if names.count(name) > 1]
    if twice:
        raise DataError(f"{table} has the column {twice[0]} twice; leave one out")
    label = (LABEL,) if LABEL in names else ()
    if IMAGE in names:
        return (*label, IMAGE)
    missing = [pixel for pixel in PIXELS if pixel not in names]
    if missing:
        raise DataError(
            f"{table} lacks the column {missing[0]}; it must have pixel0 to pixel783, or image with 784 values a row"
        )
    return (*label, *PIXELS)


def _block(batch: Any, columns: tuple[str, ...], first_row: int, table: str) -> Block:
    labels = _whole_numbers(batch.column(LABEL), CLASSES - 1, LABEL, first_row, table) if LABEL in columns else None
    if IMAGE in columns:
        images = _images(batch.column(IMAGE), first_row, table)
    else:
        images = np.empty((len(batch), len(PIXELS)), np.uint8)
        for place, pixel in enumerate(PIXELS):
            images[:, place] = _whole_numbers(batch.column(pixel), 255, pixel, first_row, table)
    return Block(images.reshape(-1, *IMAGE_SHAPE), labels, numbered(first_row, len(batch)))


def _images(column: Any, first_row: int, table: str) -> NDArray[np.uint8]:
    """A column of lists or bytes as uint8 (n, 784)."""
    import pyarrow as arrow
    import pyarrow.compute

    kind = column.type
    if arrow.types.is_binary(kind) or arrow.types.is_large_binary(kind) or arrow.types.is_fixed_size_binary(kind):
        lengths = arrow.compute.binary_length(column)
    elif arrow.types.is_list(kind) or arrow.types.is_large_list(kind) or arrow.types.is_fixed_size_list(kind):
        lengths = arrow.compute.list_value_length(column)
    else:
        raise DataError(f"{table}: column {IMAGE} is {kind}; it must be lists of 784 whole numbers, or 784 bytes")
    counts = lengths.fill_null(0).to_numpy(zero_copy_only=False)
    if (counts != len(PIXELS)).any():
        place = int(np.argmax(counts != len(PIXELS)))
        row = first_row + place
        raise RowError(
            table, row, f"row {row}, column {IMAGE}: {counts[place]} values, not 784; mend or remove the row"
        )
    if arrow.types.is_nested(kind):
        values = _whole_numbers(column.flatten(), 255, IMAGE, first_row, table, of_each_row=len(PIXELS))
    else:
        values = np.frombuffer(b"".join(column.to_pylist()), np.uint8)
    return values.reshape(-1, len(PIXELS))


def _whole_numbers(
    column: Any, most: int, name: str, first_row: int, table: str, *, of_each_row: int = 1
) -> NDArray[np.uint8]:
    """A column as uint8, every value from 0 to `most`."""
    import pyarrow as arrow

    if not arrow.types.is_integer(column.type):
        raise DataError(f"{table}: column {name} is {column.type}; it must be whole numbers from 0 to {most}")
    if column.null_count:
        row = first_row + int(np.argmax(column.is_null().to_numpy(zero_copy_only=False))) // of_each_row
        raise RowError(table, row, f"row {row}, column {name}: missing; add it or remove the row")
    values = column.to_numpy(zero_copy_only=False)
    outside = (values < 0) | (values > most)
    if outside.any():
        place = int(np.argmax(outside))
        row = first_row + place // of_each_row
        reason = f"{values[place]} is not a whole number from 0 to {most}; mend it"
        raise RowError(table, row, f"row {row}, column {name}: {reason}")
    return np.asarray(values, np.uint8)
