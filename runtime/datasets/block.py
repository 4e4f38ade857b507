"""What tables are read in: consecutive rows at a time."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Block:
    """Consecutive rows of a table of images.

    Attributes:
        images: uint8, (n, 28, 28).
        labels: uint8, (n,), 0 to 9; None where the table has no label column.
        first_row: number of the first one, counted from 1 (in a CSV for the row after the header).
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8] | None
    first_row: int
