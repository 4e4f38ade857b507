"""The preprocessing steps that a model file can name, with their parameters.

A model file lists the steps that convert a picture to the model's input. `runtime/preprocessing/steps.py` performs
them, and so does the JavaScript of the static site. In JSON, `step` names the class: `{"step": "resize", "height": 32,
"width": 32, "fit": "stretch"}`.
"""

from dataclasses import dataclass
from typing import Literal, get_args

from digits_edge.runtime.errors import UsageError
from digits_edge.runtime.model.image_input import MAX_SIDE, ImageInput

#: "stretch": to exactly this size; "contain": the largest size within it; "cover": the smallest size that covers it.
Fit = Literal["stretch", "contain", "cover"]


@dataclass(frozen=True)
class DigitStep:
    """Find the handwritten digit on its paper, scale it and centre it by mass, as MNIST does; grey, white on black.

    Attributes:
        ink: longer side of the digit, in pixels.
        size: height and width of the image.
    """

    ink: int = 20
    size: int = 28
    step: Literal["digit"] = "digit"

    def __post_init__(self) -> None:
        _check_sides(self.ink, self.size)
        if self.ink > self.size:
            raise UsageError(f"a digit of {self.ink} pixels in an image of {self.size}: use at most {self.size}")


@dataclass(frozen=True)
class ObjectStep:
    """Find the object on a plain background, scale it and centre its box, as Fashion-MNIST does; grey, on black.

    Attributes:
        side: longer side of the object, in pixels.
        size: height and width of the image.
    """

    side: int = 28
    size: int = 28
    step: Literal["object"] = "object"

    def __post_init__(self) -> None:
        _check_sides(self.side, self.size)
        if self.side > self.size:
            raise UsageError(f"an object of {self.side} pixels in an image of {self.size}: use at most {self.size}")


@dataclass(frozen=True)
class ResizeStep:
    """Scale the picture, antialiased.

    Attributes:
        height: in pixels.
        width: in pixels.
        fit: how the picture's shape is treated, see `Fit`.
    """

    height: int
    width: int
    fit: Fit = "stretch"
    step: Literal["resize"] = "resize"

    def __post_init__(self) -> None:
        _check_sides(self.height, self.width)


@dataclass(frozen=True)
class CenterCropStep:
    """Cut the middle out of the picture; a side that is shorter already is unchanged.

    Attributes:
        height: in pixels.
        width: in pixels.
    """

    height: int
    width: int
    step: Literal["center_crop"] = "center_crop"

    def __post_init__(self) -> None:
        _check_sides(self.height, self.width)


@dataclass(frozen=True)
class PadStep:
    """Add a border around the picture, equal on both sides; a side that is longer already is unchanged.

    Attributes:
        height: in pixels.
        width: in pixels.
        level: grey level of the border, 0 to 255.
    """

    height: int
    width: int
    level: int = 0
    step: Literal["pad"] = "pad"

    def __post_init__(self) -> None:
        _check_sides(self.height, self.width)
        if not 0 <= self.level <= 255:
            raise UsageError(f"level {self.level} of a border: use 0 to 255")


@dataclass(frozen=True)
class LineStep:
    """Flatten the light of one written line, and scale its ink to a height; grey, white on black, of any width.

    Attributes:
        ink: height of the line's ink, in pixels.
        height: height of the image.
    """

    ink: int = 24
    height: int = 32
    step: Literal["line"] = "line"

    def __post_init__(self) -> None:
        _check_sides(self.ink, self.height)
        if self.ink > self.height:
            raise UsageError(f"a line of {self.ink} pixels in an image of {self.height}: use at most {self.height}")


PreprocessingStep = DigitStep | ObjectStep | ResizeStep | CenterCropStep | PadStep | LineStep
#: Names of all steps.
STEPS: tuple[str, ...] = tuple(each.step for each in get_args(PreprocessingStep))


def reads_ink(steps: tuple[PreprocessingStep, ...]) -> bool:
    """Whether the steps look for a digit or object, so that a picture without one is blank.

    Example:
        >>> reads_ink((DigitStep(),)), reads_ink((ResizeStep(32, 32),))
        (True, False)
    """
    return any(isinstance(step, DigitStep | ObjectStep) for step in steps)


def default_steps(image: ImageInput, *, digits: bool) -> tuple[PreprocessingStep, ...]:
    """The usual steps for an input: those of a drawn digit, or those of a photograph.

    Args:
        image: the model's input.
        digits: whether the classes are handwritten characters; used only if the input is square and white on black.

    Example:
        >>> default_steps(ImageInput(), digits=True)
        (DigitStep(ink=20, size=28, step='digit'),)
        >>> [step.step for step in default_steps(ImageInput(32, 32, 3), digits=False)]
        ['resize', 'center_crop']
    """
    if digits and image.height == image.width and image.polarity == "white-on-black":
        return named_steps("digit", image)
    return named_steps("crop", image)


#: Names of usual step lists, for the command line.
NamedSteps = Literal["digit", "object", "stretch", "crop", "letterbox"]


def named_steps(name: NamedSteps, image: ImageInput) -> tuple[PreprocessingStep, ...]:
    """The steps of a usual preprocessing for an input.

    Args:
        name: "digit" and "object": find the ink or the object, for square inputs; "stretch": scale to the input, in any
            shape; "crop": scale and cut off what is too long; "letterbox": scale and add black borders.
        image: the model's input.

    Raises:
        UsageError: the input is not square, for "digit" and "object".

    Example:
        >>> [step.step for step in named_steps("letterbox", ImageInput(32, 48, 3))]
        ['resize', 'pad']
    """
    height, width = image.shape[:2]
    if name in ("digit", "object"):
        if height != width:
            raise UsageError(f"the preprocessing {name!r} needs a square input, not {image.description}; use crop")
        return (
            (DigitStep(max(1, round(height * 20 / 28)), height),) if name == "digit" else (ObjectStep(height, height),)
        )
    if name == "stretch":
        return (ResizeStep(height, width),)
    if name == "crop":
        return ResizeStep(height, width, "cover"), CenterCropStep(height, width)
    return ResizeStep(height, width, "contain"), PadStep(height, width)


def _check_sides(*sides: int) -> None:
    for side in sides:
        if not 1 <= side <= MAX_SIDE:
            raise UsageError(f"a side of {side} pixels: use 1 to {MAX_SIDE}")
