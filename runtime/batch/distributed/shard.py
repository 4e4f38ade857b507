"""Answers as the bytes of a file: `shard_of_rows`, `shard_of_pictures`.

Rows of tables have the columns `File`, `ImageId` (counted from 1 in each table, as Kaggle does), `Label` (the class's
number) and `Confidence`; pictures have `File`, `Label` (the class's name), `Confidence` and `Status`.
"""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.batch.distributed.record import FileFormat
from digits_edge.runtime.batch.output import csv_lines
from digits_edge.runtime.batch.pictures import COLUMNS, cells
from digits_edge.runtime.classifier import FloatArray
from digits_edge.runtime.prediction import Prediction

ROW_COLUMNS = ("File", "ImageId", "Label", "Confidence")


def shard_of_rows(name: str, rows: NDArray[np.int64], answers: FloatArray, file_format: FileFormat) -> bytes:
    """The answers for rows of a table.

    Args:
        name: the table's.
        rows: int64 (n,), their numbers.
        answers: float32 (n, C). The label is the class's number; the confidence has all its bits in both formats.
        file_format: "parquet" or "csv".
    """
    digits, confidences = answers.argmax(axis=1), answers.max(axis=1)
    if file_format == "parquet":
        columns = [_text(name)] * len(rows), rows, digits.astype(np.int8), confidences
        return _parquet(dict(zip(ROW_COLUMNS, columns, strict=True)))
    cell = csv_lines([(name,)]).decode("utf-8", "surrogateescape").rstrip("\n")
    values = zip(rows.tolist(), digits.tolist(), map(str, confidences), strict=True)
    lines = "".join(f"{cell},{row},{digit},{confidence}\n" for row, digit, confidence in values)
    return csv_lines([ROW_COLUMNS]) + lines.encode("utf-8", "surrogateescape")


def shard_of_pictures(names: Sequence[str], found: Sequence[Prediction | None], file_format: FileFormat) -> bytes:
    """What was read in pictures; of one that could not be read only the name, and the status `error`."""
    if file_format == "csv":
        return csv_lines([COLUMNS]) + csv_lines(map(cells, names, found))
    import pyarrow as arrow

    columns = (
        list(map(_text, names)),
        arrow.array([None if each is None else each.label for each in found], arrow.string()),
        arrow.array([None if each is None else each.confidence for each in found], arrow.float32()),
        ["error" if each is None else each.status for each in found],
    )
    return _parquet(dict(zip(COLUMNS, columns, strict=True)))


def _text(name: str) -> str:
    """A file's name as Parquet holds it; bytes that are no text are shown as ?."""
    return name.encode("utf-8", "replace").decode()


def _parquet(columns: dict[str, Any]) -> bytes:
    import pyarrow as arrow
    import pyarrow.parquet

    stream = io.BytesIO()
    arrow.parquet.write_table(arrow.table(columns), stream)
    return stream.getvalue()
