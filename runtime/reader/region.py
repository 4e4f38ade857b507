"""`Region`: a part of a picture, in pixels or in shares of the picture."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from digits_edge.runtime.errors import UsageError
from digits_edge.runtime.preprocessing.levels import Box

_REMEDY = "use left,upper,right,lower in pixels, such as 120,80,480,140, or in percent, such as 10%,5%,40%,9%"


class RegionError(UsageError):
    """A region is not in a picture."""


@dataclass(frozen=True)
class Region:
    """A part of a picture.

    Attributes:
        sides: left, upper, right, lower, in pixels of the upright picture, or in percent of its width and height.
        in_percent: whether they are in percent. Such regions fit scans of any resolution.

    Raises:
        UsageError: the sides are not in order or out of range.

    Example:
        >>> Region((10, 5, 40, 9), in_percent=True).box((1000, 2000))
        (100, 100, 400, 180)
    """

    sides: tuple[float, float, float, float]
    in_percent: bool = False

    def __post_init__(self) -> None:
        left, upper, right, lower = self.sides
        is_finite = all(map(math.isfinite, self.sides))
        if not (is_finite and 0 <= left < right and 0 <= upper < lower) or (
            self.in_percent and max(right, lower) > 100
        ):
            raise UsageError(f"region {self}: {_REMEDY}")

    def box(self, size: tuple[int, int]) -> Box:
        """The region in pixels of a picture.

        Args:
            size: width and height of the picture, upright.

        Raises:
            RegionError: the region is not in the picture.
        """
        left, upper, right, lower = self.sides
        if self.in_percent:
            (left, right), (upper, lower) = (
                (a * n / 100, b * n / 100) for a, b, n in zip((left, upper), (right, lower), size, strict=True)
            )
        box = math.floor(left), math.floor(upper), math.ceil(right), math.ceil(lower)
        if box[2] > size[0] or box[3] > size[1]:
            raise RegionError(f"region {self} is not in the picture of {size[0]}×{size[1]} pixels; {_REMEDY}")
        return box

    def __str__(self) -> str:
        return ",".join(f"{side:g}{'%' * self.in_percent}" for side in self.sides)


def parse_region(text: str | Sequence[float | str]) -> Region:
    """The region of a text, or of four numbers in pixels.

    Raises:
        UsageError: it is not a region.

    Example:
        >>> parse_region("10%,5%,40%,9%"), parse_region([0, 0, 20, 10]).in_percent
        (Region(sides=(10.0, 5.0, 40.0, 9.0), in_percent=True), False)
    """
    words = text.split(",") if isinstance(text, str) else [str(side) for side in text]
    words = [word.strip() for word in words]
    percent = [word.endswith("%") for word in words]
    try:
        sides = [float(word.rstrip("%")) for word in words]
    except ValueError:
        sides = []
    if len(sides) != 4 or any(percent) != all(percent):
        raise UsageError(f"region {text!r}: {_REMEDY}")
    return Region((sides[0], sides[1], sides[2], sides[3]), all(percent))
