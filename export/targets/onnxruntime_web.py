"""ONNX Runtime Web, from its npm package: `onnxruntime_web`."""

import base64
import hashlib
import io
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from digits_edge.runtime.errors import InputError, UsageError
from digits_edge.runtime.files import atomic_write, user_cache

VERSION = "1.30.0"
_PACKAGE = f"onnxruntime-web@{VERSION}"
_ARCHIVE = f"onnxruntime-web-{VERSION}.tgz"
#: Of the archive, as npm's lock files write it.
_INTEGRITY = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
#: What a page needs of it to run models on the CPU, by WebAssembly with SIMD.
_MEMBERS = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
#: The package itself names its licence and leaves its text out.
_LICENCE = Path(__file__).with_name("onnxruntime_web_licence.txt")


def onnxruntime_web(archive: Path | None = None) -> dict[str, bytes]:
    """The files that a page needs, by name.

    Args:
        archive: the package as `npm pack` writes it; None fetches it by npm, once: it stays in the user's cache.

    Raises:
        InputError: the archive cannot be read, or is of another version.
        UsageError: npm is not installed, or could not fetch it.
    """
    if archive is not None:
        return _unpacked(_checked(archive, "make it by: npm pack " + _PACKAGE))
    path = user_cache() / _ARCHIVE
    if not path.exists():
        _fetch(path)
    return _unpacked(_checked(path, "remove it"))


def _checked(path: Path, remedy: str) -> bytes:
    """The archive's bytes, if they are those that npm lists."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    if base64.b64encode(hashlib.sha512(content).digest()).decode() != _INTEGRITY:
        raise InputError(f"{path} is not {_PACKAGE} as npm lists it; {remedy}")
    return content


def _fetch(path: Path) -> None:
    """Have npm fetch the archive into the cache."""
    npm = shutil.which("npm")
    if npm is None:
        raise UsageError(f"npm is not installed; install it, or name the package by --onnxruntime-web {_ARCHIVE}")
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", _PACKAGE, "--pack-destination", folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise UsageError(f"npm could not fetch {_PACKAGE} ({reason}); name it by --onnxruntime-web {_ARCHIVE}")
        content = _checked(Path(folder) / _ARCHIVE, "npm fetched another; name it by --onnxruntime-web")
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as stream:
        stream.write(content)


def _unpacked(archive: bytes) -> dict[str, bytes]:
    files = {"LICENSE.txt": _LICENCE.read_bytes()}
    with tarfile.open(fileobj=io.BytesIO(archive)) as package:
        for name in _MEMBERS:
            member = package.extractfile(f"package/dist/{name}")
            assert member is not None  # the archive is the one whose sum is known
            files[name] = member.read()
    return files
