"""Reading a data set for its report: both splits, and of a broken file the sound rows with an account of the others.

Everywhere else a missing or impossible value ends the reading. Here it is counted, since that is what is asked for.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BufferedIOBase
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.datasets import Dataset, load
from digits_edge.runtime.datasets.catalogue import SPLITS, identified
from digits_edge.runtime.datasets.dataset import CLASSES, IMAGE_SHAPE, ProgressCallback, content_sha256
from digits_edge.runtime.datasets.kaggle_csv import LABEL, PIXELS, read_header
from digits_edge.runtime.datasets.loading import locate
from digits_edge.runtime.datasets.opening import opened
from digits_edge.runtime.errors import DataError

#: What the one split of a file is called that is not parted into train and test.
WHOLE = "file"
#: How many faults are listed; all are counted.
LISTED = 20

MISSING, OUT_OF_RANGE, MALFORMED, WRONG_LENGTH = "missing", "out of range", "malformed", "wrong number of fields"
#: What other programs write for a value that is not there, in lower case.
_NOTHING = {b"", b"na", b"n/a", b"nan", b"null", b"none", b"?"}
_WHOLE_NUMBER = re.compile(rb"-?[0-9]{1,18}")
#: A row has about 3 kB; a longer line is none, and is not to fill the memory.
_LINE_BYTES = 64 * 1024


@dataclass(frozen=True)
class Fault:
    """One value, or one row, that is not as it must be.

    Attributes:
        row: counted from 1.
        column: "label" or "pixel0" to "pixel783"; empty where the row as a whole is meant.
        value: as it stands there, shortened.
        kind: "missing", "out of range", "malformed" or "wrong number of fields".
    """

    row: int
    column: str
    value: str
    kind: str


@dataclass(frozen=True)
class Account:
    """What is wrong with the values of a file.

    Attributes:
        rows: in the file.
        broken_rows: rows with at least one fault; they are left out of everything else.
        missing: fields without a value.
        out_of_range: pixels that are not 0 to 255, labels that are not 0 to 9.
        malformed: fields that are neither missing nor a whole number written in one to three digits.
        wrong_length: rows with too few or too many fields, whose fields are not counted.
        first: the first `LISTED` faults.
    """

    rows: int
    broken_rows: int = 0
    missing: int = 0
    out_of_range: int = 0
    malformed: int = 0
    wrong_length: int = 0
    first: tuple[Fault, ...] = ()


@dataclass(frozen=True, eq=False)
class Reading:
    """One split as it was read.

    Attributes:
        split: "train", "test", or "file" for a file that is not parted.
        path: the file of the images.
        dataset: its sound rows.
        rows: the number of each of them in the file, counted from 1, (N,).
        account: of what is not sound.
    """

    split: str
    path: Path
    dataset: Dataset
    rows: NDArray[np.int64]
    account: Account


def read_splits(
    source: str | None, *, downloading: ProgressCallback | None = None, reading: ProgressCallback | None = None
) -> tuple[Reading, ...]:
    """Read the splits that a data set has: train and test, one of them, or a file that is not parted.

    Args:
        source: what stands after `--data`; None for mnist.
        downloading: called while a known set is downloaded.
        reading: called while a broken CSV is read row by row.

    Raises:
        DataError: none is found; or a file is damaged, is not what its name says, or has no sound row at all.
    """
    found, errors = {}, []
    for split in SPLITS:
        try:
            found[split] = locate(split=split, data=source, progress=downloading)
        except DataError as error:
            errors.append(error)
    if not found:
        raise errors[0]
    return tuple(_read(source, split, path, name, reading) for split, (path, name) in _parted(found).items())


def _parted(found: dict[str, tuple[Path, str]]) -> dict[str, tuple[Path, str]]:
    """What to read under which name: the one file of both splits may hold both, one of them, or be not parted."""
    files = {path for path, _ in found.values()}
    if len(files) == len(found) > 1:
        return found
    (path,) = files
    if path.suffix != ".npz":
        return found if len(found) == 1 else {WHOLE: found[SPLITS[0]]}
    try:
        with np.load(path, allow_pickle=False) as archive:
            names = set(archive.files)
    except Exception:  # a damaged archive; the reader says what is wrong with it
        return {SPLITS[0]: found[SPLITS[0]]}
    if "images" in names:
        return {WHOLE: found[SPLITS[0]]}
    return {split: found[split] for split in SPLITS if f"x_{split}" in names} or {SPLITS[0]: found[SPLITS[0]]}


def _read(source: str | None, split: str, path: Path, name: str, progress: ProgressCallback | None) -> Reading:
    asked = SPLITS[0] if split == WHOLE else split
    try:
        dataset = load(split=asked, data=source)
    except DataError as error:
        images, labels, rows, account = _read_what_is_sound(path, asked, error, progress)
        sha256 = content_sha256(images, labels)
        known = identified(name, sha256)
        dataset = Dataset(known.name, images, labels, known.class_names, known.licence, sha256)
        return Reading(split, path, dataset, rows, account)
    if not len(dataset):
        raise DataError(f"{path} holds no images; name another file")
    return Reading(split, path, dataset, np.arange(1, len(dataset) + 1), Account(len(dataset)))


_Sound = tuple[NDArray[np.uint8], NDArray[np.uint8] | None, NDArray[np.int64], Account]


def _read_what_is_sound(path: Path, split: str, refusal: DataError, progress: ProgressCallback | None) -> _Sound:
    """What is sound of a file that was refused; the refusal again where rows are not what is wrong with it."""
    if path.name.removesuffix(".gz").endswith(".csv"):
        sound = read_csv_rows(path, progress)
    elif path.suffix == ".npz":
        sound = _read_npz_rows(path, split, refusal)
    else:
        raise refusal
    account = sound[-1]
    if not account.broken_rows:
        raise refusal
    if account.broken_rows == account.rows:
        first = account.first[0]
        raise DataError(
            f"{path}: none of its {account.rows:,} rows is sound (the first fault: row {first.row}, "
            f"{f'{first.column} {first.value!r}' if first.column else first.value}, {first.kind}); mend it"
        )
    return sound


@dataclass
class _Tally:
    """Faults as they are found."""

    kinds: Counter[str] = field(default_factory=Counter)
    first: list[Fault] = field(default_factory=list)

    def add(self, row: int, column: str, value: str, kind: str) -> None:
        self.kinds[kind] += 1
        if len(self.first) < LISTED:
            self.first.append(Fault(row, column, value[:20], kind))

    def account(self, rows: int, broken_rows: int) -> Account:
        return Account(
            rows=rows,
            broken_rows=broken_rows,
            missing=self.kinds[MISSING],
            out_of_range=self.kinds[OUT_OF_RANGE],
            malformed=self.kinds[MALFORMED],
            wrong_length=self.kinds[WRONG_LENGTH],
            first=tuple(self.first),
        )


def read_csv_rows(path: Path, progress: ProgressCallback | None = None) -> _Sound:
    """Read a CSV as Kaggle has it row by row, and go on after a fault.

    Returns:
        Of the sound rows: images, uint8 (n, 28, 28); labels, uint8 (n,), or None without a label column; their numbers,
        (n,), counted from 1. Then the account of the whole file.

    Raises:
        DataError: unreadable, or with another header.
    """
    tally, table, numbers, row = _Tally(), bytearray(), [], 0
    with opened(path, progress) as stream:
        columns = read_header(stream, str(path))
        for row, line in enumerate(_lines(stream), start=1):
            values = _sound_values(line, columns, row, tally)
            if values is not None:
                table += values
                numbers.append(row)
    found = np.frombuffer(table, np.uint8).reshape(-1, len(columns))
    images = np.ascontiguousarray(found[:, -len(PIXELS) :]).reshape(-1, *IMAGE_SHAPE)
    labels = found[:, 0].copy() if columns[0] == LABEL else None
    return images, labels, np.array(numbers, np.int64), tally.account(row, row - len(numbers))


def _lines(stream: BufferedIOBase) -> Iterator[bytes]:
    """Yield the lines without their ends; blank ones at the end of the file are not rows."""
    blank = 0
    while line := stream.readline(_LINE_BYTES):
        line = line.rstrip(b"\r\n")
        if not line:
            blank += 1
            continue
        yield from [b""] * blank
        blank = 0
        yield line


def _sound_values(line: bytes, columns: tuple[str, ...], row: int, tally: _Tally) -> bytes | None:
    """Return the values of a row, a byte each; None, and its faults in the tally, where there are any."""
    fields = line.split(b",")
    if len(fields) != len(columns):
        tally.add(row, "", f"{len(fields) if line else 0} of {len(columns)} fields", WRONG_LENGTH)
        return None
    try:  # 30 times faster than field by field
        values = bytes(map(int, fields))
        if b"".join(fields).isdigit() and max(map(len, fields)) <= 3 and (columns[0] != LABEL or values[0] < CLASSES):
            return values
    except ValueError:
        pass
    for column, text in zip(columns, fields, strict=True):
        if kind := _kind_of_fault(text, CLASSES - 1 if column == LABEL else 255):
            tally.add(row, column, text.decode(errors="backslashreplace"), kind)
    return None


def _kind_of_fault(text: bytes, most: int) -> str | None:
    if text.strip().lower() in _NOTHING:
        return MISSING
    if not _WHOLE_NUMBER.fullmatch(text):
        return MALFORMED
    if not 0 <= int(text) <= most:
        return OUT_OF_RANGE
    return None if text.isdigit() and len(text) <= 3 else MALFORMED


def _read_npz_rows(path: Path, split: str, refusal: DataError) -> _Sound:
    """Read an archive whose numbers are of another type, or whose labels are out of range."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            parted = "images" not in archive.files
            images = np.asarray(archive[f"x_{split}" if parted else "images"])
            name = f"y_{split}" if parted else "labels"
            labels = np.asarray(archive[name]) if name in archive.files else None
            images = images.reshape(len(images), len(PIXELS))
            if labels is not None:
                labels = labels.reshape(len(images), 1)
    except Exception:  # damaged or of another shape, which the refusal has told
        raise refusal from None
    parts = [(LABEL, labels, CLASSES - 1)] if labels is not None else []
    tally, sound = _Tally(), np.ones(len(images), bool)
    found: list[Fault] = []
    for name, values, most in [*parts, ("pixel", images, 255)]:
        if not (np.issubdtype(values.dtype, np.integer) or np.issubdtype(values.dtype, np.floating)):
            raise refusal
        missing = np.isnan(values)
        outside = (values < 0) | (values > most)
        kinds = {
            MISSING: missing,
            OUT_OF_RANGE: outside,
            MALFORMED: ~(missing | outside) & (values != np.trunc(values)),
        }
        for kind, mask in kinds.items():
            tally.kinds[kind] += int(mask.sum())
            sound &= ~mask.any(axis=1)
            for row, column in np.argwhere(mask)[:LISTED]:
                shown = name if name == LABEL else f"{name}{column}"
                found.append(Fault(int(row) + 1, shown, f"{values[row, column]:.6g}", kind))
    tally.first = sorted(found, key=lambda fault: fault.row)[:LISTED]
    rows = np.flatnonzero(sound)
    return (
        images[rows].astype(np.uint8).reshape(-1, *IMAGE_SHAPE),
        None if labels is None else labels[rows, 0].astype(np.uint8),
        rows + 1,
        tally.account(len(images), len(images) - len(rows)),
    )
