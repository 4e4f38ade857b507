"""The preprocessing function for each input format that a model's metadata can name: `picture_format`."""

from collections.abc import Callable

from PIL.Image import Image

from digits_edge.runtime.model.model_file import Preprocessing
from digits_edge.runtime.preprocessing.garment import to_fashion_mnist_format
from digits_edge.runtime.preprocessing.mnist_format import PreparedPicture, to_mnist_format

_FORMATS: dict[Preprocessing, Callable[[Image], PreparedPicture]] = {
    "mnist": to_mnist_format,
    "fashion-mnist": to_fashion_mnist_format,
}


def picture_format(preprocessing: Preprocessing) -> Callable[[Image], PreparedPicture]:
    """Return the function that converts a picture to a model's input format.

    Args:
        preprocessing: Value of `preprocessing` in the model's metadata, "mnist" or "fashion-mnist".

    Returns:
        A function of a Pillow image as `open_picture` returns it.

    Example:
        >>> picture_format("mnist").__name__
        'to_mnist_format'
    """
    return _FORMATS[preprocessing]
