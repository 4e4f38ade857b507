"""`recognise_columns()`: find the label and the 784 pixels among the column names of a table.

Pixels are named by a common prefix and a number, counted from 0 or 1 (`pixel0` to `pixel783`, `pixel1` to `pixel784`,
`0` to `783`), in any order; or by row and column in row order (`1x1`, `1x2`, … `28x28`). The label is named `label` or
one of its synonyms, such as `class`. Other columns, such as an index, are not read.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from digits_edge.runtime.datasets.dataset import IMAGE_SHAPE

LABEL = "label"
PIXELS = tuple(f"pixel{index}" for index in range(math.prod(IMAGE_SHAPE)))
#: Header named in error messages.
HEADER = f"[{LABEL},]{PIXELS[0]},…,{PIXELS[-1]}"

_LABEL_NAMES = {LABEL, "labels", "class", "target", "digit", "y"}
_NUMBERED = re.compile(r"(.*?)([0-9]{1,4})")
_BY_ROW_AND_COLUMN = re.compile(r"(.*?)([0-9]{1,2})[^0-9]([0-9]{1,2})")


class UnknownColumnsError(ValueError):
    """The meaning of the columns is not certain; the message names the cause and the remedy, without the table."""


@dataclass(frozen=True)
class Columns:
    """Positions of the columns of a table.

    Attributes:
        label: position of the label; None without labels.
        pixels: positions of the 784 pixels, in the order of the image.
    """

    label: int | None
    pixels: tuple[int, ...]


def recognise_columns(names: Sequence[str]) -> Columns:
    """Find the label and the pixels by their names; upper and lower case are the same.

    Args:
        names: all column names of a table, in the order of the table.

    Raises:
        UnknownColumnsError: there are not exactly 784 pixels, or several labels.

    Example:
        >>> columns = recognise_columns(["ImageId", *(f"{row}x{column}" for row in range(28) for column in range(28))])
        >>> columns.label, columns.pixels[0]
        (None, 1)
    """
    plain = [name.strip().casefold() for name in names]
    labels = [position for position, name in enumerate(plain) if name in _LABEL_NAMES]
    if len(labels) > 1:
        first, second = (names[position].strip() for position in labels[:2])
        raise UnknownColumnsError(f"the columns {first!r} and {second!r} could both be the label; remove one")
    return Columns(labels[0] if labels else None, _pixels(plain))


def _pixels(names: Sequence[str]) -> tuple[int, ...]:
    """Return the positions of the pixels in the order of the image."""
    found = _numbered(names) or _by_row_and_column(names)
    if len(found) == 1:
        return found[0]
    if found:
        raise UnknownColumnsError("two sets of columns could be the pixels; remove one")
    if twice := next((pixel for pixel in PIXELS if names.count(pixel) > 1), None):
        raise UnknownColumnsError(f"the column {twice} is there twice; remove one")
    missing = [pixel for pixel in PIXELS if pixel not in names]
    if not missing:  # there are more of the same kind
        raise UnknownColumnsError(f"there are pixels after {PIXELS[-1]}; reduce the images to 28x28 pixels")
    others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    raise UnknownColumnsError(f"the header lacks the column {missing[0]}{others}; add it, or use the header {HEADER}")


def _numbered(names: Sequence[str]) -> list[tuple[int, ...]]:
    """Return each set of columns with a common prefix and the numbers 0 to 783 or 1 to 784."""
    sets: dict[str, dict[int, int]] = {}
    clashes = set()
    for position, name in enumerate(names):
        if match := _NUMBERED.fullmatch(name):
            positions = sets.setdefault(match[1], {})
            if positions.setdefault(int(match[2]), position) != position:
                clashes.add(match[1])
    complete = []
    for prefix, positions in sets.items():
        first = min(positions)
        if prefix not in clashes and first < 2 and sorted(positions) == [*range(first, first + len(PIXELS))]:
            complete.append(tuple(positions[number] for number in sorted(positions)))
    return complete


def _by_row_and_column(names: Sequence[str]) -> list[tuple[int, ...]]:
    """Return the columns named by row and column, counted from 0 or 1, if they are in row order.

    In another order, the first number could be that of the column.
    """
    sets: dict[str, dict[int, tuple[int, int]]] = {}
    for position, name in enumerate(names):
        if match := _BY_ROW_AND_COLUMN.fullmatch(name):
            sets.setdefault(match[1], {})[position] = int(match[2]), int(match[3])
    height, width = IMAGE_SHAPE
    orders = [[(row + first, column + first) for row in range(height) for column in range(width)] for first in (0, 1)]
    return [tuple(cells) for cells in sets.values() if [*cells.values()] in orders]
