"""`find_sources()`: find tables and folders of pictures by path, folder or glob in any file system."""

import glob
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, Literal

from digits_edge.runtime.batch.distributed.file_system import file_system, shown
from digits_edge.runtime.datasets.loading import COMPRESSED
from digits_edge.runtime.errors import DataError, one_line
from digits_edge.runtime.preprocessing.pictures import PICTURE_SUFFIXES, SUFFIXES

Kind = Literal["csv", "parquet", "pictures"]
_CSV_ENDINGS = [f"{table}{packed}" for table in (".csv", ".tsv") for packed in ("", *COMPRESSED)]
_TABLES: dict[str, Kind] = {**dict.fromkeys(_CSV_ENDINGS, "csv"), ".parquet": "parquet"}
_HIDDEN = (".", "_")
#: File attributes that change with the content; each file system has some of them.
_VERSION_KEYS = ("size", "etag", "ETag", "md5Hash", "checksum", "mtime", "LastModified", "last_modified", "updated")


@dataclass(frozen=True)
class Source:
    """A table, or the pictures of one folder.

    Attributes:
        name: name of the file or folder in messages and the manifest.
        kind: format.
        fs: `fsspec.AbstractFileSystem`.
        path: path of the file or folder in `fs`.
        patterns: glob patterns of the pictures in a folder; empty for a table.
        version: identifier that changes with the content: size, time, checksum and the like, hashed for a folder.
    """

    name: str
    kind: Kind
    fs: Any
    path: str
    patterns: tuple[str, ...]
    version: str


def find_sources(places: Iterable[str]) -> list[Source]:
    """Find the tables and folders of pictures at some paths, folders or globs; each source is returned once.

    A folder is searched recursively, without hidden files and folders (names that begin with `.` or `_`). In a glob,
    `**` matches any number of folders.

    Args:
        places: paths or URIs.

    Returns:
        Sources in the order of `places`, and by name within each place.

    Raises:
        DataError: a place does not exist, cannot be read, or contains no tables or pictures.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("a.csv", "b.parquet", "three.png", "notes.txt"):
        ...         Path(folder, name).touch()
        ...     sorted(source.kind for source in find_sources([folder]))
        ['csv', 'parquet', 'pictures']
    """
    found: dict[str, Source] = {}
    for place in places:
        at_place = sorted(_sources_at(place), key=lambda source: source.name)
        if not at_place:
            wanted = ", ".join([*_TABLES, *sorted(SUFFIXES)])
            raise DataError(f"{place} contains no tables or pictures; name files ending in {wanted}")
        for source in at_place:
            known = found.get(source.name)
            found[source.name] = source if known is None else _merged(known, source)
    return list(found.values())


def pictures_in(fs: Any, folder: str, patterns: Sequence[str]) -> list[str]:
    """Return the sorted paths of the pictures directly in a folder whose names match a pattern."""
    matcher = _NameMatcher(patterns)
    files = (entry for entry in fs.ls(folder, detail=True) if _is_file(fs, entry))
    return sorted(entry["name"] for entry in files if matcher.matches_picture(entry["name"]))


def _merged(one: Source, other: Source) -> Source:
    """Combine two sources of pictures in the same folder."""
    if one.patterns == other.patterns:
        return one
    patterns = tuple(sorted({*one.patterns, *other.patterns}))
    return replace(one, patterns=patterns, version=f"{one.version} {other.version}")


def _sources_at(place: str) -> Iterator[Source]:
    """Find the sources at one path, folder or glob."""
    fs, path = file_system(place)
    try:
        fs.invalidate_cache()
        if fs.isdir(path):
            yield from _below(fs, path)
        elif fs.isfile(path):
            yield from _matching(fs, [fs.info(path) | {"name": path}], glob.escape(_file_name(path)))
        elif glob.has_magic(path):
            yield from _matching(fs, fs.glob(path, detail=True).values(), _file_name(path))
        else:
            raise DataError(f"{place} could not be read: no such file or folder")
    except DataError:
        raise
    except Exception as error:  # each file system has its own exception types
        raise DataError(f"{place} could not be read: {one_line(error)}") from error


def _below(fs: Any, top: str) -> Iterator[Source]:
    """Search a folder recursively, without hidden folders."""
    for _, folders, files in fs.walk(top, detail=True, on_error="raise"):
        for hidden in [name for name in folders if name.startswith(_HIDDEN)]:
            del folders[hidden]
        yield from _matching(fs, files.values(), "*")


def _matching(fs: Any, entries: Iterable[dict[str, Any]], pattern: str) -> Iterator[Source]:
    """Return each table among some files, and each folder of the pictures among them."""
    matcher = _NameMatcher([pattern])
    pictures: dict[str, list[str]] = {}
    for entry in entries:
        path = entry["name"]
        if not _is_file(fs, entry) or not matcher.matches(path):
            continue
        version = " ".join(str(entry[key]) for key in _VERSION_KEYS if key in entry)
        if kind := next((kind for suffix, kind in _TABLES.items() if path.lower().endswith(suffix)), None):
            yield Source(shown(fs, path), kind, fs, path, (), version)
        elif matcher.matches_picture(path):
            pictures.setdefault(path.rpartition("/")[0], []).append(f"{_file_name(path)} {version}")
    for folder, versions in pictures.items():
        digest = hashlib.sha256("\n".join(sorted(versions)).encode("utf-8", "surrogateescape")).hexdigest()
        yield Source(shown(fs, folder), "pictures", fs, folder, (pattern,), digest)


def _is_file(fs: Any, entry: dict[str, Any]) -> bool:
    return entry["type"] == "file" or bool(entry.get("islink") and fs.isfile(entry["name"]))


class _NameMatcher:
    """Matches file names against glob patterns; a hidden name matches only a pattern that begins with `.` or `_`."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._exact = {pattern for pattern in patterns if not glob.has_magic(pattern)}
        self._globs = [pattern for pattern in patterns if glob.has_magic(pattern)]

    def matches(self, path: str) -> bool:
        """Whether the file name matches a pattern."""
        name = _file_name(path)
        return name in self._exact or any(
            fnmatchcase(name, pattern) and (pattern.startswith(_HIDDEN) or not name.startswith(_HIDDEN))
            for pattern in self._globs
        )

    def matches_picture(self, path: str) -> bool:
        """Whether the file is a picture and its name matches a pattern."""
        return path.lower().endswith(tuple(PICTURE_SUFFIXES)) and self.matches(path)


def _file_name(path: str) -> str:
    return path.rpartition("/")[2]
