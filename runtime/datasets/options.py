"""`ReadingOptions`: how the images of a data set are read."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from digits_edge.runtime.model.image_input import ImageInput, Polarity
from digits_edge.runtime.model.steps import PreprocessingStep

#: Called with the path of a picture that cannot be read, and the reason.
DamageListener = Callable[[Path, str], None]


@dataclass(frozen=True)
class ReadingOptions:
    """How the images of a data set are read.

    Attributes:
        image: size, channels and polarity to which pictures are converted; None for the common size of the pictures,
            see `common_input`. No effect on files of images, see `fitted`.
        steps: steps that convert pictures to `image`; None for the usual ones, see `default_steps`. No effect on files.
        polarity: polarity of pictures if `image` is None, and of the images in files; None to derive it from the format
            and the class names.
        transposed: whether rows and columns of the images in a file are exchanged, as those of EMNIST are; None if the
            file's name begins with "emnist".
        on_damaged: called for each picture that cannot be read, which is then skipped; None for an error.

    Example:
        >>> ReadingOptions(ImageInput(32, 32, 3, "as-photographed")).transposed is None
        True
    """

    image: ImageInput | None = None
    steps: tuple[PreprocessingStep, ...] | None = None
    polarity: Polarity | None = None
    transposed: bool | None = None
    on_damaged: DamageListener | None = None


DEFAULT_OPTIONS = ReadingOptions()
