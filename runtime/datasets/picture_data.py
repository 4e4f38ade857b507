"""Read a folder whose sub-folders are the classes as a `Dataset`: `read_class_folders()`."""

import math
import warnings
from collections.abc import Sequence
from io import RawIOBase
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from digits_edge.runtime.datasets.class_folders import LabelledPictures, find_class_folders, ordered_split
from digits_edge.runtime.datasets.dataset import Dataset, ProgressCallback, content_sha256
from digits_edge.runtime.datasets.options import DEFAULT_OPTIONS, ReadingOptions
from digits_edge.runtime.errors import DataError, ImageError
from digits_edge.runtime.model.image_input import ImageInput, Polarity
from digits_edge.runtime.model.steps import PreprocessingStep, default_steps
from digits_edge.runtime.preprocessing.pictures import FORMATS, open_picture, printable
from digits_edge.runtime.preprocessing.steps import apply_steps

#: Larger pictures are reduced to `DEFAULT_SIDE` if no input is given.
MAX_COMMON_SIDE, DEFAULT_SIDE = 224, 32
#: Number of damaged pictures that an error message names.
_NAMED = 3
_GREY_MODES = {"1", "L", "LA", "F"}


def read_class_folders(
    folder: Path,
    split: str,
    options: ReadingOptions = DEFAULT_OPTIONS,
    *,
    disk: Path | None = None,
    progress: ProgressCallback | None = None,
) -> Dataset | None:
    """Read the pictures of one split.

    Args:
        folder: folder as for `find_class_folders`.
        split: "train" or "test"; without a folder of test images, as split by `ordered_split`.
        options: input, steps and treatment of damaged pictures.
        disk: file to which the images are written, and which is memory-mapped; None to read them into memory.
        progress: called with (files done, all files): while their sizes are read if there is no input, while their
            SHA-256 is computed, and while they are read.

    Returns:
        The images, named after the folder, ordered by the SHA-256 of the files; or None if no sub-folder contains a
        picture.

    Raises:
        DataError: as `find_class_folders`; a picture is damaged and `options.on_damaged` is None; or the split is
            empty.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name, colour in (("leaf", "green"), ("sky", "blue")):
        ...         Path(folder, name).mkdir()
        ...         Image.new("RGB", (48, 48), colour).save(Path(folder, name, "1.png"))
        ...     data = read_class_folders(Path(folder), "train")
        >>> data.class_names, data.image.description, data.preprocessing[0].step
        (('leaf', 'sky'), '48×48×3', 'resize')
    """
    found = find_class_folders(folder)
    if found is None:
        return None
    image = options.image
    if image is None:
        image = common_input([path for path, _ in (*found.train, *found.test)], options.polarity, progress)
    characters = all(len(name) == 1 for name in found.class_names)
    steps = default_steps(image, digits=characters) if options.steps is None else options.steps
    chosen = ordered_split(found, split, progress)
    images, rows = _read(chosen, image, steps, options, disk, progress)
    labels = chosen.labels[rows]
    if not len(labels):
        raise DataError(f"{printable(folder)} has no {split} pictures; add pictures to its classes")
    return Dataset(
        name=folder.resolve().name,
        images=images,
        labels=labels,
        class_names=found.class_names,
        licence="unknown",
        sha256=content_sha256(images, labels),
        image=image,
        preprocessing=steps,
    )


def common_input(
    paths: Sequence[Path], polarity: Polarity | None = None, progress: ProgressCallback | None = None
) -> ImageInput:
    """Return the input that fits some pictures: their size if they all have the same, otherwise 32×32.

    A common size above `MAX_COMMON_SIDE` counts as none. The input is grey if all pictures are stored as grey levels.

    Args:
        paths: pictures; those whose header cannot be read are ignored.
        polarity: None for as photographed.
        progress: called with (files done, all files).

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "1.png")
        ...     Image.new("L", (30, 20)).save(path)
        ...     common_input([path]).description
        '20×30'
    """
    forms: set[tuple[tuple[int, int], bool]] = set()
    with warnings.catch_warnings():  # of Pillow, for damaged headers
        warnings.simplefilter("ignore")
        for done, path in enumerate(paths, start=1):
            if form := _form(path):
                forms.add(form)
            if progress is not None:
                progress(done, len(paths))
    sizes = {size for size, _ in forms}
    width, height = next(iter(sizes)) if len(sizes) == 1 else (0, 0)
    if not 0 < max(width, height) <= MAX_COMMON_SIDE:
        width = height = DEFAULT_SIDE
    is_grey = bool(forms) and all(grey for _, grey in forms)
    return ImageInput(height, width, 1 if is_grey else 3, polarity or "as-photographed")


