"""What is answered: tables, and folders of pictures, found by path, folder or glob in any file system."""

import glob
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal

from digits_edge.runtime.engines.file_system import file_system, shown
from digits_edge.runtime.errors import DataError
from digits_edge.runtime.pictures import SUFFIXES

Kind = Literal["csv", "parquet", "pictures"]
_TABLES: dict[str, Kind] = {".csv": "csv", ".csv.gz": "csv", ".parquet": "parquet"}
#: What says, in one file system or another, that a file is not what it was.
_VERSION_KEYS = ("etag", "ETag", "md5Hash", "checksum", "mtime", "LastModified", "last_modified", "updated")


@dataclass(frozen=True)
class Source:
    """A table, or the pictures of one folder.

    Attributes:
        name: the file, or the folder, as messages and the manifest call it.
        kind: how it is read.
        fs: `fsspec.AbstractFileSystem`.
        path: in that.
        pattern: of a folder, which of its pictures are meant.
        version: what changes with the content: of a table its size and time or sum, of a folder the number of pictures.
    """

    name: str
    kind: Kind
    fs: Any
    path: str
    pattern: str
    version: str


def find_sources(places: Iterable[str]) -> list[Source]:
    """The tables, and the folders with pictures, that a command's arguments name; in their order, each once.

    A folder stands for all tables and pictures in and below it, but for hidden ones (`.` or `_` in front); a glob
    (`**` goes into folders) for what it matches.

    Raises:
        DataError: nothing is there, or nothing that can be read.
    """
    found: dict[tuple[str, str], Source] = {}
    for place in places:
        of_place = sorted(_sources_of(place), key=lambda source: source.name)
        if not of_place:
            wanted = ", ".join([*_TABLES, *sorted(SUFFIXES)])
            raise DataError(f"{place} holds no tables and no pictures; wanted are {wanted}")
        for source in of_place:
            found.setdefault((source.name, source.pattern), source)
    return list(found.values())


def pictures_in(fs: Any, folder: str, pattern: str) -> list[str]:
    """The paths of the pictures directly in a folder whose names fit a pattern, sorted."""
    files = (entry for entry in fs.ls(folder, detail=True) if entry["type"] == "file")
    return sorted(entry["name"] for entry in files if _is_picture(entry["name"], pattern))


def _sources_of(place: str) -> Iterator[Source]:
    fs, path = file_system(place)
    try:
        if fs.isdir(path):
            yield from _below(fs, path)
        elif fs.isfile(path):
            yield from _matched(fs, {path: fs.info(path)}, glob.escape(_last(path)))
        elif glob.has_magic(path):
            yield from _matched(fs, fs.glob(path, detail=True), _last(path))
        else:
            raise DataError(f"{place} could not be read: there is no such file or folder")
    except OSError as error:
        raise DataError(f"{place} could not be read: {error.strerror or error}") from error


def _below(fs: Any, top: str) -> Iterator[Source]:
    for folder, _, files in fs.walk(top, detail=True, on_error="raise"):
        inside = folder.removeprefix(top)
        if not any(part.startswith((".", "_")) for part in inside.split("/")):
            seen = {entry["name"]: entry for name, entry in files.items() if not name.startswith((".", "_"))}
            yield from _matched(fs, seen, "*")


def _matched(fs: Any, files: dict[str, dict[str, Any]], pattern: str) -> Iterator[Source]:
    """Each table of some files, and each folder that their pictures are in."""
    pictures: dict[str, int] = {}
    for path, about in files.items():
        if about["type"] != "file":
            continue
        if kind := next((kind for suffix, kind in _TABLES.items() if path.lower().endswith(suffix)), None):
            version = [str(about[key]) for key in ("size", *_VERSION_KEYS) if key in about]
            yield Source(shown(fs, path), kind, fs, path, "", " ".join(version))
        elif _is_picture(path, pattern):
            folder = path.rpartition("/")[0]
            pictures[folder] = pictures.get(folder, 0) + 1
    for folder, count in pictures.items():
        yield Source(shown(fs, folder), "pictures", fs, folder, pattern, f"{count} pictures")


def _is_picture(path: str, pattern: str) -> bool:
    name = _last(path)
    hidden = name.startswith(".") and not pattern.startswith(".")
    return not hidden and name.lower().endswith(tuple(SUFFIXES)) and fnmatchcase(name, pattern)


def _last(path: str) -> str:
    return path.rpartition("/")[2]
