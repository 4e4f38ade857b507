"""Results as files: a CSV with a row for each engine, batch size and number of threads, the environment in its name."""

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

#: How the file of `digits-edge benchmark --peers` ends; other results have other columns.
SUFFIX = "-peers.csv"


@dataclass(frozen=True)
class PeerRow:
    """What one engine came to.

    Attributes:
        model: the model file's name.
        precision: of the model file; engines of Keras compute in float all the same.
        engine: what computed; ours with its provider.
        engine_version: of its libraries, joined by " + ".
        threads: how many computed a batch together.
        batch_size: images per call.
        p50_us: the median over rounds of each round's median time of a call.
        lowest_us: the lowest median of a round.
        highest_us: the highest median of a round.
        images_per_second: at the median.
        ratio: its median to that of the fastest of ours in the same run.
        agreement: the share of the golden images that it answers like ours on the CPU.
        largest_difference: of any probability from ours.
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


COLUMNS = tuple(field.name for field in fields(PeerRow))


def write_results(rows: Sequence[PeerRow], path: Path) -> None:
    """Write rows as CSV, whole or not at all.

    Raises:
        InputError: it could not be written.
    """
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    table.writeheader()
    table.writerows(asdict(row) for row in rows)
    with atomic_write(path) as stream:
        stream.write(text.getvalue().encode())


def read_results(path: Path) -> list[PeerRow]:
    """Read what `write_results` wrote.

    Raises:
        DataError: it cannot be read, or is none; names the line.
    """
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            table = csv.DictReader(stream)
            missing = [column for column in COLUMNS if column not in (table.fieldnames or ())]
            if missing:
                raise DataError(
                    f"{path} has no column {missing[0]}; it must be made by `digits-edge benchmark --peers -o FILE`"
                )
            return [_row(values, f"{path} line {table.line_num}") for values in table]
    except OSError as error:
        raise DataError(f"{path} could not be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is no CSV: {error}") from error


def _row(values: dict[str, str], where: str) -> PeerRow:
    try:
        return PeerRow(**{field.name: field.type(values[field.name]) for field in fields(PeerRow)})  # type: ignore[operator]
    except (ValueError, TypeError) as error:
        raise DataError(f"{where} is no result: {error}") from error


def results_name(suffix: str, *settings: str) -> str:
    """The name of a file of results: the day, and what its figures depend on.

    System, processor, the settings given and onnxruntime's version, in small letters.
    """
    parts = (platform.system(), platform.machine(), processor(), *settings, f"ort{version('onnxruntime')}")
    environment = "-".join(re.sub(r"[^a-z0-9.]+", "_", part.lower()).strip("_") for part in parts)
    return f"{datetime.date.today()}-{environment}{suffix}"
