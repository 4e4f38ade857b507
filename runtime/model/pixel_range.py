"""Transformation from the pixels of an image to the input of a Keras model: `PixelRange`."""

import math
from dataclasses import dataclass
from typing import Literal

from digits_edge.runtime.errors import UsageError

#: Limits of mean and standard deviation, so that float32 arithmetic on the result neither overflows nor vanishes.
_MAX_MEAN, _MIN_STD, _MAX_STD = 1e4, 1e-4, 1e4


@dataclass(frozen=True)
class PixelRange:
    """Input that a Keras model expects for pixels from 0 to 255, white ink on black.

    The steps are applied in this order: `invert`, `scale`, then `(x - mean) / std`.

    Attributes:
        scale: 1 for pixels from 0 to 1, 255 for 0 to 255; None to read it from the run or the model.
        invert: whether the model was trained on dark ink on a light background.
        mean: subtracted from the scaled pixels.
        std: divisor after that.

    Raises:
        UsageError: mean or standard deviation is not a number, or too large or too small.

    Example:
        >>> inverted = PixelRange(1, invert=True)
        >>> inverted.description, inverted.options
        ('0–1, inverted', '--input-scale 1 --invert')
        >>> PixelRange(255, mean=51, std=102).factor, PixelRange(255, mean=51, std=102).offset
        (0.00980392156862745, -0.5)
    """

    scale: Literal[1, 255] | None = None
    invert: bool = False
    mean: float = 0.0
    std: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.mean) and abs(self.mean) <= _MAX_MEAN):
            raise UsageError(f"mean {self.mean:g} of the pixels: use a number from {-_MAX_MEAN:g} to {_MAX_MEAN:g}")
        if not _MIN_STD <= self.std <= _MAX_STD:  # also true for NaN
            raise UsageError(
                f"standard deviation {self.std:g} of the pixels: use a number from {_MIN_STD:g} to {_MAX_STD:g}"
            )

    def or_recorded(self, recorded: "PixelRange | None") -> "PixelRange":
        """This range or, if nothing was specified, the one that a model file recorded at export."""
        return self if recorded is None or self != PixelRange() else recorded

    @property
    def white(self) -> int:
        """The value of a white pixel after scaling, 1 or 255."""
        if self.scale is None:
            raise UsageError("the input scale of the Keras model is unknown; use 1 or 255")
        return self.scale

    @property
    def is_standardized(self) -> bool:
        """Whether mean or standard deviation change the pixels."""
        return (self.mean, self.std) != (0, 1)

    @property
    def factor(self) -> float:
        """Factor from a pixel to the model's input, `pixel * factor + offset`; negative if inverted."""
        return (-1 if self.invert else 1) * self.white / 255 / self.std

    @property
    def offset(self) -> float:
        """The model's input for a pixel of 0."""
        return ((self.white if self.invert else 0) - self.mean) / self.std

    @property
    def description(self) -> str:
        """A short description for messages and reports."""
        inverted = ", inverted" if self.invert else ""
        standardized = f", minus {self.mean:g}, divided by {self.std:g}" if self.is_standardized else ""
        return f"0–{self.white}{inverted}{standardized}"

    @property
    def options(self) -> str:
        """The command-line options that express it."""
        scale = f"--input-scale {self.scale}" if self.scale is not None else ""
        standardized = f"--mean {self.mean:g} --std {self.std:g}" if self.is_standardized else ""
        return " ".join(filter(None, (scale, "--invert" if self.invert else "", standardized)))
