"""ONNX Runtime Web, from its npm package: `onnxruntime_web`."""

import base64
import hashlib
import subprocess
import tarfile
import tempfile
from pathlib import Path

from digits_edge.runtime.errors import InputError, UsageError
from digits_edge.runtime.files import user_cache, written_whole

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
    path = archive or user_cache() / _ARCHIVE
    if archive is None and not path.exists():
        _fetch(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    if base64.b64encode(hashlib.sha512(content).digest()).decode() != _INTEGRITY:
        raise InputError(f"{path} is not {_PACKAGE} as npm has it; remove it, and name none or make it by npm pack")
    return _unpacked(path)


def _fetch(path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = subprocess.run(
                ["npm", "pack", _PACKAGE, "--pack-destination", folder], capture_output=True, text=True, check=False
            )
        except FileNotFoundError as error:
            raise UsageError(
                f"npm is not installed; install it, or name the package by --onnxruntime-web {_ARCHIVE}"
            ) from error
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise UsageError(f"npm could not fetch {_PACKAGE} ({reason}); name it by --onnxruntime-web {_ARCHIVE}")
        content = (Path(folder) / _ARCHIVE).read_bytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as stream:
        stream.write(content)


def _unpacked(path: Path) -> dict[str, bytes]:
    files = {"LICENSE.txt": _LICENCE.read_bytes()}
    with tarfile.open(path) as package:
        for name in _MEMBERS:
            member = package.extractfile(f"package/dist/{name}")
            assert member is not None  # the archive is the one whose sum is known
            files[name] = member.read()
    return files
