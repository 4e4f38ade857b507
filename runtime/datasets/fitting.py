"""Images of a data set as inputs of a model that takes another size or other channels: `fitted`."""

from dataclasses import replace
from typing import Literal

import numpy as np
from PIL import Image

from digits_edge.runtime.datasets.dataset import Dataset, ProgressCallback
from digits_edge.runtime.model.image_input import ImageInput
from digits_edge.runtime.model.steps import CenterCropStep, PadStep, PreprocessingStep, ResizeStep

#: "resize": scale the images to the size. "pad": keep their scale; add a black border, or cut off the edges.
FitMethod = Literal["resize", "pad"]


def fitted(
    data: Dataset, image: ImageInput, method: FitMethod = "resize", *, progress: ProgressCallback | None = None
) -> Dataset:
    """Convert the images of a data set to the size and channels of a model's input.

    Args:
        data: the data set.
        image: the model's input; the polarity remains that of the data set.
        method: how images of another size are converted.
        progress: called with (images so far, all images).

    Returns:
        The data set itself if it fits; otherwise one with converted images, whose preprocessing has the same steps in
        addition, and whose `sha256` is still that of the original images.

    Example:
        >>> from digits_edge.runtime.datasets.catalogue import dataset_of
        >>> data = dataset_of("digits", np.full((2, 28, 28), 9, np.uint8), None)
        >>> padded = fitted(data, ImageInput(32, 32), "pad")
        >>> padded.images.shape, padded.images[0, 0, 0], padded.images[0, 2, 2]
        ((2, 32, 32), np.uint8(0), np.uint8(9))
        >>> [step.step for step in padded.preprocessing]
        ['digit', 'pad', 'center_crop']
    """
    if data.images.shape[1:] == image.shape:
        return data
    # deferred: most data sets fit, and are read without Pillow
    from digits_edge.runtime.preprocessing.steps import apply_steps

    steps = fitting_steps(data.image, image, method)
    images = np.empty((len(data), *image.shape), np.uint8)
    for row, pixels in enumerate(data.images):
        images[row] = apply_steps(Image.fromarray(pixels), steps, image).image
        if progress is not None and (row + 1) % 1000 == 0:
            progress(row + 1, len(data))
    if progress is not None:
        progress(len(data), len(data))
    converted = replace(image, polarity=data.image.polarity)
    return replace(data, images=images, image=converted, preprocessing=(*data.preprocessing, *steps))


def fitting_steps(old: ImageInput, new: ImageInput, method: FitMethod) -> tuple[PreprocessingStep, ...]:
    """The steps that convert images of one size to another; empty if the sizes are equal.

    Example:
        >>> fitting_steps(ImageInput(), ImageInput(32, 32), "resize")
        (ResizeStep(height=32, width=32, fit='stretch', step='resize'),)
    """
    height, width = new.shape[:2]
    if old.shape[:2] == (height, width):
        return ()
    if method == "resize":
        return (ResizeStep(height, width),)
    return PadStep(height, width), CenterCropStep(height, width)
