"""`Block`: consecutive rows of a table of images, the unit in which tables are read."""

from collections.abc import Generator, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.errors import DataError, RowError
from digits_edge.runtime.pixel_scale import PixelScale, RangeCheck


@dataclass(frozen=True, eq=False)
class Block:
    """Consecutive rows of a table of images.

    Attributes:
        images: uint8, (n, 28, 28).
        labels: uint8, (n,), 0 to 9; None if the table has no label column.
        rows: int64, (n,), row numbers, counted from 1. In a CSV, row 1 is the line after the header.
        bad: malformed rows before, between or after the good ones; filled only with `skip_bad_rows`.

    Example:
        >>> block = Block(np.zeros((2, 28, 28), np.uint8), None, np.array([7, 8]))
        >>> block.last_row
        8
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8] | None
    rows: NDArray[np.int64]
    bad: tuple[RowError, ...] = ()

    @property
    def last_row(self) -> int:
        """Number of the last row, good or bad."""
        return max([*map(int, self.rows[-1:]), *(bad.row for bad in self.bad[-1:])])


def range_checked(
    blocks: Iterator[Block], name: str, pixel_range: PixelScale | None, *, is_part: bool
) -> Generator[Block, None, None]:
    """Yield blocks, and refuse a table whose pixels seem to be scaled to 0–1 if no pixel range is given.

    Args:
        blocks: blocks of a table.
        name: name of the table in the error message.
        pixel_range: None to check.
        is_part: whether the blocks are only a part of the table.

    Raises:
        DataError: the pixels seem to be scaled to 0–1.
    """
    check = RangeCheck(is_part=is_part)
    for block in blocks:
        if pixel_range is None and check.add(block.images):
            raise scaled_error(name)
        yield block
    if pixel_range is None and check.at_end():
        raise scaled_error(name)


def scaled_error(name: str) -> DataError:
    """Build the error for images whose pixels seem to be scaled to 0–1."""
    return DataError(
        f"{name}: no pixel is above 1, so the pixels are probably scaled to 0–1; multiply them by 255, or read them "
        "with `batch-predict --pixel-range 1`, in Python with pixel_range=1 (255 if they are right)"
    )


def numbered(first_row: int, count: int) -> NDArray[np.int64]:
    """Return `count` consecutive row numbers, int64."""
    return np.arange(first_row, first_row + count)
