"""Read a data set for its report: both splits, and the valid rows of a file that has invalid ones.

Other readers raise an error for a missing or invalid value. This one counts it and continues.
"""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.datasets import Dataset, load
from digits_edge.runtime.datasets.catalogue import SPLITS, dataset_of
from digits_edge.runtime.datasets.dataset import CLASSES, ProgressCallback, label_dtype
from digits_edge.runtime.datasets.loading import is_table, locate
from digits_edge.runtime.datasets.npz import archived_class_names, image_shape
from digits_edge.runtime.datasets.opening import opened
from digits_edge.runtime.datasets.options import DEFAULT_OPTIONS, ReadingOptions
from digits_edge.runtime.datasets.tables.csv_rows import RowParser
from digits_edge.runtime.datasets.tables.csv_text import open_csv
from digits_edge.runtime.datasets.tables.table_columns import LABEL
from digits_edge.runtime.datasets.tables.table_numbers import number
from digits_edge.runtime.errors import DataError

#: Name of the split of a file that is not split into train and test.
WHOLE = "file"
#: Number of listed faults; all are counted.
LISTED = 20

MISSING, OUT_OF_RANGE, MALFORMED, WRONG_LENGTH = "missing", "out of range", "malformed", "wrong number of fields"
#: Texts that other programs write for a missing value, in lower case.
_MISSING_TEXTS = {b"", b"na", b"n/a", b"nan", b"null", b"none", b"?"}


@dataclass(frozen=True)
class Fault:
    """An invalid value or row.

    Attributes:
        row: row number, from 1.
        column: "label" or "pixel0" to "pixel783"; empty if the fault concerns the row.
        value: text in the file, shortened.
        kind: "missing", "out of range", "malformed" or "wrong number of fields".
    """

    row: int
    column: str
    value: str
    kind: str


