"""What is known of a run: `Record` of each part that is answered, `Manifest` of the whole."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from digits_edge.runtime.json_record import as_record, parse_json

FileFormat = Literal["parquet", "csv"]
_SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Bad:
    """A row or picture that could not be answered.

    Attributes:
        row: its number, counted from 1; of a picture that in its folder.
        reason: its name, what is wrong with it, and what mends it.
    """

    row: int
    reason: str


@dataclass(frozen=True)
class Record:
    """Consecutive rows or pictures of a source that are dealt with: answered in one shard, or known to be bad.

    Attributes:
        source: its number in the manifest.
        first: row or picture, counted from 1.
        last: the last one; smaller than `first` where the source is empty.
        counts: "answered", and "bad"; of pictures "blank" and "uncertain"; of labelled rows "labelled" and "errors".
        ends: whether the source ends here.
        bad: those that could not be answered.
        failed: why the source could not be read from here on; None where it could.
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
        """What its files are called, without suffix; in their order the answers have that of their sources."""
        return f"{self.source:06d}-{self.first:012d}{'-failed' if self.failed else ''}"

    def to_json(self) -> bytes:
        """As one JSON object."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, text: bytes) -> "Record":
        """Read what `to_json` wrote.

        Raises:
            ValueError: it is no record.
        """
        return as_record(cls, parse_json(text))


@dataclass(frozen=True)
class Named:
    """A source as the manifest has it.

    Attributes:
        name: of the file or folder.
        patterns: of a folder, which of its pictures are meant.
        version: what changes with the content.
    """

    name: str
    patterns: tuple[str, ...]
    version: str


@dataclass(frozen=True)
class Manifest:
    """A run: what decides its answers, and what it came to.

    Attributes:
        model: its name.
        digest: of its file.
        provider: what computed.
        package: the version of digits-edge that answers, everywhere.
        file_format: of the shards.
        batch_size: images that were answered at once.
        sources: numbered from 0.
        records: of all parts, in the order of the sources and their rows; empty while the run is under way.
        counts: of all records together.
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

    def differs_in(self, other: "Manifest") -> list[str]:
        """By what another's answers would not belong with these."""
        named = {
            "digest": "model",
            "provider": "provider",
            "package": "version of digits-edge",
            "file_format": "format",
            "batch_size": "batch size",
        }
        differing = [said for name, said in named.items() if getattr(self, name) != getattr(other, name)]
        places, others = ([(source.name, source.patterns) for source in each.sources] for each in (self, other))
        return differing + (["list of sources"] if places != others else [])

    def to_json(self) -> bytes:
        """As JSON, a record on each line."""
        head: dict[str, Any] = {"schema_version": _SCHEMA_VERSION, **asdict(self)}
        records = [json.dumps(record) for record in head.pop("records")]
        lines = [json.dumps(head)[:-1] + ', "records": [', ",\n".join(records), "]}"]
        return "\n".join(lines).encode() + b"\n"

    @classmethod
    def from_json(cls, text: bytes) -> "Manifest":
        """Read what `to_json` wrote.

        Raises:
            ValueError: it is no manifest.
        """
        return as_record(cls, parse_json(text))


def total(records: Iterable[Record]) -> dict[str, int]:
    """The counts of all records together."""
    sums: dict[str, int] = {"answered": 0, "bad": 0}
    for record in records:
        for name, count in record.counts.items():
            sums[name] = sums.get(name, 0) + count
    return sums


def one_after_another(records: Iterable[Record]) -> list[Record]:
    """Of one source's records those that are answered, in order; of two that overlap the first."""
    kept: list[Record] = []
    for record in sorted(records, key=lambda record: record.first):
        if record.failed is None and (not kept or record.first > kept[-1].last):
            kept.append(record)
    return kept


def is_intact(records: Sequence[Record], failures: Iterable[Record] = ()) -> bool:
    """Whether records, as `one_after_another` has them, reach from a source's first row to its end.

    Args:
        records: of one source.
        failures: what may be missing: rows from the first of one of these to the next record.
    """
    failed_at = {failure.first for failure in failures}
    following, ends = 1, False
    for record in records:
        if record.first != following and following not in failed_at:
            return False
        following, ends = record.last + 1, record.ends
    return ends or following in failed_at
