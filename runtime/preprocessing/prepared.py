"""The result of preprocessing a picture: `PreparedPicture`."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.preprocessing.levels import Box


@dataclass(frozen=True)
class Stage:
    """Intermediate result of the preprocessing, for `explanation`.

    Attributes:
        name: Name of the stage.
        pixels: Array (H, W) of any size.
        white: Value that is displayed as white.
    """

    name: str
    pixels: NDArray[Any]
    white: float = 255.0


@dataclass(frozen=True)
class PreparedPicture:
    """Result of the preprocessing of one picture.

    Attributes:
        image: uint8, (H, W) or (H, W, 3), the model's input; all zero if the picture is blank.
        blank: Whether ink or an object was looked for and not found.
        box: Left, upper, right, lower of the ink or object in pixels of the picture; None if blank or not looked for.
        boxes: Boxes of the digits found, from left to right; if there are several, `image` and `box` are those of the
            most prominent ink.
        stages: Intermediate results, in order.
    """

    image: NDArray[np.uint8]
    blank: bool
    box: Box | None
    boxes: tuple[Box, ...] = ()
    stages: tuple[Stage, ...] = field(default=(), repr=False)
