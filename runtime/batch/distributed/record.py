"""`Record`: the result of one block; `Manifest`: settings and result of a run."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from digits_edge.runtime.json_record import as_record, parse_json
from digits_edge.runtime.pixel_scale import PixelScale

FileFormat = Literal["parquet", "csv"]
_SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Bad:
    """A malformed row or a picture that could not be read.

    Attributes:
        row: number of the row in its table or of the picture in its folder, counted from 1.
        reason: name of the table or picture, the error, and its remedy.
    """

    row: int
    reason: str


@dataclass(frozen=True)
class Record:
    """Processed consecutive rows or pictures of a source: those with a prediction in one shard, and the bad ones.

    Attributes:
        source: index of the source in the manifest.
        first: first row or picture, counted from 1.
        last: last row or picture; smaller than `first` if the source is empty.
        counts: "answered" (with a prediction) and "bad"; for pictures also "blank", "several" and "uncertain"; for
            labelled rows also "labelled" and "errors".
        ends: whether this is the end of the source.
        bad: rows or pictures without a prediction.
        failed: reason why the source could not be read from `first` on; None if it could.

    Example:
        >>> Record(source=2, first=1, last=100, counts={"answered": 100, "bad": 0}, ends=True).stem
        '000002-000000000001'
    """

    source: int
    first: int
    last: int
    counts: dict[str, int]
    ends: bool
    bad: tuple[Bad, ...] = ()
    failed: str | None = None

    @property
    def stem(self) -> str:
        """File name without suffix; sorted by name, shards are in the order of the sources and their rows."""
        return f"{self.source:06d}-{self.first:012d}{'-failed' if self.failed else ''}"

    def to_json(self) -> bytes:
        """Encode as one JSON object."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, text: bytes) -> "Record":
        """Decode the output of `to_json`.

        Raises:
            ValueError: the text is not a record.
        """
        return as_record(cls, parse_json(text))


@dataclass(frozen=True)
class Named:
    """A source in the manifest.

    Attributes:
        name: name of the file or folder.
        patterns: glob patterns of the pictures in a folder; empty for a table.
        version: identifier that changes with the content.
    """

    name: str
    patterns: tuple[str, ...]
    version: str


@dataclass(frozen=True)
class Manifest:
    """A run: everything that determines its predictions, and its result.

    Attributes:
        model: name of the model.
        digest: SHA-256 of the model file.
        provider: short name of the execution provider.
        package: version of digits-edge on all workers.
        file_format: format of the shards.
        batch_size: batch size of the model.
        sources: sources, numbered from 0.
        records: all records in the order of the sources and their rows; empty until the run is finished.
        counts: sums of the records' counts.
        pixel_range: value of white in the tables.
    """

    model: str
    digest: str
    provider: str
    package: str
    file_format: FileFormat
    batch_size: int
    sources: tuple[Named, ...]
    records: tuple[Record, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)
    pixel_range: PixelScale = 255

    def differs_in(self, other: "Manifest") -> list[str]:
        """Return the names of the settings that differ, so that predictions of both runs must not be mixed."""
        names = {
            "digest": "model",
            "provider": "provider",
            "package": "version of digits-edge",
            "file_format": "format",
            "batch_size": "batch size",
            "pixel_range": "pixel range",
        }
        differing = [name for field, name in names.items() if getattr(self, field) != getattr(other, field)]
        own, others = ([(source.name, source.patterns) for source in run.sources] for run in (self, other))
        return differing + (["list of sources"] if own != others else [])

    def to_json(self) -> bytes:
        """Encode as JSON with one record per line."""
        head: dict[str, Any] = {"schema_version": _SCHEMA_VERSION, **asdict(self)}
        records = [json.dumps(record) for record in head.pop("records")]
        lines = [json.dumps(head)[:-1] + ', "records": [', ",\n".join(records), "]}"]
        return "\n".join(lines).encode() + b"\n"

    @classmethod
    def from_json(cls, text: bytes) -> "Manifest":
        """Decode the output of `to_json`.

        Raises:
            ValueError: the text is not a manifest.
        """
        return as_record(cls, parse_json(text))


def total(records: Iterable[Record]) -> dict[str, int]:
    """Sum the counts of records.

    Example:
        >>> total([Record(0, 1, 9, {"answered": 8, "bad": 1}, True), Record(1, 1, 5, {"answered": 5, "bad": 0}, True)])
        {'answered': 13, 'bad': 1}
    """
    sums: dict[str, int] = {"answered": 0, "bad": 0}
    for record in records:
        for name, count in record.counts.items():
            sums[name] = sums.get(name, 0) + count
    return sums


def one_after_another(records: Iterable[Record]) -> list[Record]:
    """Return the successful records of one source in row order; of overlapping records, the one that starts first."""
    chosen: list[Record] = []
    for record in sorted(records, key=lambda record: record.first):
        if record.failed is None and (not chosen or record.first > chosen[-1].last):
            chosen.append(record)
    return chosen


def is_intact(records: Sequence[Record], failures: Iterable[Record] = ()) -> bool:
    """Whether the records of one source cover it from its first row to its end.

    Args:
        records: records of the source, from `one_after_another`.
        failures: failed records of the source. Rows between the start of a failure and the next record may be missing.

    Example:
        >>> first, last = Record(0, 1, 9, {}, ends=False), Record(0, 10, 12, {}, ends=True)
        >>> is_intact([first, last]), is_intact([first])
        (True, False)
    """
    failed_at = {failure.first for failure in failures}
    following, ends = 1, False
    for record in records:
        if record.first != following and following not in failed_at:
            return False
        following, ends = record.last + 1, record.ends
    return ends or following in failed_at
