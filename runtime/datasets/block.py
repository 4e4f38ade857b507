"""`Block`: consecutive rows of a table of images, the unit in which tables are read."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.errors import RowError


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


def numbered(first_row: int, count: int) -> NDArray[np.int64]:
    """Return `count` consecutive row numbers, int64."""
    return np.arange(first_row, first_row + count)
