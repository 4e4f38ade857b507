"""Settings of the random augmentation of training images; `augmenting.py` applies them."""

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field

_Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_Share = Annotated[float, Field(ge=0, lt=1)]


@dataclass(frozen=True)
class Corruption:
    """Strengths of the simulated pens, papers and camera faults; 0 disables a corruption.

    A share of the images is chosen. Each corruption is applied to a random half of the chosen images, with an amount
    drawn per image up to the attribute's value.

    Attributes:
        share: share of the images that are chosen.
        elastic_px: largest displacement of a smooth elastic deformation (Simard, Steinkraus and Platt 2003), in pixels.
        stroke: largest growth or shrinkage of strokes on each side, in pixels.
        blur_px: largest standard deviation of a Gaussian blur, in pixels.
        light: largest brightness of the background, as a fraction of white.
        ruled: largest brightness of the lines of ruled or squared paper, as a fraction of white.
        negative: share of the chosen images that are inverted.
        noise: largest standard deviation of Gaussian noise, as a fraction of white.
        specks: largest share of pixels that turn black or white.
        cut_out_px: largest side of a rectangle of one grey level, in pixels.

    Example:
        >>> Corruption(share=0.3, blur_px=1.3).noise
        0.0
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
    """Largest change of each kind; the amount is drawn per image, uniformly between minus and plus that value.

    The defaults change nothing.

    Attributes:
        rotation_degrees: largest rotation.
        translation_px: largest shift along each axis.
        zoom: largest relative change of the scale of each axis.
        shear_degrees: largest shear angle.
        contrast: largest relative change of the pixel values.
        mirror: flip a random half of the images left to right.
        corruption: corruptions applied after the changes above.

    Example:
        >>> Augmentation(rotation_degrees=10).corrupted(0.5).corruption.share
        0.5
        >>> Augmentation(translation_px=2.5).for_side(56).translation_px
        5.0
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
        """The same augmentation without corruption."""
        return replace(self, corruption=NO_CORRUPTION)

    def corrupted(self, share: float) -> "Augmentation":
        """The same augmentation with another share of corrupted images."""
        return replace(self, corruption=replace(self.corruption, share=share))

    def for_side(self, side_px: int) -> "Augmentation":
        """The same augmentation for images whose longer side is `side_px`; amounts in pixels are meant for 28."""
        factor, found = side_px / 28, self.corruption
        amounts = {name: getattr(found, name) * factor for name in ("elastic_px", "blur_px", "cut_out_px")}
        return replace(self, translation_px=self.translation_px * factor, corruption=replace(found, **amounts))

    def for_photographs(self) -> "Augmentation":
        """The same augmentation without the corruptions of ink on paper."""
        photographed = replace(self.corruption, elastic_px=0.0, stroke=0.0, ruled=0.0, negative=0.0)
        return replace(self, corruption=photographed)


NO_AUGMENTATION = Augmentation()
#: Keras layers of the reference documents: RandomRotation(0.1), a tenth of a full turn, and
#: RandomTranslation(0.2, 0.2), a fifth of 28 px.
DOCUMENT = Augmentation(rotation_degrees=36.0, translation_px=5.6, contrast=0.2)
#: Variation of handwriting. Stronger rotation confuses 6 with 9 and costs accuracy on upright digits.
HAND = Augmentation(rotation_degrees=13.0, translation_px=2.5, zoom=0.13, shear_degrees=12.0, contrast=0.2)

#: Variation of photographs. They are not mirrored, because mirrored signs or letters are others.
PHOTO = Augmentation(rotation_degrees=10.0, translation_px=2.5, zoom=0.13, contrast=0.2)

#: Variation of photos of flat garments: either side, little rotation.
GARMENT = Augmentation(rotation_degrees=4.0, translation_px=1.5, zoom=0.1, contrast=0.1, mirror=True)

#: 30 % of the images: corrupting all of them costs accuracy on clean images (docs/explanation/edge-model.md).
_CORRUPTED_GARMENT = Corruption(
    share=0.3, blur_px=1.3, light=0.6, negative=0.1, noise=0.25, specks=0.2, cut_out_px=14.0
)
#: For networks that classify photographs.
ROUGH = replace(HAND, corruption=replace(_CORRUPTED_GARMENT, elastic_px=1.5, stroke=0.7, ruled=0.6))
ROUGH_GARMENT = replace(GARMENT, corruption=_CORRUPTED_GARMENT)

AUGMENTATIONS = {
    "none": NO_AUGMENTATION,
    "document": DOCUMENT,
    "hand": HAND,
    "garment": GARMENT,
    "photo": PHOTO,
    "rough": ROUGH,
}