@dataclass(frozen=True)
class Account:
    """Counts of the invalid values of a file.

    Attributes:
        rows: rows in the file.
        broken_rows: rows with at least one fault; all other figures of the report omit them.
        missing: fields without a value.
        out_of_range: pixels outside 0 to 255 and labels outside 0 to 9.
        malformed: fields that are neither missing nor a whole number.
        wrong_length: rows with too few or too many fields; their fields are not counted.
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
    """One split of a data set.

    Attributes:
        split: "train", "test", or "file" for a file that is not split.
        path: file of the images, or folder of the pictures.
        dataset: the valid rows.
        rows: row number of each valid row in the file, from 1, int64 (N,).
        account: counts of the invalid values.
    """

    split: str
    path: Path
    dataset: Dataset
    rows: NDArray[np.int64]
    account: Account


def read_splits(
    source: str | None,
    *,
    options: ReadingOptions = DEFAULT_OPTIONS,
    downloading: ProgressCallback | None = None,
    reading: ProgressCallback | None = None,
) -> tuple[Reading, ...]:
    """Read the splits of a data set: train and test, one of them, or a file that is not split.

    Args:
        source: value of `--data`; None for mnist.
        options: how the images are read.
        downloading: called while a known data set is downloaded.
        reading: called while pictures are read, or a CSV with invalid values is read row by row.

    Raises:
        DataError: no split is found; or a file is damaged, is not of its format, or has no valid row.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "digits.npz")
        ...     np.savez(path, images=np.zeros((3, 28, 28), np.uint8), labels=np.array([0, 1, 12]))
        ...     [reading] = read_splits(str(path))
        >>> reading.split, len(reading.dataset), reading.account.out_of_range
        ('file', 2, 1)
    """
    found, errors = {}, []
    for split in SPLITS:
        try:
            found[split] = locate(split=split, data=source, progress=downloading)
        except DataError as error:
            errors.append(error)
    if not found:
        raise errors[0]
    files = _files_of_splits(found).items()
    return tuple(_read(source, split, path, name, options, reading) for split, (path, name) in files)


def _files_of_splits(found: dict[str, tuple[Path, str]]) -> dict[str, tuple[Path, str]]:
    """Files to read by split; a file located for both splits may hold both, one of them, or not be split."""
    files = {path for path, _ in found.values()}
    if len(files) == len(found) > 1:
        return found
    (path,) = files
    if path.is_dir():  # folders of classes have both splits
        return found
    if path.suffix != ".npz":
        return found if len(found) == 1 else {WHOLE: found[SPLITS[0]]}
    try:
        with np.load(path, allow_pickle=False) as archive:
            names = set(archive.files)
    except Exception:  # damaged archive; the reader raises the error
        return {SPLITS[0]: found[SPLITS[0]]}
    if "images" in names:
        return {WHOLE: found[SPLITS[0]]}
    return {split: found[split] for split in SPLITS if f"x_{split}" in names} or {SPLITS[0]: found[SPLITS[0]]}


def _read(
    source: str | None,
    split: str,
    path: Path,
    name: str,
    options: ReadingOptions,
    progress: ProgressCallback | None,
) -> Reading:
    stored_split = SPLITS[0] if split == WHOLE else split
    try:
        dataset = load(split=stored_split, data=source, options=options, progress=progress if path.is_dir() else None)
    except DataError as error:
        images, labels, rows, account = _read_valid_rows(path, stored_split, error, progress)
        class_names = archived_class_names(path) if path.suffix == ".npz" else None
        return Reading(split, path, dataset_of(name, images, labels, class_names), rows, account)
    if not len(dataset):
        raise DataError(f"{path} holds no images; name another file")
    return Reading(split, path, dataset, np.arange(1, len(dataset) + 1), Account(len(dataset)))


_ValidRows = tuple[NDArray[np.uint8], NDArray[np.unsignedinteger] | None, NDArray[np.int64], Account]


def _read_valid_rows(path: Path, split: str, error: DataError, progress: ProgressCallback | None) -> _ValidRows:
    """Valid rows of a file that `load` refused with `error`; raises it again if the cause is not in the rows."""
    if is_table(path):
        valid = read_csv_rows(path, progress)
    elif path.suffix == ".npz":
        valid = _read_npz_rows(path, split, error)
    else:
        raise error
    account = valid[-1]
    if not account.broken_rows:
        raise error
    if account.broken_rows == account.rows:
        first = account.first[0]
        raise DataError(
            f"{path}: none of its {account.rows:,} rows is valid (first fault: row {first.row}, "
            f"{f'{first.column} {first.value!r}' if first.column else first.value}, {first.kind}); fix the file"
        )
    return valid


@dataclass
class _Tally:
    """Running counts of faults."""

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


def read_csv_rows(path: Path, progress: ProgressCallback | None = None) -> _ValidRows:
    """Read a CSV of images row by row and continue after a fault.

    Returns:
        Of the valid rows: images, uint8 (n, 28, 28); labels, uint8 (n,), or None without a label column; row numbers
        from 1, int64 (n,). Last, the account of the file.

    Raises:
        DataError: the file cannot be read, or the meaning of its columns is not certain.
    """
    tally, table, numbers, row = _Tally(), bytearray(), [], 0
    with opened(path, progress) as stream:
        dialect, chunks = open_csv(stream, str(path))
        parser = RowParser(dialect)
        lines = (line for text in chunks for line in text.removesuffix(b"\n").split(b"\n"))
        for row, line in enumerate(lines, start=1):
            values = parser.row(line)
            if values is None:
                _add_faults(line, parser, row, tally)
            else:
                table += values.tobytes()
                numbers.append(row)
    found = np.frombuffer(table, np.uint8).reshape(-1, parser.width)
    account = tally.account(row, row - len(numbers))
    return parser.images(found), parser.labels(found), np.array(numbers, np.int64), account


def _add_faults(line: bytes, parser: RowParser, row: int, tally: _Tally) -> None:
    """Count the faults of a malformed line."""
    dialect = parser.dialect
    fields = dialect.fields(line)
    if len(fields) != len(dialect.names):
        tally.add(row, "", f"{len(fields)} of {len(dialect.names)} fields", WRONG_LENGTH)
        return
    for index, position in enumerate(dialect.read):
        field = fields[position]
        if not parser.is_valid(field, index):
            tally.add(row, dialect.names[position], field.decode(errors="backslashreplace"), _kind_of_fault(field))


def _kind_of_fault(field: bytes) -> str:
    """Return the kind of fault of an invalid field."""
    if field.strip().lower() in _MISSING_TEXTS:
        return MISSING
    value = number(field)
    return MALFORMED if value is None or value != np.rint(value) else OUT_OF_RANGE


def _read_npz_rows(path: Path, split: str, error: DataError) -> _ValidRows:
    """Read an archive whose arrays are of another dtype or whose labels are out of range."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            is_split = "images" not in archive.files
            images = np.asarray(archive[f"x_{split}" if is_split else "images"])
            name = f"y_{split}" if is_split else "labels"
            labels = np.asarray(archive[name]) if name in archive.files else None
            shape = image_shape(images.shape)
            assert shape is not None
            images = images.reshape(len(images), -1)
            if labels is not None:
                labels = labels.reshape(len(images), 1)
    except Exception:  # damaged or of another shape; `error` says so
        raise error from None
    classes = len(archived_class_names(path) or range(CLASSES))
    parts = [(LABEL, labels, classes - 1)] if labels is not None else []
    tally, is_valid = _Tally(), np.ones(len(images), bool)
    found: list[Fault] = []
    for name, values, maximum in [*parts, ("pixel", images, 255)]:
        if not (np.issubdtype(values.dtype, np.integer) or np.issubdtype(values.dtype, np.floating)):
            raise error
        missing = np.isnan(values)
        outside = (values < 0) | (values > maximum)
        kinds = {
            MISSING: missing,
            OUT_OF_RANGE: outside,
            MALFORMED: ~(missing | outside) & (values != np.trunc(values)),
        }
        for kind, mask in kinds.items():
            tally.kinds[kind] += int(mask.sum())
            is_valid &= ~mask.any(axis=1)
            for row, column in np.argwhere(mask)[:LISTED]:
                column_name = name if name == LABEL else f"{name}{column}"
                found.append(Fault(int(row) + 1, column_name, f"{values[row, column]:.6g}", kind))
    tally.first = sorted(found, key=lambda fault: fault.row)[:LISTED]
    rows = np.flatnonzero(is_valid)
    return (
        images[rows].astype(np.uint8).reshape(-1, *shape),
        None if labels is None else labels[rows, 0].astype(label_dtype(classes)),
        rows + 1,
        tally.account(len(images), len(images) - len(rows)),
    )
