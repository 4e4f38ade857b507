"""How much handwriting varies: `Hand`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Hand:
    """How much handwriting varies; standard deviations, or shares of the digits.

    Attributes:
        slant: slant, in pixels to the right per pixel upwards.
        turn: rotation, in radians.
        aspect: logarithm of the ratio of width to height.
        bend_px: displacement by smooth bends.
        shake_px: displacement by a tremor.
        pen: logarithm of the pen's width.
        pressure: change of the width along a stroke, as a share of the width.
        joined: share with a short stroke from or to a neighbouring digit.
        broken: share with a gap in the ink.
        pale: share with uneven ink.
        coarse: share scanned with 8 to 16 pixels, half of them in two levels.
        neighbour: share with a part of another digit at a side, as when digits of a number are cropped.
        line: share with a line of a form above, below or beside the digit.
        pattern: share with the lines of security paper.

    Example:
        >>> Hand(joined=0.5).slant
        0.2
    """

    slant: float = 0.2
    turn: float = 0.06
    aspect: float = 0.16
    bend_px: float = 1.6
    shake_px: float = 0.3
    pen: float = 0.3
    pressure: float = 0.16
    joined: float = 0.06
    broken: float = 0.04
    pale: float = 0.15
    coarse: float = 0.1
    neighbour: float = 0.07
    line: float = 0.09
    pattern: float = 0.03


DEFAULT_HAND = Hand()
