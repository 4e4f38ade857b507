"""`OutputFolder`: the folder that a run writes, with shards of predictions, progress records and the manifest.

A shard is valid once its record exists, which is written after it. An interrupted run or a partially written file
therefore costs only the shards in progress. Arrow, Spark and Ray read the folder as one table, because they ignore
names that begin with `_`.
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
#: Names of the files that runs write; no other file is ever removed.
_RUN_FILES = re.compile(
    rf"{MANIFEST}|{RUN}|\d{{6}}-\d{{12}}\.(parquet|csv)|{PROGRESS}/(model|\d{{6}}-\d{{12}}(-failed)?\.json)"
)


@dataclass(frozen=True)
class OutputFolder:
    """Output folder of a run; can be pickled.

    Attributes:
        fs: `fsspec.AbstractFileSystem`.
        path: path of the folder in it.
    """

    fs: Any
    path: str

    @classmethod
    def of(cls, place: str) -> "OutputFolder":
        """Create from a path or URI; the folder need not exist."""
        return cls(*file_system(place))

    @property
    def name(self) -> str:
        """Name in messages and manifests."""
        return shown(self.fs, self.path)

    def holds(self, name: str) -> bool:
        """Whether `name`, as in messages and manifests, is the folder or a file in it."""
        return f"{name}/".startswith(f"{self.name}/")

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Lock the folder against other runs on this machine.

        Raises:
            UsageError: another run is writing the folder.
            InputError: the folder cannot be written.
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
        """Return the manifest of the run that wrote the folder, or None.

        Raises:
            UsageError: the manifest is damaged.
            InputError: the folder cannot be read.
        """
        with self._as_input_errors():
            return self._manifest(RUN) or self._manifest(MANIFEST)

    def begin(self, run: Manifest, model: bytes, *, overwrite: bool) -> list[Record]:
        """Prepare the folder for a run.

        Args:
            run: settings of the run.
            model: content of the model file, which is stored in the folder until the run is finished.
            overwrite: discard the output of an earlier run.

        Returns:
            Valid records of an earlier run, without sources that have changed since and without read failures.

        Raises:
            UsageError: the folder contains the output of another run, or other files.
            InputError: the folder cannot be written.
        """
        with self._as_input_errors():
            files = self._files()
            if files and not files & {RUN, MANIFEST}:
                raise UsageError(
                    f"{self.name} contains {min(files)}, which is not the output of a run; name an empty folder"
                )
            valid = [] if overwrite else self._records(run, files)
            current = {name for record in valid for name in (shard_name(record, run), _record_name(record))}
            self._remove(files - current - ({RUN} if overwrite else {RUN, MANIFEST}))
            self.fs.makedirs(self._at(PROGRESS), exist_ok=True)
        write_file(self.fs, self._at(RUN), run.to_json())
        write_file(self.fs, self._at(_MODEL), model)
        return valid

    def read_model(self) -> bytes:
        """Return the content of the run's model file; available until the run is finished."""
        content: bytes = self.fs.cat_file(self._at(_MODEL))
        return content

    def write(self, record: Record, run: Manifest, shard: bytes | None) -> None:
        """Write a shard, unless it is None, and then its record."""
        if shard is not None:
            write_file(self.fs, self._at(shard_name(record, run)), shard)
        write_file(self.fs, self._at(_record_name(record)), record.to_json())

    def finish(self, run: Manifest, records: Iterable[Record]) -> Manifest:
        """Write the manifest, and remove the progress records and the model.

        Args:
            run: as for `begin`.
            records: all records, from `begin` and from this run.

        Returns:
            The manifest.

        Raises:
            CheckError: a source has rows or pictures without a record and without a read failure.
            InputError: the folder cannot be written.
        """
        by_source: dict[int, list[Record]] = {number: [] for number in range(len(run.sources))}
        for record in records:
            by_source[record.source].append(record)
        final: list[Record] = []
        for number, source_records in by_source.items():
            predicted = one_after_another(source_records)
            failures = [record for record in source_records if record.failed is not None]
            if not is_intact(predicted, failures):
                raise CheckError(f"{run.sources[number].name} is not completely processed; run the command again")
            final += sorted([*predicted, *failures], key=lambda record: record.first)
        manifest = replace(run, records=tuple(final), counts=total(final))
        write_file(self.fs, self._at(MANIFEST), manifest.to_json())
        with self._as_input_errors():
            shards = {shard_name(record, run) for record in final}
            self._remove({name for name in self._files() if not name.startswith(PROGRESS)} - {MANIFEST} - shards)
            self.fs.rm(self._at(PROGRESS), recursive=True)
        return manifest

    def _at(self, name: str) -> str:
        return f"{self.path}/{name}"

    @contextmanager
    def _as_input_errors(self) -> Iterator[None]:
        """Convert the exceptions of a file system to `InputError`."""
        try:
            yield
        except (InputError, UsageError):
            raise
        except Exception as error:  # each file system has its own exception types
            raise InputError(f"{self.name} could not be written: {one_line(error)}") from error

    def _records(self, run: Manifest, files: set[str]) -> list[Record]:
        """Return the records of earlier runs for unchanged sources whose shards still exist."""
        finished, begun = self._manifest(MANIFEST), self._manifest(RUN)
        records: dict[str, Record] = {}
        for manifest, stored in ((finished, finished.records if finished else ()), (begun, self._progress(files))):
            if manifest is None:
                continue
            if differing := manifest.differs_in(run):
                other = " and ".join(differing)
                raise UsageError(
                    f"{self.name} contains predictions of another {other}; name another folder, or use --overwrite"
                )
            versions = zip(manifest.sources, run.sources, strict=True)
            unchanged = {number for number, (then, now) in enumerate(versions) if then.version == now.version}
            records |= {record.stem: record for record in stored if record.source in unchanged}
        return [
            record
            for record in records.values()
            if record.failed is None and (not record.counts["answered"] or shard_name(record, run) in files)
        ]

    def _progress(self, files: set[str]) -> Iterator[Record]:
        """Read the progress records of a run."""
        paths = [self._at(name) for name in files if name.startswith(f"{PROGRESS}/") and name.endswith(".json")]
        contents: dict[str, bytes] = self.fs.cat(paths) if paths else {}
        for content in contents.values() if isinstance(contents, dict) else [contents]:
            with suppress(ValueError):  # partially written: the shard is predicted again
                yield Record.from_json(content)

    def _manifest(self, name: str) -> Manifest | None:
        try:
            return Manifest.from_json(self.fs.cat_file(self._at(name)))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise UsageError(f"{self.name}/{name} is damaged; start again with --overwrite") from error

    def _files(self) -> set[str]:
        """Return the names of the files in the folder and its subfolders, without the lock and unfinished files."""
        self.fs.invalidate_cache()  # other processes may have written
        found = self.fs.find(self.path, maxdepth=2) if self.fs.exists(self.path) else []
        names = {path.removeprefix(self.path).lstrip("/") for path in found}
        return {name for name in names if name != LOCK and not name.endswith(".unfinished")}

    def _remove(self, names: set[str]) -> None:
        """Remove files that runs have written; files with other names are not touched."""
        for name in sorted(names):  # `_run.json`, which identifies the folder as a run's output, comes last
            if _RUN_FILES.fullmatch(name):
                self.fs.rm_file(self._at(name))


def shard_name(record: Record, run: Manifest) -> str:
    """Return the file name of a record's shard."""
    return f"{record.stem}.{run.file_format}"


def _record_name(record: Record) -> str:
    return f"{PROGRESS}/{record.stem}.json"
