"""The preprocessing of a model file: `apply_steps` performs the steps that `runtime/model/steps.py` describes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from digits_edge.runtime.errors import ModelError
from digits_edge.runtime.model.image_input import ImageInput
from digits_edge.runtime.model.steps import (
    CenterCropStep,
    DigitStep,
    LineStep,
    ObjectStep,
    PadStep,
    PreprocessingStep,
    ResizeStep,
)
from digits_edge.runtime.preprocessing.levels import luminance, resized
from digits_edge.runtime.preprocessing.mnist_format import to_mnist_format
from digits_edge.runtime.preprocessing.plain_object import to_object_format
from digits_edge.runtime.preprocessing.prepared import PreparedPicture
from digits_edge.runtime.preprocessing.transparency import flattened, without_idle_alpha


def apply_steps(picture: Image.Image, steps: Sequence[PreprocessingStep], image: ImageInput) -> PreparedPicture:
    """Convert a picture to a model's input.

    Args:
        picture: Image as `open_picture` returns it.
        steps: Preprocessing steps of the model, in order.
        image: Input of the model.

    Returns:
        The image, uint8 of `image.shape`, and what the steps have found.

    Raises:
        ModelError: The steps do not give an image of the model's height and width.

    Example:
        >>> picture = Image.new("RGB", (60, 30), (200, 0, 0))
        >>> steps = (ResizeStep(32, 32, "cover"), CenterCropStep(32, 32))
        >>> prepared = apply_steps(picture, steps, ImageInput(32, 32, 3, "as-photographed"))
        >>> prepared.image.shape, prepared.image[0, 0].tolist(), prepared.blank
        ((32, 32, 3), [200, 0, 0], False)
    """
    found: PreparedPicture | None = None
    picture = without_idle_alpha(picture)
    for step in steps:
        if isinstance(step, DigitStep | ObjectStep):
            found = _found(picture, step)
            if found.blank:
                return replace(found, image=np.zeros(image.shape, np.uint8))
            picture = Image.fromarray(found.image)
        elif isinstance(step, LineStep):
            raise ModelError("the model reads lines, not single images; use `digits-edge read`")
        else:
            picture = _transformed(picture, step)
    if picture.size != image.shape[1::-1]:
        raise ModelError(
            f"the model's preprocessing gives {picture.height}×{picture.width} pixels for this picture, expected "
            f"{image.shape[0]}×{image.shape[1]}; export the model again"
        )
    if found is not None and found.image.shape == image.shape and isinstance(steps[-1], DigitStep | ObjectStep):
        return found
    pixels = _with_channels(picture, image)
    return PreparedPicture(pixels, blank=False, box=None) if found is None else replace(found, image=pixels)


@dataclass(frozen=True)
class PictureForm:
    """The conversion of pictures to the input of a model, as a function that can be sent to another process.

    Attributes:
        steps: Preprocessing steps of the model, in order.
        image: Input of the model.

    Example:
        >>> form = PictureForm((ResizeStep(8, 8),), ImageInput(8, 8))
        >>> form(Image.new("L", (20, 20), 7)).image.shape
        (8, 8)
    """

    steps: tuple[PreprocessingStep, ...]
    image: ImageInput

    def __call__(self, picture: Image.Image) -> PreparedPicture:
        """Convert a picture, as `open_picture` returns it; see `apply_steps`."""
        return apply_steps(picture, self.steps, self.image)


def _found(picture: Image.Image, step: DigitStep | ObjectStep) -> PreparedPicture:
    if isinstance(step, DigitStep):
        return to_mnist_format(picture, side=step.ink, size=step.size)
    return to_object_format(picture, side=step.side, size=step.size)


def _transformed(picture: Image.Image, step: ResizeStep | CenterCropStep | PadStep) -> Image.Image:
    if isinstance(step, ResizeStep):
        return _resized(picture, step)
    if isinstance(step, CenterCropStep):
        width, height = min(step.width, picture.width), min(step.height, picture.height)
        left, upper = (picture.width - width) // 2, (picture.height - height) // 2
        return picture.crop((left, upper, left + width, upper + height))
    width, height = max(step.width, picture.width), max(step.height, picture.height)
    left, upper = (width - picture.width) // 2, (height - picture.height) // 2
    opaque = picture.convert("RGBA" if picture.mode == "LA" else picture.mode)
    colour = {"L": (step.level,), "RGB": (step.level,) * 3, "RGBA": (*(step.level,) * 3, 255)}[opaque.mode]
    padded = Image.new(opaque.mode, (width, height), colour)
    padded.paste(opaque, (left, upper))
    return padded


def _resized(picture: Image.Image, step: ResizeStep) -> Image.Image:
    size = step.width, step.height
    if step.fit != "stretch":
        scales = step.width / picture.width, step.height / picture.height
        scale = min(scales) if step.fit == "contain" else max(scales)
        size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    return Image.fromarray(resized(picture, (0, 0, *picture.size), size))


def _with_channels(picture: Image.Image, image: ImageInput) -> NDArray[np.uint8]:
    """The pixels of a picture without alpha, with the channels of the model's input."""
    pixels = np.asarray(picture.convert("RGBA" if picture.mode == "LA" else picture.mode))
    if pixels.ndim == 2:
        return pixels if image.channels == 1 else np.repeat(pixels[:, :, np.newaxis], image.channels, axis=2)
    colours = flattened(pixels)
    return np.asarray(np.rint(luminance(colours) if image.channels == 1 else colours), np.uint8)
