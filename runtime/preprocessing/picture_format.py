"""The form that a model's pictures are brought to, by its name in the metadata: `picture_format`."""

from collections.abc import Callable

from PIL.Image import Image

from digits_edge.runtime.model.model_file import Preprocessing
from digits_edge.runtime.preprocessing.garment import to_fashion_mnist_format
from digits_edge.runtime.preprocessing.mnist_format import PreparedPicture, to_mnist_format

_FORMS: dict[Preprocessing, Callable[[Image], PreparedPicture]] = {
    "mnist": to_mnist_format,
    "fashion-mnist": to_fashion_mnist_format,
}


def picture_format(preprocessing: Preprocessing) -> Callable[[Image], PreparedPicture]:
    """What brings a picture, as `open_picture` returns it, to the form of a model's images."""
    return _FORMS[preprocessing]
