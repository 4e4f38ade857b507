"""The folder that a run writes: shards of answers, what is known of each while the run is under way, the manifest.

A shard counts when its record is there, which is written after it; so a run that was cut, or a file system that left
half a file, costs what was under way and no more. Names that begin with `_` are passed over by Arrow, Spark and Ray,
which read the folder as one table.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from digits_edge.runtime.engines.file_system import file_system, is_local, shown, write_file
from digits_edge.runtime.engines.record import Manifest, Record, chained, is_whole, total
from digits_edge.runtime.errors import CheckError, InputError, UsageError
from digits_edge.runtime.files import lock

MANIFEST, RUN, PROGRESS, LOCK = "_manifest.json", "_run.json", "_progress", "_lock"
_MODEL = f"{PROGRESS}/model"


@dataclass(frozen=True)
class OutputFolder:
    """Where a run's answers go; may be pickled.

    Attributes:
        fs: `fsspec.AbstractFileSystem`.
        path: of the folder in it.
    """

    fs: Any
    path: str

    @classmethod
    def of(cls, place: str) -> "OutputFolder":
        """The folder of a path or URI; it need not be there."""
        return cls(*file_system(place))

    @property
    def name(self) -> str:
        """What messages call it."""
        return shown(self.fs, self.path)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other runs of this machine out of the folder.

        Raises:
            UsageError: one is at work in it.
            InputError: it cannot be written.
        """
        if not is_local(self.fs):
            yield
            return
        path = Path(self._at(LOCK))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as stream:
                if not lock(stream):
                    raise UsageError(f"another run is writing {self.name}; wait for it, or name another folder")
                yield
                path.unlink()
        except OSError as error:
            raise InputError(f"{self.name} could not be written: {error.strerror or error}") from error

    def begin(self, run: Manifest, model: bytes, *, overwrite: bool) -> list[Record]:
        """Prepare the folder for a run.

        Args:
            run: what is to be answered, and by what.
            model: the model file, which lies in the folder until the run is finished.
            overwrite: begin anew, whatever was there.

        Returns:
            The records of what an earlier run has dealt with: none of a source that has changed since, or of what could
            not be read then.

        Raises:
            UsageError: there are answers of another run, or other files.
            InputError: it cannot be written.
        """
        try:
            self.fs.makedirs(self._at(PROGRESS), exist_ok=True)
            self.fs.invalidate_cache()  # another process may have written meanwhile
            files = self._files() - {LOCK}
            if files and not files & {RUN, MANIFEST}:
                raise UsageError(f"{self.name} holds {min(files)}, which no run has left; name an empty folder")
            kept = [] if overwrite else self._records(run, files)
            current = {name for record in kept for name in (shard_name(record, run), _record_name(record))}
            self._remove(files - current - ({RUN} if overwrite else {RUN, MANIFEST}))
        except OSError as error:
            raise InputError(f"{self.name} could not be written: {error.strerror or error}") from error
        write_file(self.fs, self._at(RUN), run.to_json())
        write_file(self.fs, self._at(_MODEL), model)
        return kept

    def read_model(self) -> bytes:
        """The model file of the run under way."""
        content: bytes = self.fs.cat_file(self._at(_MODEL))
        return content

    def write(self, record: Record, run: Manifest, shard: bytes | None) -> None:
        """Write a shard and then its record; None where there is nothing to answer."""
        if shard is not None:
            write_file(self.fs, self._at(shard_name(record, run)), shard)
        write_file(self.fs, self._at(_record_name(record)), record.to_json())

    def finish(self, run: Manifest, records: Iterable[Record]) -> Manifest:
        """Write the manifest, and remove what only a run under way needs.

        Args:
            run: as `begin` took it.
            records: of all that is dealt with.

        Raises:
            CheckError: of a source something is missing.
            InputError: it cannot be written.
        """
        of_sources: dict[int, list[Record]] = {number: [] for number in range(len(run.sources))}
        for record in records:
            of_sources[record.source].append(record)
        kept: list[Record] = []
        for number, of_source in of_sources.items():
            chain = chained(of_source)
            kept += chain
            if not is_whole(chain):
                failed = min((record for record in of_source if record.failed), key=_first, default=None)
                if failed is None:
                    raise CheckError(f"{run.sources[number].name} is not answered to its end; run the command again")
                kept.append(failed)
        manifest = replace(run, records=tuple(kept), counts=total(kept))
        write_file(self.fs, self._at(MANIFEST), manifest.to_json())
        try:
            self._remove(self._files() - {MANIFEST, *(shard_name(record, run) for record in kept)})
            self.fs.rm(self._at(PROGRESS), recursive=True)
        except OSError as error:
            raise InputError(f"{self.name} could not be tidied up: {error.strerror or error}") from error
        return manifest

    def _at(self, name: str) -> str:
        return f"{self.path}/{name}"

    def _records(self, run: Manifest, files: set[str]) -> list[Record]:
        """What earlier runs have noted of sources that are still the same, and whose answers are still there."""
        whole, begun = self._manifest(MANIFEST), self._manifest(RUN)
        earlier = [(whole, whole.records if whole else ()), (begun, self._noted(files))]
        records: dict[str, Record] = {}
        for manifest, noted in earlier:
            if manifest is None:
                continue
            if differing := manifest.differs_in(run):
                what = " and ".join(differing)
                raise UsageError(f"{self.name} holds answers of another {what}; name another folder, or --overwrite")
            versions = zip(manifest.sources, run.sources, strict=True)
            same = {number for number, (then, now) in enumerate(versions) if then.version == now.version}
            records |= {record.stem: record for record in noted if record.source in same}
        return [
            record
            for record in records.values()
            if record.failed is None and (not record.counts["answered"] or shard_name(record, run) in files)
        ]

    def _noted(self, files: set[str]) -> Iterator[Record]:
        for name in sorted(files):
            if name.startswith(f"{PROGRESS}/") and _is_ours(name):
                with suppress(ValueError):  # half a file: the shard is answered again
                    yield Record.from_json(self.fs.cat_file(self._at(name)))

    def _manifest(self, name: str) -> Manifest | None:
        try:
            return Manifest.from_json(self.fs.cat_file(self._at(name)))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise UsageError(f"{self.name}/{name} is damaged; begin anew with --overwrite") from error

    def _files(self) -> set[str]:
        """The names of all files in the folder, those of records with their folder."""
        return {path.removeprefix(self.path).lstrip("/") for path in self.fs.find(self.path)}

    def _remove(self, names: set[str]) -> None:
        """Remove files of ours: what has another name than a run gives is somebody's."""
        for name in sorted(names):  # what says that they are ours comes last
            if _is_ours(name):
                self.fs.rm_file(self._at(name))


def shard_name(record: Record, run: Manifest) -> str:
    """The file that holds what a record tells of."""
    return f"{record.stem}.{run.file_format}"


def _record_name(record: Record) -> str:
    return f"{PROGRESS}/{record.stem}.json"


def _first(record: Record) -> int:
    return record.first


def _is_ours(name: str) -> bool:
    stem = Path(name).stem
    of_record = len(stem) == 19 and stem[6] == "-" and stem.replace("-", "").isdecimal()
    return name in (RUN, MANIFEST) or (of_record and Path(name).suffix in (".json", ".parquet", ".csv"))
