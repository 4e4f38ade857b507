"""CSV files of results: a row for each engine, batch size and number of threads; the file name has the environment."""

import csv
import datetime
import io
import platform
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from importlib.metadata import version
from pathlib import Path

from digits_edge.runtime.errors import DataError
from digits_edge.runtime.files import atomic_write
from digits_edge.runtime.session.machine import processor

#: File name suffix of the results of `digits-edge benchmark --peers`; other results have other columns.
SUFFIX = "-peers.csv"


@dataclass(frozen=True)
class PeerRow:
    """The result of an engine for a model, batch size and number of threads.

    Example:
        >>> [row] = read_results("peers.csv")  # doctest: +SKIP
        >>> row.engine, row.ratio  # doctest: +SKIP
        ('digits-edge cpu', 1.0)

    Attributes:
        model: name of the model.
        precision: precision of the model file; Keras engines always compute in float.
        engine: name of the engine; for digits-edge with its provider.
        engine_version: names and versions of its libraries, joined by " + ".
        threads: number of threads that compute a batch.
        batch_size: images per call.
        p50_us: median time of a call: the median over rounds of each round's median.
        lowest_us: lowest median of a round.
        highest_us: highest median of a round.
        images_per_second: throughput at the median.
        ratio: its median divided by that of the fastest digits-edge provider in the same run.
        agreement: share of the golden images with the same label as digits-edge on the CPU, 0 to 1.
        largest_difference: largest difference of a probability from digits-edge on the CPU.
    """

    model: str
    precision: str
    engine: str
    engine_version: str
    threads: int
    batch_size: int
    p50_us: float
    lowest_us: float
    highest_us: float
    images_per_second: float
    ratio: float
    agreement: float
    largest_difference: float


@dataclass(frozen=True)
class SkippedEngine:
    """An engine that was not measured.

    Example:
        >>> SkippedEngine("edge-int8", "litert", "the conversion failed: the operator Loop is not converted").engine
        'litert'

    Attributes:
        model: name of the model.
        engine: name of the engine, as in `PeerRow`.
        skipped: the reason and, where there is one, the remedy; one line.
        threads: the number of threads it is about; None for all.
        batch_size: the batch size it is about; None for all.
    """

    model: str
    engine: str
    skipped: str
    threads: int | None = None
    batch_size: int | None = None


COLUMNS = tuple(field.name for field in fields(PeerRow))


def write_results(rows: Sequence[PeerRow], path: Path) -> None:
    """Write rows as CSV, atomically.

    Args:
        rows: the results.
        path: the file; an existing file is replaced.

    Raises:
        InputError: the file could not be written.

    Example:
        >>> import tempfile
        >>> row = PeerRow("m", "fp32", "onnxruntime", "onnxruntime 1.0", 1, 1, 40.0, 39.0, 42.0, 25000.0, 1.0, 1.0, 0.0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_results([row], Path(folder, "peers.csv"))
        ...     read_results(Path(folder, "peers.csv")) == [row]
        True
    """
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    table.writeheader()
    table.writerows(asdict(row) for row in rows)
    with atomic_write(path) as stream:
        stream.write(text.getvalue().encode())


def read_results(path: Path) -> list[PeerRow]:
    """Read a file that `write_results` wrote.

    Raises:
        DataError: the file cannot be read, lacks a column, or has an invalid line; the message names the line.

    Example:
        >>> read_results(Path("peers.csv"))[0].engine  # doctest: +SKIP
        'digits-edge cpu'
    """
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            table = csv.DictReader(stream)
            missing = [column for column in COLUMNS if column not in (table.fieldnames or ())]
            if missing:
                raise DataError(
                    f"{path} has no column {missing[0]}; create it with `digits-edge benchmark --peers -o FILE`"
                )
            return [_row(values, f"{path}, line {table.line_num}") for values in table]
    except OSError as error:
        raise DataError(f"{path} could not be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is not a CSV file: {error}") from error


def _row(values: dict[str, str], where: str) -> PeerRow:
    try:
        return PeerRow(**{field.name: field.type(values[field.name]) for field in fields(PeerRow)})  # type: ignore[operator]
    except (ValueError, TypeError) as error:
        raise DataError(f"{where}: not a result: {error}") from error


def results_name(suffix: str, *settings: str) -> str:
    """Build the file name of results: date, system, architecture, processor, settings and onnxruntime's version.

    Args:
        suffix: end of the name, such as `SUFFIX`.
        settings: settings that the results depend on, such as "2 threads".

    Returns:
        The name in lower case.

    Example:
        >>> results_name(SUFFIX, "2 threads")  # doctest: +SKIP
        '2026-01-31-linux-x86_64-intel_xeon-2_threads-ort1.31.1-peers.csv'
    """
    parts = (platform.system(), platform.machine(), processor(), *settings, f"ort{version('onnxruntime')}")
    environment = "-".join(re.sub(r"[^a-z0-9.]+", "_", part.lower()).strip("_") for part in parts)
    return f"{datetime.date.today()}-{environment}{suffix}"
