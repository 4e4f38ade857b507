"""EMNIST (Cohen, Afshar, Tapson and van Schaik 2017): the names of its files and classes.

The files are in idx format. Their images are transposed, and the labels of `letters` begin at 1. Class names are those
of the file `…-mapping.txt`, which has a line for each label: the label and the code points of its characters.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from digits_edge.runtime.datasets.dataset import MAX_CLASSES
from digits_edge.runtime.errors import DataError
from digits_edge.runtime.preprocessing.pictures import printable

_DIGITS, _UPPER = "0123456789", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#: Lower-case letters whose form differs from the upper-case letter.
_OWN_LOWER = "abdefghnqrt"
#: Classes of the published variants; without them, a file needs a mapping.
_VARIANTS = {
    "balanced": _DIGITS + _UPPER + _OWN_LOWER,
    "bymerge": _DIGITS + _UPPER + _OWN_LOWER,
    "byclass": _DIGITS + _UPPER + _UPPER.lower(),
    "letters": _UPPER,
    "digits": _DIGITS,
    "mnist": _DIGITS,
}
_IMAGES = re.compile(r"(emnist-([a-z]+))-(train|test)-images[.-]idx3-ubyte(\.gz)?", re.IGNORECASE)
_MAX_MAPPING_BYTES = 10_000_000


@dataclass(frozen=True)
class LabelNames:
    """Meaning of the labels of a file.

    Attributes:
        first: smallest label; that of class 0.
        names: names of the classes, in label order.
    """

    first: int
    names: tuple[str, ...]


def emnist_file(folder: Path, split: str) -> tuple[Path, str] | None:
    """Find the images of a split in a folder, or by the path of a folder and the beginning of the files' names.

    Args:
        folder: folder with the files of one variant, or a path such as `folder/emnist-letters`.
        split: "train" or "test".

    Returns:
        The file and the name of the data set, such as "emnist-letters"; None if there is none.

    Raises:
        DataError: the folder has several variants.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Path(folder, "emnist-letters-test-images-idx3-ubyte.gz").touch()
        ...     emnist_file(Path(folder), "test")[1], emnist_file(Path(folder, "emnist-letters"), "test")[1]
        ('emnist-letters', 'emnist-letters')
    """
    within, variant = (folder, None) if folder.is_dir() else (folder.parent, folder.name.lower())
    try:
        entries = sorted(within.iterdir())
    except OSError:
        return None
    matches = [(entry, match) for entry in entries if (match := _IMAGES.fullmatch(entry.name)) and entry.is_file()]
    found = {match[1].lower(): entry for entry, match in reversed(matches) if match[3].lower() == split}
    if variant is not None:
        return (found[variant], variant) if variant in found else None
    if len(found) > 1:
        names = sorted(found)
        raise DataError(f"{printable(folder)} has {', '.join(names)}; name one of them: {printable(folder / names[0])}")
    return next(((path, name) for name, path in found.items()), None)


def is_emnist(path: Path) -> bool:
    """Whether a file is of EMNIST by its name, so that its images are transposed; .npz files are not published.

    Example:
        >>> is_emnist(Path("emnist-byclass-train-images-idx3-ubyte")), is_emnist(Path("train-images-idx3-ubyte"))
        (True, False)
    """
    name = path.name.lower()
    return name.startswith("emnist") and not name.endswith(".npz")


def label_names(path: Path) -> LabelNames | None:
    """Find the meaning of the labels of a file: by its mapping, otherwise by its name; None if neither is known.

    Args:
        path: idx file of images. Its mapping is `emnist-letters-mapping.txt`, for example, or `mapping.txt`.

    Raises:
        DataError: the mapping is malformed.

    Example:
        >>> found = label_names(Path("emnist-letters-train-images-idx3-ubyte"))
        >>> found.first, len(found.names)
        (1, 26)
    """
    match = _IMAGES.fullmatch(path.name)
    for name in ([f"{match[1]}-mapping.txt"] if match else []) + ["mapping.txt"]:
        if (mapping := path.with_name(name)).is_file():
            return _read_mapping(mapping)
    variant = match[2].lower() if match else ""
    if variant not in _VARIANTS:
        return None
    return LabelNames(1 if variant == "letters" else 0, tuple(_VARIANTS[variant]))


def _read_mapping(path: Path) -> LabelNames:
    try:
        with path.open("rb") as stream:
            lines = stream.read(_MAX_MAPPING_BYTES).splitlines()
    except OSError as error:
        raise DataError(f"{printable(path)} could not be read: {error.strerror or error}") from error
    labels: dict[int, str] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            label, code, *_ = (int(field) for field in line.split())
            labels[label] = chr(code)
        except (ValueError, OverflowError) as error:
            raise DataError(
                f"{printable(path)}, line {number}: expected a label and a code point, such as 10 65; correct it"
            ) from error
    first = min(labels, default=0)
    names = tuple(labels[label] for label in sorted(labels))
    if not 2 <= len(names) <= MAX_CLASSES or sorted(labels) != [*range(first, first + len(names))]:
        raise DataError(f"{printable(path)}: expected consecutive labels of at least two classes; correct it")
    if len(set(names)) < len(names):
        raise DataError(f"{printable(path)}: two labels have the same character; correct it")
    return LabelNames(first, names)
