"""Settings of the made lines of numbers: `LineSettings`, and their number: `Lines`."""

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field

_Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_Share = Annotated[float, Field(ge=0, le=1)]
_Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True)
class LineSettings:
    """How lines of numbers vary. Lengths are in heights of a digit unless their name has another unit.

    Attributes:
        images: weight of digits of the data set's training images.
        fonts: weight of digits of handwriting fonts.
        strokes: weight of drawn national variants.
        lines_per_hand: number of lines that one hand writes, each with another pen and slant.
        slant: standard deviation of the slant of a line, in heights to the right per height upwards.
        mean_slant: mean of the same.
        bend: standard deviation of the displacement of a digit's parts.
        size: standard deviation of the logarithm of the height of single digits.
        drift: standard deviation of the distance of single digits from the baseline.
        aspect: standard deviation of the logarithm of the ratio of width to height, of a line.
        pen: bounds of half the width of the pen.
        hairline: share of lines with a thinner pen, down to a quarter of the lower bound.
        gap: mean distance between neighbouring digits; negative distances overlap.
        wide: share of lines with wide spacing.
        joined: share of hands that join digits.
        comb: share of lines in the boxes of a form.
        empty: share of lines without a number.
        neighbours: share of lines with parts of other lines above or below, and of other digits at the sides.
        rules: share of lines with a ruled line or the line of a box.
        patterns: share of lines on paper with a security pattern.
        height_px: bounds of the height of a digit in the picture.
        contrast: bounds of the difference between paper and ink, of 1.
        blur_px: largest standard deviation of the blur.
        noise: largest standard deviation of the noise, of 1.
        coarse: share of lines in low resolution, whose digits are 10 to 20 pixels high.
        compressed: share of lines that were saved as JPEG.
        band: standard deviation of errors in the rows of the line.

    Example:
        >>> LineSettings(empty=0).height_px
        (22.0, 44.0)
    """

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid", strict=True)

    images: _Weight = 1.0
    fonts: _Weight = 0.7
    strokes: _Weight = 1.8
    lines_per_hand: Annotated[int, Field(ge=1)] = 8
    slant: _Amount = 0.3
    mean_slant: float = 0.16
    bend: _Amount = 0.026
    size: _Amount = 0.1
    drift: _Amount = 0.05
    aspect: _Amount = 0.26
    pen: tuple[float, float] = (0.022, 0.11)
    hairline: _Share = 0.06
    gap: float = 0.13
    wide: _Share = 0.12
    joined: _Share = 0.3
    comb: _Share = 0.03
    empty: _Share = 0.18
    neighbours: _Share = 0.2
    rules: _Share = 0.25
    patterns: _Share = 0.55
    height_px: tuple[float, float] = (22.0, 44.0)
    contrast: tuple[float, float] = (0.2, 0.85)
    blur_px: _Amount = 1.0
    noise: _Amount = 0.04
    coarse: _Share = 0.15
    compressed: _Share = 0.4
    band: _Amount = 0.05


@dataclass(frozen=True)
class Lines:
    """The lines of a training.

    Attributes:
        count: number of training lines.
        validation: number of validation lines, made of the validation images.
        seed: seed of the lines.
        settings: how they vary.

    Example:
        >>> Lines(1000).settings.lines_per_hand
        8
    """

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid", strict=True)

    count: Annotated[int, Field(ge=1)]
    validation: Annotated[int, Field(ge=1)] = 1500
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    settings: LineSettings = field(default_factory=LineSettings)
