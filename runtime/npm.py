"""Packages of npm, downloaded with its client: `npm_pack`, `integrity_of`."""

import base64
import hashlib
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from digits_edge.runtime.errors import UsageError


def npm_pack(packages: Sequence[str], folder: Path, *, remedy: str) -> None:
    """Download packages with `npm pack`.

    Args:
        packages: packages with their versions, such as "onnxruntime-web@1.30.0".
        folder: receives a file for each, such as `onnxruntime-web-1.30.0.tgz`; `@scope/name@1.0.0` becomes
            `scope-name-1.0.0.tgz`. The caller checks their `integrity_of`.
        remedy: end of the error messages: another way to provide the packages.

    Raises:
        UsageError: npm is not installed, or the download failed.

    Example:
        >>> npm_pack(["onnxruntime-web@1.30.0"], Path("packages"), remedy="try again")  # doctest: +SKIP
    """
    npm = shutil.which("npm")
    if npm is None:
        raise UsageError(f"npm is not installed; install it, or {remedy}")
    command = [npm, "pack", *packages, "--pack-destination", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        others = f" and {len(packages) - 1} others" if len(packages) > 1 else ""
        raise UsageError(f"npm failed to download {packages[0]}{others}: {reason}; {remedy}")


def integrity_of(content: bytes) -> str:
    """Return the SHA-512 of a package in base64, as in the lock files of npm without the prefix "sha512-".

    Example:
        >>> integrity_of(b"")[:8]
        'z4PhNX7v'
    """
    return base64.b64encode(hashlib.sha512(content).digest()).decode()