def _form(path: Path) -> tuple[tuple[int, int], bool] | None:
    """Return the size of a picture, upright, and whether it is grey, from its header; None if it cannot be read."""
    try:
        with path.open("rb") as stream, Image.open(stream, formats=tuple(FORMATS)) as picture:
            is_turned = picture.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
            size = picture.size[::-1] if is_turned else picture.size
            return size, picture.mode.split(";")[0] in _GREY_MODES or picture.mode.startswith("I")
    except Exception:  # damaged files raise many types in Pillow; the reader reports them
        return None


def _read(
    chosen: LabelledPictures,
    image: ImageInput,
    steps: tuple[PreprocessingStep, ...],
    options: ReadingOptions,
    disk: Path | None,
    progress: ProgressCallback | None,
) -> tuple[NDArray[np.uint8], NDArray[np.intp]]:
    """Return the images, and which of the pictures they are; damaged ones are missing."""
    count = len(chosen.paths)
    rows: list[int] = []
    damaged: list[str] = []
    with _Store((count, *image.shape), disk) as store:
        for index, path in enumerate(chosen.paths):
            try:
                store.add(_prepared(path, image, steps))
                rows.append(index)
            except ImageError as error:
                damaged.append(str(error))
                if options.on_damaged is not None:
                    options.on_damaged(path, str(error))
            if progress is not None:
                progress(index + 1, count)
    if damaged and options.on_damaged is None:
        more = f"; and {len(damaged) - _NAMED} more" if len(damaged) > _NAMED else ""
        raise DataError(
            f"{len(damaged)} of {count} pictures cannot be read: {'; '.join(damaged[:_NAMED])}{more}; remove or "
            "replace them, or skip them with --skip-damaged"
        )
    return store.images(len(rows)), np.array(rows, np.intp)


def _prepared(path: Path, image: ImageInput, steps: tuple[PreprocessingStep, ...]) -> NDArray[np.uint8]:
    prepared = apply_steps(open_picture(path), steps, image)
    if prepared.blank:
        raise ImageError(f"{printable(path)} is blank: neither ink nor an object was found")
    return prepared.image


class _Store:
    """Images in memory, or in a file that is memory-mapped at the end.

    A file is written and not mapped before, because a full disk would then kill the process.
    """

    def __init__(self, shape: tuple[int, ...], disk: Path | None) -> None:
        self._shape, self._disk, self._count = shape, disk, 0
        self._stream: RawIOBase | None = None
        self._images = np.empty((0, *shape[1:]), np.uint8)

    def __enter__(self) -> "_Store":
        if self._disk is not None:
            self._stream = self._disk.open("wb", buffering=0)  # an error is raised by `write`, not by `close`
            return self
        try:
            self._images = np.empty(self._shape, np.uint8)
        except MemoryError as error:
            size_gb = math.prod(self._shape) / 1e9
            raise DataError(
                f"{self._shape[0]:,} pictures need {size_gb:,.1f} GB of memory; use --stream or a smaller --input"
            ) from error
        return self

    def add(self, image: NDArray[np.uint8]) -> None:
        if self._stream is None:
            self._images[self._count] = image
        else:
            try:
                self._stream.write(image.tobytes())
            except OSError as error:
                raise DataError(f"{self._disk} could not be written: {error.strerror}; free disk space") from error
        self._count += 1

    def __exit__(self, *_: object) -> None:
        if self._stream is not None:
            self._stream.close()

    def images(self, count: int) -> NDArray[np.uint8]:
        if self._disk is None or not count:
            return self._images[:count]
        return np.memmap(self._disk, np.uint8, "r", shape=(count, *self._shape[1:]))
