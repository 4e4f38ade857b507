"""Stored fuzzing inputs: one archive for each target, in addition to the seeds of `seeds.py`."""

import hashlib
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from fuzz.seeds import seeds

_FOLDER = Path(__file__).with_name("corpus")
#: Fixed, so that the same inputs give the same archive.
_DATE = (1980, 1, 1, 0, 0, 0)


def inputs(target: str) -> Iterator[bytes]:
    """Yield the seeds and the stored inputs of a target."""
    yield from seeds(target)
    if (path := _archive(target)).exists():
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                yield archive.read(name)


def store(target: str, found: Iterable[bytes]) -> None:
    """Replace the stored inputs of a target."""
    by_name = {hashlib.sha256(content).hexdigest()[:16]: content for content in found}
    path = _archive(target)
    path.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(by_name):
            archive.writestr(zipfile.ZipInfo(name, _DATE), by_name[name], zipfile.ZIP_DEFLATED)


def _archive(target: str) -> Path:
    return _FOLDER / f"{target}.zip"
