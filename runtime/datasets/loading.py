"""`load()`: one split of a data set, by name or by path, in whichever of the known formats it lies there."""

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.datasets.catalogue import CATALOGUE, SPLITS, identified
from digits_edge.runtime.datasets.dataset import Dataset, ProgressCallback, check_labels, content_sha256
from digits_edge.runtime.datasets.idx import read_images, read_labels
from digits_edge.runtime.datasets.kaggle_csv import read_csv, read_csv_on_disk
from digits_edge.runtime.datasets.npz import read_npz
from digits_edge.runtime.errors import DataError, UsageError
from digits_edge.runtime.files import user_cache

ENVIRONMENT = "DIGITS_EDGE_DATA"
_PREFIX = {"train": "train", "test": "t10k"}


def load(
    source: str | Path = "mnist",
    split: str = "train",
    *,
    data: str | Path | None = None,
    progress: ProgressCallback | None = None,
    disk: Path | None = None,
) -> Dataset:
    """Read one split of a data set.

    A name is looked for in the folder that the environment variable DIGITS_EDGE_DATA names, then in the user's cache;
    if it is in neither, it is downloaded into the cache. A name is never taken as a path, nor a `Path` as a
    name: write `./mnist` for the folder here.

    A file is read for whichever split is asked, unless it holds both (an .npz with `x_train` and `x_test`): asked for
    both splits, a training would get the same images twice, so give it a folder.

    Args:
        source: a name ("mnist", "fashion-mnist", "kaggle"); a folder of one set (idx, or `train.csv` and `test.csv`); a
            folder that holds sets by name, of which "mnist" is taken; an idx file of images with its labels beside
            it; an .npz; a Kaggle CSV. idx and CSV may be .gz.
        split: "train" or "test".
        data: what stands after `--data`: anything `source` may be. It goes before `source`, which then only says which
            set to take where `data` holds several.
        progress: called while downloading, as (bytes so far, bytes in all or None), anew for each file.
        disk: an existing folder. The images of a CSV are put there in a file and mapped, so that the CSV may be larger
            than the memory; other formats are read as ever.

    Returns:
        The split; labels are None where the file has none.

    Raises:
        DataError: not found, without this split, malformed, or not to be downloaded; names the file and the mend.
        UsageError: another `split`.
    """
    path, name = locate(source, split, data=data, progress=progress)
    return _read(path, split, name=name, disk=disk)


def locate(
    source: str | Path = "mnist",
    split: str = "train",
    *,
    data: str | Path | None = None,
    progress: ProgressCallback | None = None,
) -> tuple[Path, str]:
    """Find the file that holds the images of a split; a known set that is nowhere is downloaded.

    Args:
        source: as for `load`.
        split: "train" or "test".
        data: as for `load`.
        progress: as for `load`.

    Returns:
        The file, and the name of the set. A file that was named is returned for either split.

    Raises:
        DataError: not found, without this split, or not to be downloaded.
        UsageError: another `split`.
    """
    if split not in SPLITS:
        raise UsageError(f"{split!r} is not a split; use one of {', '.join(SPLITS)}")
    wanted = source if data is None else data
    if isinstance(wanted, str) and wanted in CATALOGUE:
        return _find_known(wanted, split, progress), wanted
    path = Path(wanted).expanduser()
    if path.is_file():
        return path, path.name.split(".")[0]
    if not path.exists():
        raise DataError(f"{path}: no such file or folder; the sets known by name are {', '.join(CATALOGUE)}")
    name = "mnist" if data is None else str(source)
    if found := _file_in(path, split):
        return found, path.resolve().name
    if found := _file_by_name(path, name, split):
        return found, name
    raise DataError(
        f"{path} has no {split} split: neither {_PREFIX[split]}-images-idx3-ubyte nor {split}.csv (.gz or not), "
        f"nor the folder {name} with them; name the folder of a set"
    )


def data_folders() -> list[Path]:
    """Where sets are looked for by their names: the folder that DIGITS_EDGE_DATA names, then the user's cache."""
    named = os.environ.get(ENVIRONMENT)
    return [*([Path(named).expanduser()] if named else []), user_cache() / "datasets"]


def _find_known(name: str, split: str, progress: ProgressCallback | None) -> Path:
    """Find the file of a set of the catalogue; download it where it is nowhere."""
    folders = data_folders()
    if os.environ.get(ENVIRONMENT) and not folders[0].is_dir():
        raise DataError(f"{ENVIRONMENT} names {folders[0]}, which is not a folder; set it to one that holds the sets")
    for folder in folders:
        if found := _file_by_name(folder, name, split):
            return found
    known, cache = CATALOGUE[name], folders[-1]
    if not known.mirrors:
        raise DataError(
            f"{name} has to be fetched by hand: put {split}.csv into {cache / name}, or name it with --data"
        )
    from digits_edge.runtime.datasets.download import download  # 30 ms of urllib and ssl that few calls need

    download(known, split, cache / name, progress=progress)
    return cache / name / known.files[split][0].name


def _file_by_name(folder: Path, name: str, split: str) -> Path | None:
    """Find a split of the set `name` in a folder that holds sets by name."""
    archive = folder / f"{name}.npz"
    return _file_in(folder / name, split) or (archive if archive.is_file() else None)


def _file_in(folder: Path, split: str) -> Path | None:
    """Find the file with the images of a split in the folder of one set."""
    names = (f"{_PREFIX[split]}-images-idx3-ubyte", f"{_PREFIX[split]}-images.idx3-ubyte", f"{split}.csv")
    return _first_file(folder, names)


def _first_file(folder: Path, names: tuple[str, ...]) -> Path | None:
    candidates = (folder / (name + suffix) for name in names for suffix in ("", ".gz"))
    return next((path for path in candidates if path.is_file()), None)


def _read(path: Path, split: str, *, name: str, disk: Path | None) -> Dataset:
    """Read the split in a file whose name tells the format."""
    kind = path.name.removesuffix(".gz")
    if kind.endswith(".npz"):
        images, labels = read_npz(path, split)
    elif kind.endswith(".csv"):
        images, labels = read_csv(path) if disk is None else read_csv_on_disk(path, disk / f"{split}.u8")
    elif "images" in kind and kind.endswith("ubyte"):
        images, labels = _read_idx(path)
    else:
        raise DataError(f"{path} is none of .npz, .csv and idx images (….ubyte, .gz or not); name one of these")
    sha256 = content_sha256(images, labels)
    known = identified(name, sha256)
    return Dataset(known.name, images, labels, known.class_names, known.licence, sha256)


def _read_idx(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Read images, and their labels from the file beside them."""
    name = path.name.removesuffix(".gz").replace("images", "labels").replace("idx3", "idx1")
    labels_path = _first_file(path.parent, (name, name.replace("-idx1", ".idx1"), name.replace(".idx1", "-idx1")))
    if labels_path is None:
        raise DataError(f"{path} has no labels: {name} (.gz or not) is not beside it; put it there")
    images = read_images(path)
    return images, check_labels(images, read_labels(labels_path), labels_path)
