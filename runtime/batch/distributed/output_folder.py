"""The folder that a run writes: shards of answers, what is known of each while the run is under way, the manifest.

A shard counts when its record is there, which is written after it; so a run that was cut, or a file system that left
half a file, costs what was under way and no more. Names that begin with `_` are passed over by Arrow, Spark and Ray,
which read the folder as one table.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from digits_edge.runtime.batch.distributed.file_system import file_system, is_local, shown, write_file
from digits_edge.runtime.batch.distributed.record import Manifest, Record, is_intact, one_after_another, total
from digits_edge.runtime.errors import CheckError, InputError, UsageError, one_line
from digits_edge.runtime.files import lock

MANIFEST, RUN, PROGRESS, LOCK = "_manifest.json", "_run.json", "_progress", "_lock"
_MODEL = f"{PROGRESS}/model"
#: What runs write, and nothing else is ever removed.
_OURS = re.compile(
    rf"{MANIFEST}|{RUN}|\d{{6}}-\d{{12}}\.(parquet|csv)|{PROGRESS}/(model|\d{{6}}-\d{{12}}(-failed)?\.json)"
)


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

    def holds(self, name: str) -> bool:
        """Whether that is what messages call something in the folder."""
        return f"{name}/".startswith(f"{self.name}/")

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
            stream = path.open("ab")
        except OSError as error:
            raise InputError(f"{self.name} could not be written: {error.strerror or error}") from error
        with stream:
            if not lock(stream) or not path.exists():
                raise UsageError(f"another run is writing {self.name}; wait for it, or name another folder")
            try:
                yield
            finally:
                path.unlink(missing_ok=True)

    def begun(self) -> Manifest | None:
        """The run that has written here, if one has.

        Raises:
            UsageError: what it has left is damaged.
            InputError: the folder cannot be read.
        """
        with self._as_input_errors():
            return self._manifest(RUN) or self._manifest(MANIFEST)

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
        with self._as_input_errors():
            files = self._files()
            if files and not files & {RUN, MANIFEST}:
                raise UsageError(f"{self.name} holds {min(files)}, which no run has left; name an empty folder")
            kept = [] if overwrite else self._records(run, files)
            current = {name for record in kept for name in (shard_name(record, run), _record_name(record))}
            self._remove(files - current - ({RUN} if overwrite else {RUN, MANIFEST}))
            self.fs.makedirs(self._at(PROGRESS), exist_ok=True)
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
            CheckError: of a source something is missing that nobody has failed to read.
            InputError: it cannot be written.
        """
        of_sources: dict[int, list[Record]] = {number: [] for number in range(len(run.sources))}
        for record in records:
            of_sources[record.source].append(record)
        kept: list[Record] = []
        for number, of_source in of_sources.items():
            answered = one_after_another(of_source)
            failures = [record for record in of_source if record.failed is not None]
            if not is_intact(answered, failures):
                raise CheckError(f"{run.sources[number].name} is not answered to its end; run the command again")
            kept += sorted([*answered, *failures], key=lambda record: record.first)
        manifest = replace(run, records=tuple(kept), counts=total(kept))
        write_file(self.fs, self._at(MANIFEST), manifest.to_json())
        with self._as_input_errors():
            shards = {shard_name(record, run) for record in kept}
            self._remove({name for name in self._files() if not name.startswith(PROGRESS)} - {MANIFEST} - shards)
            self.fs.rm(self._at(PROGRESS), recursive=True)
        return manifest

    def _at(self, name: str) -> str:
        return f"{self.path}/{name}"

    @contextmanager
    def _as_input_errors(self) -> Iterator[None]:
        try:
            yield
        except (InputError, UsageError):
            raise
        except Exception as error:  # each file system has its own
            raise InputError(f"{self.name} could not be written: {one_line(error)}") from error

    def _records(self, run: Manifest, files: set[str]) -> list[Record]:
        """What earlier runs have noted of sources that are still the same, and whose answers are still there."""
        whole, begun = self._manifest(MANIFEST), self._manifest(RUN)
        records: dict[str, Record] = {}
        for manifest, noted in ((whole, whole.records if whole else ()), (begun, self._noted(files))):
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
        paths = [self._at(name) for name in files if name.startswith(f"{PROGRESS}/") and name.endswith(".json")]
        contents: dict[str, bytes] = self.fs.cat(paths) if paths else {}
        for content in contents.values() if isinstance(contents, dict) else [contents]:
            with suppress(ValueError):  # half a file: the shard is answered again
                yield Record.from_json(content)

    def _manifest(self, name: str) -> Manifest | None:
        try:
            return Manifest.from_json(self.fs.cat_file(self._at(name)))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise UsageError(f"{self.name}/{name} is damaged; begin anew with --overwrite") from error

    def _files(self) -> set[str]:
        """The names of the files in the folder, and in that of the records; none that is locked or half written."""
        self.fs.invalidate_cache()  # others may have written meanwhile
        found = self.fs.find(self.path, maxdepth=2) if self.fs.exists(self.path) else []
        names = {path.removeprefix(self.path).lstrip("/") for path in found}
        return {name for name in names if name != LOCK and not name.endswith(".unfinished")}

    def _remove(self, names: set[str]) -> None:
        """Remove files of ours: what has another name than a run gives is somebody's."""
        for name in sorted(names):  # what says that they are ours comes last
            if _OURS.fullmatch(name):
                self.fs.rm_file(self._at(name))


def shard_name(record: Record, run: Manifest) -> str:
    """The file that holds what a record tells of."""
    return f"{record.stem}.{run.file_format}"


def _record_name(record: Record) -> str:
    return f"{PROGRESS}/{record.stem}.json"
