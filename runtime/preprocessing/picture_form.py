"""The form that a model's pictures are brought to, by its name in the metadata: `picture_form`."""

from collections.abc import Callable

from PIL.Image import Image

from digits_edge.runtime.model.model_file import Preprocessing
from digits_edge.runtime.preprocessing.garment import garment
from digits_edge.runtime.preprocessing.mnist_format import Canonical, canonical

_FORMS: dict[Preprocessing, Callable[[Image], Canonical]] = {"mnist": canonical, "fashion-mnist": garment}


def picture_form(preprocessing: Preprocessing) -> Callable[[Image], Canonical]:
    """What brings a picture, as `open_picture` returns it, to the form of a model's images."""
    return _FORMS[preprocessing]
