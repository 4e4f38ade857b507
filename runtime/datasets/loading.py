"""`load()`: read one split of a data set by name or path, in any of the supported formats."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.datasets.catalogue import CATALOGUE, SPLITS, dataset_of
from digits_edge.runtime.datasets.class_folders import find_class_folders
from digits_edge.runtime.datasets.dataset import Dataset, ProgressCallback, check_labels
from digits_edge.runtime.datasets.emnist import emnist_file, is_emnist, label_names
from digits_edge.runtime.datasets.idx import read_images, read_labels
from digits_edge.runtime.datasets.npz import read_npz
from digits_edge.runtime.datasets.options import DEFAULT_OPTIONS, ReadingOptions
from digits_edge.runtime.datasets.picture_data import read_class_folders
from digits_edge.runtime.datasets.tables.block import scaled_error
from digits_edge.runtime.datasets.tables.kaggle_csv import read_csv, read_csv_on_disk
from digits_edge.runtime.errors import DataError, UsageError
from digits_edge.runtime.files import user_cache
from digits_edge.runtime.model.image_input import ImageInput
from digits_edge.runtime.pixel_scale import PixelScale, is_scaled, unscaled

ENVIRONMENT = "DIGITS_EDGE_DATA"
#: Endings of the names of a CSV, and of its compressed files.
TABLES, COMPRESSED = (".csv", ".tsv", ".txt"), (".gz", ".bz2", ".zip")
_PREFIX = {"train": "train", "test": "t10k"}


def load(
    source: str | Path = "mnist",
    split: str = "train",
    *,
    data: str | Path | None = None,
    progress: ProgressCallback | None = None,
    disk: Path | None = None,
    pixel_range: PixelScale | None = None,
    image: ImageInput | None = None,
    options: ReadingOptions = DEFAULT_OPTIONS,
) -> Dataset:
    """Read one split of a data set.

    A name is searched in the folder set by the environment variable DIGITS_EDGE_DATA, then in the user's cache. If it
    is in neither, it is downloaded into the cache. A string that is a name is never used as a path (write
    `./mnist` for a folder), and a `Path` never as a name.

    A single file is read for either split, unless it contains both (an .npz with `x_train` and `x_test`). For training
    and testing, use a folder: a single file would give the same images for both splits.

    Args:
        source: one of

            - a name: "mnist", "fashion-mnist" or "kaggle"
            - the folder of one data set: idx files, or `train.csv` and `test.csv`
            - a folder of pictures whose sub-folders are the classes: `folder/class/…`, or `folder/train/class/…` and
              `folder/test/class/…`; without the latter, a fifth of each class is for testing (`ordered_split`)
            - a folder that contains data sets by name; "mnist" is read
            - an idx file of images, with its labels in the same folder
            - an .npz file
            - a CSV (.csv, .tsv, .txt), as for `read_blocks`

            idx files may be .gz; CSV files .gz, .bz2 or .zip.
        split: "train" or "test".
        data: the value of `--data`; anything that `source` may be. It takes precedence over `source`, which then only
            selects the data set if `data` contains several.
        progress: called during a download with (bytes so far, total bytes or None), starting anew for each file; and
            with (files done, all files) for a folder of pictures, see `read_class_folders`.
        disk: existing folder. The images of a CSV or of pictures are written to a file there and memory-mapped, so that
            they may be larger than the memory. No effect on other formats.
        pixel_range: 255 for pixels from 0 to 255; 1 for pixels from 0 to 1, which are converted to 0 to 255; None for
            255 and an error if they seem to be scaled to 0–1 (`digits_edge.runtime.pixel_scale`).
        image: `image` of `options`: the input to which pictures are converted. Images of other formats are returned as
            they are; see `fitted` to convert them.
        options: input, steps and polarity of the images, and treatment of damaged pictures.

    Returns:
        The split; `labels` is None if the file has no labels.

    Raises:
        DataError: the data set is not found, lacks this split, is malformed, seems to be scaled to 0–1, or cannot be
            downloaded.
        UsageError: `split` is neither "train" nor "test".

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "tiny.npz")
        ...     np.savez(path, images=np.zeros((2, 28, 28), np.uint8), labels=np.array([3, 7]))
        ...     data = load(path)
        >>> data.name, data.images.shape, data.labels.tolist()
        ('tiny', (2, 28, 28), [3, 7])
        >>> len(load("mnist", "test"))  # doctest: +SKIP
        10000
    """
    path, name = locate(source, split, data=data, progress=progress)
    if image is not None:
        options = replace(options, image=image)
    if path.is_dir():
        target = disk and disk / f"{split}.u8"
        found = read_class_folders(path, split, options, disk=target, progress=progress)
        assert found is not None  # `locate` has found pictures
        return found
    content = _read(path, split, disk=disk, pixel_range=pixel_range)
    return _with_options(content, path, name, options)


def locate(
    source: str | Path = "mnist",
    split: str = "train",
    *,
    data: str | Path | None = None,
    progress: ProgressCallback | None = None,
) -> tuple[Path, str]:
    """Find the file that contains the images of a split; download a missing data set of the catalogue.

    Args:
        source: as for `load`.
        split: "train" or "test".
        data: as for `load`.
        progress: as for `load`.

    Returns:
        The file, or the folder of pictures, and the name of the data set. If `source` or `data` is a file, it is
        returned for either split, and so is a folder whose sub-folders are the classes.

    Raises:
        DataError: the data set is not found, lacks this split, or cannot be downloaded.
        UsageError: `split` is neither "train" nor "test".
    """
    if split not in SPLITS:
        raise UsageError(f"{split!r} is not a split; use one of {', '.join(SPLITS)}")
    wanted = source if data is None else data
    if isinstance(wanted, str) and wanted in CATALOGUE:
        return _find_known(wanted, split, progress), wanted
    path = Path(wanted).expanduser()
    if path.is_file():
        return path, path.name.split(".")[0]
    return _find_in_folder(path, split, "mnist" if data is None else str(source))


def _find_in_folder(path: Path, split: str, name: str) -> tuple[Path, str]:
    """Find a split in the folder of one data set, of data sets by name, or of pictures."""
    if found := emnist_file(path, split):
        return found
    if not path.exists():
        raise DataError(f"{path}: no such file or folder; name a path or one of {', '.join(CATALOGUE)}")
    if file := _file_in(path, split):
        return file, path.resolve().name
    if file := _file_by_name(path, name, split):
        return file, name
    if find_class_folders(path):
        return path, path.resolve().name
    raise DataError(
        f"{path} has no {split} split: it lacks {_PREFIX[split]}-images-idx3-ubyte and {split}.csv (also as .gz), "
        f"so does {path / name}, and it has no sub-folders of pictures; name the folder of a data set"
    )


def is_table(path: Path) -> bool:
    """Whether a file is a CSV by its name: `.csv`, `.tsv` or `.txt`, plain or compressed.

    Example:
        >>> is_table(Path("train.csv.zip")), is_table(Path("mnist.npz"))
        (True, False)
    """
    name = path.name.lower()
    plain = next((name.removesuffix(ending) for ending in COMPRESSED if name.endswith(ending)), name)
    return plain.endswith(TABLES)


def data_folders() -> list[Path]:
    """Return the folders searched for data sets by name: that set by DIGITS_EDGE_DATA, then the user's cache."""
    named = os.environ.get(ENVIRONMENT)
    return [*([Path(named).expanduser()] if named else []), user_cache() / "datasets"]


