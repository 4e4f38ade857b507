"""What is answered: tables, and folders of pictures, found by path, folder or glob in any file system."""

import glob
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, Literal

from digits_edge.runtime.batch.distributed.file_system import file_system, shown
from digits_edge.runtime.errors import DataError, one_line
from digits_edge.runtime.preprocessing.pictures import SUFFIXES

Kind = Literal["csv", "parquet", "pictures"]
_TABLES: dict[str, Kind] = {".csv": "csv", ".csv.gz": "csv", ".parquet": "parquet"}
_HIDDEN = (".", "_")
#: What says, in one file system or another, that a file is not what it was.
_VERSION_KEYS = ("size", "etag", "ETag", "md5Hash", "checksum", "mtime", "LastModified", "last_modified", "updated")


@dataclass(frozen=True)
class Source:
    """A table, or the pictures of one folder.

    Attributes:
        name: the file, or the folder, as messages and the manifest call it.
        kind: how it is read.
        fs: `fsspec.AbstractFileSystem`.
        path: in that.
        patterns: of a folder, which of its pictures are meant.
        version: what changes with the content: the sum of sizes, times and the like.
    """

    name: str
    kind: Kind
    fs: Any
    path: str
    patterns: tuple[str, ...]
    version: str


def find_sources(places: Iterable[str]) -> list[Source]:
    """The tables, and the folders with pictures, that a command's arguments name; in their order, each once.

    A folder stands for all tables and pictures in and below it, but for hidden ones (`.` or `_` in front); a glob
    (`**` goes into folders) for what it matches.

    Raises:
        DataError: nothing is there, or nothing that can be read.
    """
    found: dict[str, Source] = {}
    for place in places:
        of_place = sorted(_sources_of(place), key=lambda source: source.name)
        if not of_place:
            wanted = ", ".join([*_TABLES, *sorted(SUFFIXES)])
            raise DataError(f"{place} holds no tables and no pictures; wanted are {wanted}")
        for source in of_place:
            known = found.get(source.name)
            found[source.name] = source if known is None else _both(known, source)
    return list(found.values())


def pictures_in(fs: Any, folder: str, patterns: Sequence[str]) -> list[str]:
    """The paths of the pictures directly in a folder whose names fit a pattern, sorted."""
    fits = _Fitting(patterns)
    files = (entry for entry in fs.ls(folder, detail=True) if _is_file(fs, entry))
    return sorted(entry["name"] for entry in files if fits.picture(entry["name"]))


def _both(one: Source, other: Source) -> Source:
    """The pictures of one folder that two arguments name."""
    if one.patterns == other.patterns:
        return one
    patterns = tuple(sorted({*one.patterns, *other.patterns}))
    return replace(one, patterns=patterns, version=f"{one.version} {other.version}")


def _sources_of(place: str) -> Iterator[Source]:
    fs, path = file_system(place)
    try:
        fs.invalidate_cache()
        if fs.isdir(path):
            yield from _below(fs, path)
        elif fs.isfile(path):
            yield from _matched(fs, [fs.info(path) | {"name": path}], glob.escape(_last(path)))
        elif glob.has_magic(path):
            yield from _matched(fs, fs.glob(path, detail=True).values(), _last(path))
        else:
            raise DataError(f"{place} could not be read: there is no such file or folder")
    except DataError:
        raise
    except Exception as error:  # each file system has its own
        raise DataError(f"{place} could not be read: {one_line(error)}") from error


def _below(fs: Any, top: str) -> Iterator[Source]:
    for _, folders, files in fs.walk(top, detail=True, on_error="raise"):
        for hidden in [name for name in folders if name.startswith(_HIDDEN)]:
            del folders[hidden]
        yield from _matched(fs, files.values(), "*")


def _matched(fs: Any, entries: Iterable[dict[str, Any]], pattern: str) -> Iterator[Source]:
    """Each table of some files, and each folder that their pictures are in."""
    fits = _Fitting([pattern])
    pictures: dict[str, list[str]] = {}
    for about in entries:
        path = about["name"]
        if not _is_file(fs, about) or not fits.name(path):
            continue
        version = " ".join(str(about[key]) for key in _VERSION_KEYS if key in about)
        if kind := next((kind for suffix, kind in _TABLES.items() if path.lower().endswith(suffix)), None):
            yield Source(shown(fs, path), kind, fs, path, (), version)
        elif fits.picture(path):
            pictures.setdefault(path.rpartition("/")[0], []).append(f"{_last(path)} {version}")
    for folder, versions in pictures.items():
        digest = hashlib.sha256("\n".join(sorted(versions)).encode("utf-8", "surrogateescape")).hexdigest()
        yield Source(shown(fs, folder), "pictures", fs, folder, (pattern,), digest)


def _is_file(fs: Any, about: dict[str, Any]) -> bool:
    return about["type"] == "file" or bool(about.get("islink") and fs.isfile(about["name"]))


class _Fitting:
    """Whether names fit one of some patterns; hidden ones only if a pattern begins so, too."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._exact = {pattern for pattern in patterns if not glob.has_magic(pattern)}
        self._others = [pattern for pattern in patterns if glob.has_magic(pattern)]

    def name(self, path: str) -> bool:
        """Whether a file is meant."""
        name = _last(path)
        return name in self._exact or any(
            fnmatchcase(name, pattern) and (pattern.startswith(_HIDDEN) or not name.startswith(_HIDDEN))
            for pattern in self._others
        )

    def picture(self, path: str) -> bool:
        """Whether a file is a picture that is meant."""
        return path.lower().endswith(tuple(SUFFIXES)) and self.name(path)


def _last(path: str) -> str:
    return path.rpartition("/")[2]
