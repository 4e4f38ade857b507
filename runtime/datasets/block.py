"""What tables are read in: some rows at a time."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.errors import RowError


@dataclass(frozen=True, eq=False)
class Block:
    """Rows of a table of images, in their order.

    Attributes:
        images: uint8, (n, 28, 28).
        labels: uint8, (n,), 0 to 9; None where the table has no label column.
        rows: int64, (n,), the number of each row, counted from 1 (in a CSV for the row after the header).
        bad: malformed rows before, between or after those, where the reader was asked to go on at them.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8] | None
    rows: NDArray[np.int64]
    bad: tuple[RowError, ...] = ()

    @property
    def last_row(self) -> int:
        """The number of the last row, be it good or bad."""
        return max([*map(int, self.rows[-1:]), *(bad.row for bad in self.bad[-1:])])


def numbered(first_row: int, count: int) -> NDArray[np.int64]:
    """The numbers of consecutive rows."""
    return np.arange(first_row, first_row + count)