def _find_known(name: str, split: str, progress: ProgressCallback | None) -> Path:
    """Find the file of a data set of the catalogue; download it if it is missing."""
    folders = data_folders()
    if os.environ.get(ENVIRONMENT) and not folders[0].is_dir():
        raise DataError(
            f"{ENVIRONMENT} is {folders[0]}, which is not a folder; set it to a folder that contains data sets"
        )
    for folder in folders:
        if found := _file_by_name(folder, name, split):
            return found
    known, cache = CATALOGUE[name], folders[-1]
    if not known.mirrors:
        raise DataError(
            f"{name} must be downloaded by hand: put {split}.csv into {cache / name}, or name it with --data"
        )
    from digits_edge.runtime.datasets.download import download  # importing urllib and ssl takes 30 ms

    download(known, split, cache / name, progress=progress)
    return cache / name / known.files[split][0].name


def _file_by_name(folder: Path, name: str, split: str) -> Path | None:
    """Find a split of the data set `name` in a folder that contains data sets by name."""
    archive = folder / f"{name}.npz"
    return _file_in(folder / name, split) or (archive if archive.is_file() else None)


def _file_in(folder: Path, split: str) -> Path | None:
    """Find the file with the images of a split in the folder of one data set."""
    names = (f"{_PREFIX[split]}-images-idx3-ubyte", f"{_PREFIX[split]}-images.idx3-ubyte", f"{split}.csv")
    return _first_file(folder, names)


