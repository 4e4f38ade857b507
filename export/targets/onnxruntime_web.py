"""Files of ONNX Runtime Web, from its npm package: `onnxruntime_web`."""

import io
import tarfile
import tempfile
from pathlib import Path

from digits_edge.runtime.errors import InputError
from digits_edge.runtime.files import atomic_write, user_cache
from digits_edge.runtime.npm import integrity_of, npm_pack

VERSION = "1.30.0"
_PACKAGE = f"onnxruntime-web@{VERSION}"
_ARCHIVE = f"onnxruntime-web-{VERSION}.tgz"
#: SHA-512 of the archive in base64, as in the lock files of npm.
_INTEGRITY = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
#: Files that a page needs to run models on the CPU with WebAssembly SIMD.
_MEMBERS = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
#: The text of the licence, which the package names but does not contain.
_LICENCE = Path(__file__).with_name("onnxruntime_web_licence.txt")


def onnxruntime_web(archive: Path | None = None) -> dict[str, bytes]:
    """Read the files that a page needs.

    Args:
        archive: the package, as written by `npm pack`. If None, npm downloads it once into the user's cache.

    Returns:
        Contents by file name.

    Raises:
        InputError: the archive cannot be read, or its checksum is wrong.
        UsageError: npm is not installed, or the download failed.

    Example:
        >>> sorted(onnxruntime_web(Path("onnxruntime-web-1.30.0.tgz")))  # doctest: +SKIP
        ['LICENSE.txt', 'ort-wasm-simd-threaded.mjs', 'ort-wasm-simd-threaded.wasm', 'ort.wasm.min.mjs']
    """
    if archive is not None:
        return _unpack(_read_checked(archive, f"create it with `npm pack {_PACKAGE}`"))
    path = user_cache() / _ARCHIVE
    if not path.exists():
        _download(path)
    return _unpack(_read_checked(path, "delete it and try again"))


def _read_checked(path: Path, remedy: str) -> bytes:
    """Read the archive and check its SHA-512; `remedy` completes the error message."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    if integrity_of(content) != _INTEGRITY:
        raise InputError(f"{path} is not {_PACKAGE}: its SHA-512 differs; {remedy}")
    return content


def _download(path: Path) -> None:
    """Download the archive into the cache with npm."""
    with tempfile.TemporaryDirectory() as folder:
        npm_pack([_PACKAGE], Path(folder), remedy=f"pass the package with --onnxruntime-web {_ARCHIVE}")
        content = _read_checked(Path(folder) / _ARCHIVE, "pass the package with --onnxruntime-web")
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as stream:
        stream.write(content)


def _unpack(archive: bytes) -> dict[str, bytes]:
    files = {"LICENSE.txt": _LICENCE.read_bytes()}
    # in the order of the archive: reading members in another order decompresses it several times
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r|gz") as package:
        for entry in package:
            name = entry.name.removeprefix("package/dist/")
            if name in _MEMBERS:
                member = package.extractfile(entry)
                assert member is not None  # the checksum of the archive is correct
                files[name] = member.read()
                if len(files) == 1 + len(_MEMBERS):
                    break
    return files
