"""Find the pictures of a folder whose sub-folders are the classes: `find_class_folders()`.

The order of the pictures and the split into training and test images depend on the content of the files only, so they
are the same on every machine and for every file name.
"""

import hashlib
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.datasets.dataset import MAX_CLASSES, ProgressCallback, label_dtype
from digits_edge.runtime.errors import DataError
from digits_edge.runtime.preprocessing.pictures import PICTURE_SUFFIXES, SUFFIXES, printable

#: Names of the folder of the test images, in the order of preference.
_TEST_FOLDERS = ("test", "val", "valid", "validation")
#: Share of the pictures of each class that are test images if there is no folder of them.
TEST_SHARE = 0.2


@dataclass(frozen=True)
class ClassFolders:
    """Pictures of a data set by class.

    Attributes:
        class_names: names of the classes, in label order: by number if all are numbers, otherwise by code point.
        train: paths of the pictures and their class indices. Without a test folder, these are all pictures.
        test: paths of the pictures and their class indices; empty if there is no folder of test images.
    """

    class_names: tuple[str, ...]
    train: tuple[tuple[Path, int], ...]
    test: tuple[tuple[Path, int], ...]


@dataclass(frozen=True, eq=False)
class LabelledPictures:
    """Pictures of one split, ordered by the SHA-256 of their files.

    Attributes:
        paths: paths of the pictures.
        labels: class indices, uint8 or uint16, (N,).
    """

    paths: tuple[Path, ...]
    labels: NDArray[np.unsignedinteger]


def find_class_folders(folder: Path) -> ClassFolders | None:
    """Find the pictures of a folder: `folder/class/…`, or `folder/train/class/…` and `folder/test/class/…`.

    The folder of the test images may also be named `val`, `valid` or `validation`; the first of these names is read.
    Hidden files and folders, files that are not pictures by their suffix, and deeper folders are ignored.

    Args:
        folder: an existing folder.

    Returns:
        The pictures, or None if no sub-folder contains a picture.

    Raises:
        DataError: a folder cannot be listed, there are fewer than two classes, a class has no pictures, or a test class
            is not a training class.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("cat/1.png", "dog/2.JPG", "dog/notes.txt"):
        ...         Path(folder, name).parent.mkdir(exist_ok=True)
        ...         Path(folder, name).touch()
        ...     found = find_class_folders(Path(folder))
        >>> found.class_names, [(path.name, label) for path, label in found.train]
        (('cat', 'dog'), [('1.png', 0), ('2.JPG', 1)])
    """
    inside = _folders_in(folder)
    train = inside.get("train")
    if train is None or not _folders_in(train):  # without folders in it, "train" is a class
        train, inside = folder, {}
    classes = _pictures_by_class(train)
    if not any(classes.values()):
        return None
    names = _class_names(classes, train)
    test = next((inside[name] for name in _TEST_FOLDERS if name in inside), None)
    test_classes = {} if test is None else _pictures_by_class(test)
    if unknown := sorted(set(test_classes) - set(names)):
        raise DataError(
            f"{printable(test or folder)} has the class {printable(unknown[0])}, which {printable(train)} lacks; add "
            "it there or remove it"
        )
    if test is not None and not any(test_classes.values()):
        raise DataError(f"{printable(test)} contains no pictures in folders of classes; add them or remove the folder")
    return ClassFolders(names, _labelled(classes, names), _labelled(test_classes, names))


def ordered_split(found: ClassFolders, split: str, progress: ProgressCallback | None = None) -> LabelledPictures:
    """Order the pictures of a split by the SHA-256 of their files.

    Without a folder of test images, a fifth of the distinct pictures of each class, those with the smallest SHA-256,
    are the test images; a class of one picture has none.

    Args:
        found: result of `find_class_folders`.
        split: "train" or "test".
        progress: called with (files read, all files).

    Raises:
        DataError: a file cannot be read.
    """
    is_separate = bool(found.test)
    files = found.test if is_separate and split == "test" else found.train
    digests = []
    for index, (path, _) in enumerate(files):
        digests.append(_digest(path))
        if progress is not None:
            progress(index + 1, len(files))
    chosen = sorted(zip(digests, (label for _, label in files), range(len(files)), strict=True))
    if not is_separate:
        of_test = _test_digests([each[:2] for each in chosen])
        chosen = [each for each in chosen if (each[:2] in of_test) == (split == "test")]
    paths = tuple(files[index][0] for _, _, index in chosen)
    labels = np.array([label for _, label, _ in chosen], np.int64)
    return LabelledPictures(paths, labels.astype(label_dtype(len(found.class_names))))


def _folders_in(folder: Path) -> dict[str, Path]:
    """Return the visible sub-folders by their names in Unicode's composed form; macOS stores the decomposed one."""
    entries = [entry for entry in _listed(folder) if entry.is_dir() and not entry.name.startswith("__MACOSX")]
    return {unicodedata.normalize("NFC", entry.name): entry for entry in entries}


def _pictures_by_class(folder: Path) -> dict[str, list[Path]]:
    return {
        name: [entry for entry in _listed(inside) if entry.suffix.lower() in PICTURE_SUFFIXES and entry.is_file()]
        for name, inside in _folders_in(folder).items()
    }


def _listed(folder: Path) -> list[Path]:
    """Return the visible entries of a folder."""
    try:
        return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise DataError(f"{printable(folder)} cannot be listed: {error.strerror}; check its permissions") from error


def _class_names(classes: dict[str, list[Path]], folder: Path) -> tuple[str, ...]:
    if empty := sorted(name for name, pictures in classes.items() if not pictures):
        more, suffixes = f" and {len(empty) - 1} more" if len(empty) > 1 else "", ", ".join(sorted(SUFFIXES))
        raise DataError(
            f"{printable(folder)}: the class {printable(empty[0])}{more} has no pictures ({suffixes}) in its folder; "
            "add some or remove the folder"
        )
    if odd := [name for name in classes if not name.isprintable() or not name.strip()]:
        raise DataError(f"{printable(folder)}: the name of the folder {odd[0]!r} cannot be that of a class; rename it")
    if not 2 <= len(classes) <= MAX_CLASSES:
        raise DataError(
            f"{printable(folder)}: the number of folders of pictures is {len(classes)}; name a folder with one for "
            f"each of 2 to {MAX_CLASSES:,} classes"
        )
    numeric = all(name.isascii() and name.isdecimal() for name in classes)
    return tuple(sorted(classes, key=lambda name: (int(name), name)) if numeric else sorted(classes))


def _labelled(classes: dict[str, list[Path]], names: Sequence[str]) -> tuple[tuple[Path, int], ...]:
    return tuple((path, label) for label, name in enumerate(names) for path in classes.get(name, ()))


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{printable(path)} could not be read: {error.strerror or error}") from error


def _test_digests(pictures: Sequence[tuple[str, int]]) -> set[tuple[str, int]]:
    """Return (SHA-256, class) of the test images of a data set that is not split."""
    by_class: defaultdict[int, set[str]] = defaultdict(set)
    for digest, label in pictures:
        by_class[label].add(digest)
    chosen: set[tuple[str, int]] = set()
    for label, distinct in by_class.items():
        count = max(round(len(distinct) * TEST_SHARE), 1 if len(distinct) > 1 else 0)
        chosen.update((digest, label) for digest in sorted(distinct)[:count])
    return chosen