def _first_file(folder: Path, names: tuple[str, ...]) -> Path | None:
    candidates = (folder / (name + suffix) for name in names for suffix in ("", *_endings(name)))
    return next((path for path in candidates if path.is_file()), None)


def _endings(name: str) -> tuple[str, ...]:
    """Return the endings of the compressed files of a name."""
    return COMPRESSED if name.endswith(TABLES) else (".gz",)


@dataclass(frozen=True, eq=False)
class _Content:
    """Content of a file: images and labels as in `Dataset`, and class names, None if the file does not name them."""

    images: NDArray[np.uint8]
    labels: NDArray[np.unsignedinteger] | None
    class_names: tuple[str, ...] | None = None


def _read(path: Path, split: str, *, disk: Path | None, pixel_range: PixelScale | None) -> _Content:
    """Read a split from a file; the file name decides the format."""
    kind = path.name.removesuffix(".gz")
    if kind.endswith(".npz"):
        found = read_npz(path, split, pixel_range=pixel_range)
        content = _Content(found.images, found.labels, found.class_names)
    elif is_table(path):
        content = _Content(*_read_table(path, disk and disk / f"{split}.u8", pixel_range))
    elif "images" in kind and kind.endswith("ubyte"):
        content = _read_idx(path)
        if pixel_range == 1:
            content = replace(content, images=_unscaled(content.images, path))
    else:
        raise DataError(
            f"{path}: unknown file format, expected .npz, .csv (also .gz, .bz2, .zip), an idx file such as "
            "t10k-images-idx3-ubyte(.gz), or a folder of pictures"
        )
    if pixel_range is None and is_scaled(content.images):
        raise scaled_error(str(path))
    return content


def _with_options(content: _Content, path: Path, name: str, options: ReadingOptions) -> Dataset:
    """Create the data set of a file that is not a picture."""
    images = content.images
    if is_emnist(path) if options.transposed is None else options.transposed:
        images = np.ascontiguousarray(np.swapaxes(images, 1, 2))
    return dataset_of(name, images, content.labels, content.class_names, polarity=options.polarity)


def _read_table(
    path: Path, disk: Path | None, pixel_range: PixelScale | None
) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    if disk is None:
        return read_csv(path, pixel_range=pixel_range)
    return read_csv_on_disk(path, disk, pixel_range=pixel_range)


def _unscaled(images: NDArray[np.uint8], path: Path) -> NDArray[np.uint8]:
    pixels = unscaled(images)
    if pixels is None:
        raise DataError(f"{path} has pixels above 1; read it without pixel_range=1")
    return pixels


def _read_idx(path: Path) -> _Content:
    """Read images, and their labels from the same folder."""
    name = path.name.removesuffix(".gz").replace("images", "labels").replace("idx3", "idx1")
    labels_path = _first_file(path.parent, (name, name.replace("-idx1", ".idx1"), name.replace(".idx1", "-idx1")))
    if labels_path is None:
        raise DataError(f"{path} has no labels: {name} (also as .gz) is not in its folder; add it")
    images, labels, named = read_images(path), read_labels(labels_path), label_names(path)
    if named is None:
        remedy = "correct it, or describe the classes in mapping.txt in its folder"
        return _Content(images, check_labels(images, labels, labels_path, remedy=remedy))
    last = named.first + len(named.names) - 1
    if labels.size and not named.first <= labels.min() <= labels.max() <= last:
        raise DataError(
            f"{labels_path} has labels from {labels.min()} to {labels.max()}, expected {named.first} to {last}; use "
            "the mapping of the same file"
        )
    shifted = labels.astype(np.int64) - named.first
    return _Content(images, check_labels(images, shifted, labels_path, len(named.names)), named.names)
