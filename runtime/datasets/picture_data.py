"""Read a folder whose sub-folders are the classes as a `Dataset`: `read_class_folders()`."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from digits_edge.runtime.datasets.class_folders import LabelledPictures, find_class_folders, ordered_split
from digits_edge.runtime.datasets.dataset import Dataset, ProgressCallback, content_sha256
from digits_edge.runtime.datasets.options import DEFAULT_OPTIONS, ReadingOptions
from digits_edge.runtime.errors import DataError, InputError
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
        progress: called with (files done, all files): first while their SHA-256 is computed, then while they are read.

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
    image = options.image or common_input([path for path, _ in (*found.train, *found.test)], options.polarity)
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


def common_input(paths: Sequence[Path], polarity: Polarity | None = None) -> ImageInput:
    """Return the input that fits some pictures: their size if they all have the same, otherwise 32×32.

    A common size above `MAX_COMMON_SIDE` counts as none. The input is grey if all pictures are stored as grey levels.

    Args:
        paths: pictures; those whose header cannot be read are ignored.
        polarity: None for as photographed.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "1.png")
        ...     Image.new("L", (30, 20)).save(path)
        ...     common_input([path]).description
        '20×30'
    """
    forms = {form for form in map(_form, paths) if form is not None}
    sizes = {size for size, _ in forms}
    width, height = next(iter(sizes)) if len(sizes) == 1 else (0, 0)
    if not 0 < max(width, height) <= MAX_COMMON_SIDE:
        width = height = DEFAULT_SIDE
    is_grey = bool(forms) and all(grey for _, grey in forms)
    return ImageInput(height, width, 1 if is_grey else 3, polarity or "as-photographed")


def _form(path: Path) -> tuple[tuple[int, int], bool] | None:
    """Return the size of a picture, upright, and whether it is grey, from its header; None if it cannot be read."""
    try:
        with Image.open(io.BytesIO(path.read_bytes()), formats=tuple(FORMATS)) as picture:
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
    shape = (count, *image.shape)
    images = np.empty(shape, np.uint8) if disk is None or not count else np.memmap(disk, np.uint8, "w+", shape=shape)
    rows: list[int] = []
    damaged: list[str] = []
    for index, path in enumerate(chosen.paths):
        try:
            images[len(rows)] = apply_steps(open_picture(path), steps, image).image
            rows.append(index)
        except InputError as error:
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
    return images[: len(rows)], np.array(rows, np.intp)
