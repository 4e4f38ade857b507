"""Transformation from the pixels of an image to the input of a Keras model: `PixelRange`."""

import math
from dataclasses import dataclass
from typing import Literal

from digits_edge.runtime.errors import UsageError

#: Limits of mean and standard deviation, so that float32 arithmetic on the result neither overflows nor vanishes.
_MAX_MEAN, _MIN_STD, _MAX_STD = 1e4, 1e-4, 1e4


#: A number for all channels, or one for each.
PerChannel = float | tuple[float, ...]
_CHANNELS = (1, 3)


@dataclass(frozen=True)
class PixelRange:
    """Input that a Keras model expects for pixels from 0 to 255.

    The steps are applied in this order: `invert`, `scale`, then `(x - mean) / std`.

    Attributes:
        scale: 1 for pixels from 0 to 1, 255 for 0 to 255; None to read it from the run or the model.
        invert: whether the model was trained on dark ink on a light background.
        mean: subtracted from the scaled pixels; a number, or one for each of the channels red, green and blue. Equal
            numbers are replaced by a single one.
        std: divisor after that; a number, or one for each channel.

    Raises:
        UsageError: mean or standard deviation is not a number, too large or too small, or there are not three.

    Example:
        >>> inverted = PixelRange(1, invert=True)
        >>> inverted.description, inverted.options
        ('0–1, inverted', '--input-scale 1 --invert')
        >>> PixelRange(255, mean=51, std=102).factor, PixelRange(255, mean=51, std=102).offset
        (0.00980392156862745, -0.5)
        >>> photograph = PixelRange(1, mean=(0.5, 0.4, 0.4), std=0.25)
        >>> photograph.offsets, photograph.options
        ((-2.0, -1.6, -1.6), '--input-scale 1 --mean 0.5,0.4,0.4 --std 0.25')
    """

    scale: Literal[1, 255] | None = None
    invert: bool = False
    mean: PerChannel = 0.0
    std: PerChannel = 1.0

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            object.__setattr__(self, name, _joined(getattr(self, name)))
        for mean in _each(self.mean):
            if not (math.isfinite(mean) and abs(mean) <= _MAX_MEAN):
                raise UsageError(f"mean {mean:g} of the pixels: use a number from {-_MAX_MEAN:g} to {_MAX_MEAN:g}")
        for std in _each(self.std):
            if not _MIN_STD <= std <= _MAX_STD:  # also true for NaN
                raise UsageError(
                    f"standard deviation {std:g} of the pixels: use a number from {_MIN_STD:g} to {_MAX_STD:g}"
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
    def is_per_channel(self) -> bool:
        """Whether the channels have different means or standard deviations."""
        return isinstance(self.mean, tuple) or isinstance(self.std, tuple)

    @property
    def factors(self) -> tuple[float, ...]:
        """Factors from a pixel to the model's input, `pixel * factor + offset`: one, or one for each channel."""
        sign = -1 if self.invert else 1
        return tuple(sign * self.white / 255 / std for _, std in self._channels())

    @property
    def offsets(self) -> tuple[float, ...]:
        """The model's input for a pixel of 0: one, or one for each channel."""
        black = self.white if self.invert else 0
        return tuple((black - mean) / std for mean, std in self._channels())

    @property
    def factor(self) -> float:
        """Factor from a pixel to the model's input, `pixel * factor + offset`; negative if inverted.

        Raises:
            UsageError: the channels have different factors.
        """
        return self._single(self.factors)

    @property
    def offset(self) -> float:
        """The model's input for a pixel of 0.

        Raises:
            UsageError: the channels have different offsets.
        """
        return self._single(self.offsets)

    @property
    def description(self) -> str:
        """A short description for messages and reports."""
        inverted = ", inverted" if self.invert else ""
        standardized = f", minus {_text(self.mean)}, divided by {_text(self.std)}" if self.is_standardized else ""
        return f"0–{self.white}{inverted}{standardized}"

    @property
    def options(self) -> str:
        """The command-line options that express it."""
        scale = f"--input-scale {self.scale}" if self.scale is not None else ""
        standardized = f"--mean {_text(self.mean)} --std {_text(self.std)}" if self.is_standardized else ""
        return " ".join(filter(None, (scale, "--invert" if self.invert else "", standardized)))

    def _channels(self) -> list[tuple[float, float]]:
        """Mean and standard deviation of each channel; of one if all are equal."""
        means, stds = _each(self.mean), _each(self.std)
        count = max(len(means), len(stds))
        return [(means[index % len(means)], stds[index % len(stds)]) for index in range(count)]

    def _single(self, numbers: tuple[float, ...]) -> float:
        if self.is_per_channel:
            raise UsageError(
                f"mean {_text(self.mean)} and standard deviation {_text(self.std)} differ between the channels; "
                "use one number for all channels here"
            )
        return numbers[0]


def _each(numbers: PerChannel) -> tuple[float, ...]:
    return numbers if isinstance(numbers, tuple) else (numbers,)


def _joined(numbers: PerChannel | list[float]) -> PerChannel:
    """A single number if all channels have the same."""
    if not isinstance(numbers, tuple | list):
        return numbers
    if len(numbers) not in _CHANNELS:
        raise UsageError(
            f"{len(numbers)} numbers for the channels of the pixels: use one, or one for each of 3 channels"
        )
    return numbers[0] if len(set(numbers)) == 1 else tuple(numbers)


def _text(numbers: PerChannel) -> str:
    return ",".join(f"{number:g}" for number in _each(numbers))
