"""Encode predictions as Parquet or CSV: `shard_of_rows`, `shard_of_pictures`.

Rows of tables have the columns `File`, `ImageId` (counted from 1 in each table, as on Kaggle), `Label` (class number)
and `Confidence`. Pictures have `File`, `Label` (class name), `Confidence` and `Status`.
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


def shard_of_rows(name: str, rows: NDArray[np.int64], probabilities: FloatArray, file_format: FileFormat) -> bytes:
    r"""Encode the predictions for rows of a table.

    Args:
        name: name of the table.
        rows: row numbers, int64, (n,).
        probabilities: float32, (n, C). Both formats store the confidence without loss of precision.
        file_format: "parquet" or "csv".

    Example:
        >>> shard_of_rows("test.csv", np.array([1]), np.array([[0, 1]], np.float32), "csv")
        b'File,ImageId,Label,Confidence\ntest.csv,1,1,1.0\n'
    """
    digits, confidences = probabilities.argmax(axis=1), probabilities.max(axis=1)
    if file_format == "parquet":
        columns = [_text(name)] * len(rows), rows, digits.astype(_label_type(probabilities.shape[1])), confidences
        return _parquet(dict(zip(ROW_COLUMNS, columns, strict=True)))
    cell = csv_lines([(name,)]).decode("utf-8", "surrogateescape").rstrip("\n")
    values = zip(rows.tolist(), digits.tolist(), map(str, confidences), strict=True)
    lines = "".join(f"{cell},{row},{digit},{confidence}\n" for row, digit, confidence in values)
    return csv_lines([ROW_COLUMNS]) + lines.encode("utf-8", "surrogateescape")


def shard_of_pictures(names: Sequence[str], found: Sequence[Prediction | None], file_format: FileFormat) -> bytes:
    """Encode the predictions for pictures; None stands for a picture that could not be read, with the status `error`.

    Args:
        names: names of the pictures.
        found: one prediction per picture, or None.
        file_format: "parquet" or "csv".
    """
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


def _label_type(classes: int) -> type[np.signedinteger[Any]]:
    """The integer type of the column `Label`."""
    return np.int8 if classes <= 1 + np.iinfo(np.int8).max else np.int32


def _text(name: str) -> str:
    """Return a file name as UTF-8 text for Parquet; undecodable bytes become `?`."""
    return name.encode("utf-8", "replace").decode()


def _parquet(columns: dict[str, Any]) -> bytes:
    import pyarrow as arrow
    import pyarrow.parquet

    stream = io.BytesIO()
    arrow.parquet.write_table(arrow.table(columns), stream)
    return stream.getvalue()
