"""Settings of the training images that the project makes; `made_hands.py` makes them."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field

_Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True)
class Hands:
    """Number and sources of the made images. Each source has the ten digits equally often.

    Attributes:
        count: number of images.
        seed: seed of the images.
        fonts: weight of digits of handwriting fonts.
        strokes: weight of drawn national variants.
        changed: weight of training images with other slant, aspect and stroke width.

    Example:
        >>> Hands(100).parts(has_images=True)
        {'fonts': 25, 'strokes': 50, 'changed': 25}
        >>> Hands(90).parts(has_images=False)
        {'fonts': 30, 'strokes': 60, 'changed': 0}
    """

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid", strict=True)

    count: Annotated[int, Field(ge=1)]
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    fonts: _Weight = 1.0
    strokes: _Weight = 2.0
    changed: _Weight = 1.0

    def parts(self, *, has_images: bool) -> dict[str, int]:
        """Number of images of each source; none are changed without training images."""
        weights = {"fonts": self.fonts, "strokes": self.strokes, "changed": self.changed if has_images else 0.0}
        total = sum(weights.values()) or 1.0
        counts = {name: int(self.count * weight / total) for name, weight in weights.items()}
        first = next((name for name, weight in weights.items() if weight), "fonts")
        counts[first] += self.count - sum(counts.values())
        return counts
