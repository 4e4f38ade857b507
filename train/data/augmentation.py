"""What can be done to a training image at random, and how much of it: settings alone, `augmenting.py` does it."""

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field

_Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_Share = Annotated[float, Field(ge=0, lt=1)]


@dataclass(frozen=True)
class Corruption:
    """What pens, papers, cameras and bad lines do to a share of the images, the largest change of each kind.

    Each kind is done to every second of those, by an amount that every image draws for itself: `elastic_px` bends
    strokes (Simard, Steinkraus and Platt 2003), smooth displacements that reach so far; `stroke` grows or shrinks
    strokes by that many pixels on each side; then a blur's standard deviation, the ground's lightness, how light the
    lines of ruled or squared paper are, the noise's standard deviation, the share of specks and the longest side of a
    cut-out. `negative` is the share of the spoiled whose light is dark and whose dark is light.
    """

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid", strict=True)

    share: Annotated[float, Field(ge=0, le=1)] = 0.0
    elastic_px: _Amount = 0.0
    stroke: Annotated[float, Field(ge=0, le=1)] = 0.0
    blur_px: _Amount = 0.0
    light: _Share = 0.0
    ruled: _Share = 0.0
    negative: Annotated[float, Field(ge=0, le=1)] = 0.0
    noise: _Share = 0.0
    specks: _Share = 0.0
    cut_out_px: _Amount = 0.0


NO_CORRUPTION = Corruption()


@dataclass(frozen=True)
class Augmentation:
    """The largest change of each kind; every image draws its own, uniformly between minus and plus that.

    `mirror` turns left and right around in every second image. Zero everywhere means images are taken as they are.
    """

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid", strict=True)

    rotation_degrees: _Amount = 0.0
    translation_px: _Amount = 0.0
    zoom: _Share = 0.0
    shear_degrees: Annotated[float, Field(ge=0, lt=90)] = 0.0
    contrast: _Share = 0.0
    mirror: bool = False
    corruption: Corruption = NO_CORRUPTION

    @property
    def uncorrupted(self) -> "Augmentation":
        """The same without its spoiling."""
        return replace(self, corruption=NO_CORRUPTION)

    def corrupted(self, share: float) -> "Augmentation":
        """The same with another share of spoiled images."""
        return replace(self, corruption=replace(self.corruption, share=share))


NO_AUGMENTATION = Augmentation()
#: The documents' Keras layers: RandomRotation(0.1) is a tenth of a full turn, RandomTranslation(0.2, 0.2) a fifth of
#: 28 px.
DOCUMENT = Augmentation(rotation_degrees=36.0, translation_px=5.6, contrast=0.2)
#: Ours: what a hand does, and no more; stronger turns confuse 6 with 9 and cost accuracy on upright digits.
HAND = Augmentation(rotation_degrees=13.0, translation_px=2.5, zoom=0.13, shear_degrees=12.0, contrast=0.2)

#: What a photographer does to a garment that lies flat: it can face either side, but hardly turns.
GARMENT = Augmentation(rotation_degrees=4.0, translation_px=1.5, zoom=0.1, contrast=0.1, mirror=True)

#: Three images in ten, for what is rough in all of them costs accuracy in clean ones (docs/edge-model.md).
_CORRUPTED_GARMENT = Corruption(
    share=0.3, blur_px=1.3, light=0.6, negative=0.1, noise=0.25, specks=0.2, cut_out_px=14.0
)
#: For a network that is to read what people photograph.
ROUGH = replace(HAND, corruption=replace(_CORRUPTED_GARMENT, elastic_px=1.5, stroke=0.7, ruled=0.6))
ROUGH_GARMENT = replace(GARMENT, corruption=_CORRUPTED_GARMENT)

AUGMENTATIONS = {
    "none": NO_AUGMENTATION,
    "document": DOCUMENT,
    "hand": HAND,
    "garment": GARMENT,
    "rough": ROUGH,
}
