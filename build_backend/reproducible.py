"""Build backend: setuptools with reproducible archives, identical byte for byte wherever and whenever they are built.

Wheels of setuptools are reproducible if SOURCE_DATE_EPOCH is set. Its sdists contain the times and owners of the source
files, which this module normalizes. Without SOURCE_DATE_EPOCH, both use the earliest time of the ZIP format.
"""

import gzip
import io
import os
import tarfile
from pathlib import Path
from typing import Any

from setuptools import build_meta
from setuptools.build_meta import *  # noqa: F403 - every hook that is not defined here

_EARLIEST_ZIP_TIME = "315532800"
os.environ.setdefault("SOURCE_DATE_EPOCH", _EARLIEST_ZIP_TIME)


def build_sdist(sdist_directory: str, config_settings: dict[str, Any] | None = None) -> str:
    """Build a source distribution (PEP 517)."""
    name = build_meta.build_sdist(sdist_directory, config_settings)
    path = Path(sdist_directory, name)
    path.write_bytes(_normalized(path.read_bytes()))
    return name


def _normalized(archive: bytes) -> bytes:
    """Return the archive with sorted members, one time, no owner and fixed permissions."""
    when = int(os.environ["SOURCE_DATE_EPOCH"])
    packed = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(archive)) as before,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as after,
    ):
        for member in sorted(before.getmembers(), key=lambda member: member.name):
            member.mtime, member.uid, member.gid, member.uname, member.gname = when, 0, 0, "", ""
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            member.pax_headers = {}
            after.addfile(member, before.extractfile(member) if member.isfile() else None)
    return gzip.compress(packed.getvalue(), 9, mtime=when)
