"""Export of a static site that runs models in the browser: the service's page, model files and ONNX Runtime Web."""

import base64
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from digits_edge.export.targets.onnxruntime_web import onnxruntime_web
from digits_edge.export.targets.preprocessing_constants import constants_js
from digits_edge.runtime.any_model import open_any
from digits_edge.runtime.checks.verify import verify
from digits_edge.runtime.checks.verify_lines import verify_lines
from digits_edge.runtime.classifier import Classifier
from digits_edge.runtime.errors import CheckError, InputError, UsageError
from digits_edge.runtime.files import sync_folder
from digits_edge.runtime.json_record import read_json
from digits_edge.runtime.model.model_file import Metadata
from digits_edge.runtime.reader.line_model import LineModel
from digits_edge.runtime.service.page import PAGE_FILES

_BROWSER = Path(__file__).with_name("browser")
#: `models.json` identifies a folder as a site and lists its models and files.
_LISTING, _WORKER = "models.json", "service-worker.js"
_MADE_BY = "digits-edge export --target web"
#: Files of the page that only the service needs.
_SERVICE_ONLY = ("docs.html", "docs.js")
_POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'"
)
_HEAD = "<head>"


@dataclass(frozen=True)
class WebExported:
    """Result of an export of a site.

    Attributes:
        folder: the folder of the site.
        models: names of the models, the default first.
        size_bytes: total size of the files.
        files: number of files.
    """

    folder: Path
    models: tuple[str, ...]
    size_bytes: int
    files: int


def export_web(
    model_files: Sequence[Path], folder: Path, *, archive: Path | None = None, overwrite: bool = False
) -> WebExported:
    """Write a site that runs model files in the browser. A static file server is enough to host it.

    Args:
        model_files: model files of digits-edge, the default first.
        folder: folder of the site; it is written completely or not at all.
        archive: package of ONNX Runtime Web; see `onnxruntime_web`.
        overwrite: replace an existing site.

    Raises:
        CheckError: the outputs of a model differ from those of Keras; nothing is written.
        InputError: the folder cannot be written, or the archive cannot be read.
        ModelError: a file is not a digits-edge model file.
        UsageError: the folder exists, or two models have the same name.

    Example:
        >>> export_web([Path("edge-int8.onnx")], Path("site")).models  # doctest: +SKIP
        ('edge-int8',)
    """
    refuse_folder(folder, overwrite=overwrite)
    files = dict(_page_files()) | {f"onnxruntime/{name}": content for name, content in onnxruntime_web(archive).items()}
    listings: list[dict[str, Any]] = []
    readers: list[dict[str, Any]] = []
    for model_file in model_files:
        opened = open_any(model_file, provider="cpu", threads=None)
        content = opened.path.read_bytes()
        if isinstance(opened, LineModel):
            listing = _reader(opened, content)
            readers.append(listing)
        else:
            with opened:
                listing = _model(opened, content)
            listings.append(listing | {"default": not listings})
        if f"models/{listing['file']}" in files:
            raise UsageError(f"{model_file} is a second model named {listing['name']!r}; give each model once")
        files[f"models/{listing['file']}"] = content
    models = {"models": listings, "readers": readers}
    listing = {"made_by": _MADE_BY, **models, "files": sorted([*files, _LISTING, _WORKER])}
    files[_LISTING] = json.dumps(listing).encode()
    files[_WORKER] = _service_worker(files)
    _write(files, folder)
    return WebExported(
        folder, tuple(listing["name"] for listing in (*listings, *readers)), sum(map(len, files.values())), len(files)
    )


def refuse_folder(folder: Path, *, overwrite: bool) -> None:
    """Raise an error if a site cannot be written to a folder.

    Args:
        folder: folder of the site.
        overwrite: allow an existing site.

    Raises:
        UsageError: the folder exists and is not a site, or is a site and `overwrite` is false.
        InputError: the parent folder does not exist.

    Example:
        >>> with tempfile.TemporaryDirectory() as existing:
        ...     refuse_folder(Path(existing, "site"), overwrite=False)
    """
    if folder.exists() or folder.is_symlink():
        if not _is_site(folder):
            raise UsageError(f"{folder} exists and is not a digits-edge site; choose another folder")
        if not overwrite:
            raise UsageError(f"{folder} already exists; replace it with --overwrite")
    if not folder.absolute().parent.is_dir():
        raise InputError(f"{folder} could not be written: folder {folder.parent} does not exist; create it first")


def _is_site(folder: Path) -> bool:
    """Return whether a folder is a site and contains no other files."""
    if folder.is_symlink():
        return False
    try:
        listing = read_json(folder / _LISTING)
        files = {folder / name for name in listing["files"]} if listing["made_by"] == _MADE_BY else set()
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return all(path in files for path in folder.rglob("*") if not path.is_dir())


def _page_files() -> Iterator[tuple[str, bytes]]:
    for path in PAGE_FILES:
        if path.name == "index.html":
            policy = f'{_HEAD}\n  <meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
            yield "index.html", path.read_text(encoding="utf-8").replace(_HEAD, policy, 1).encode()
        elif path.name not in _SERVICE_ONLY:
            yield f"page/{path.name}", path.read_bytes()
    # replaces the engine of the service by the one that runs models in the browser
    for path in sorted(_BROWSER.glob("*.js")):
        if path.name != _WORKER:
            yield f"page/{path.name}", path.read_bytes()
    yield "page/constants.js", constants_js().encode()


def _model(classifier: Classifier, content: bytes) -> dict[str, Any]:
    """Verify a classifier; return its entry in `models.json`."""
    _refuse_problems(classifier.path, verify(classifier).problems)
    metadata = classifier.metadata
    test = metadata.test or {}
    return {
        **_listing(metadata, classifier.golden.pack(), content),
        "input": asdict(metadata.input),
        "preprocessing": [asdict(step) for step in metadata.preprocessing],
        "output": metadata.output,
        "test_errors": test.get("errors"),
        "test_images": test.get("images"),
        "test_data": test.get("name"),
    }


def _reader(model: LineModel, content: bytes) -> dict[str, Any]:
    """Verify a sequence model; return its entry in `models.json`."""
    _refuse_problems(model.path, verify_lines(model).problems)
    entry = _listing(model.metadata, model.packed_golden, content)
    return {**entry, "characters": "".join(model.metadata.labels), "column_px": model.metadata.column_px}


def _refuse_problems(path: Path, problems: Sequence[str]) -> None:
    if problems:
        raise CheckError(f"{path} failed verification: {'; '.join(problems)}")


def _listing(metadata: Metadata, golden: str, content: bytes) -> dict[str, Any]:
    """The values of an entry in `models.json` that all models have."""
    digest = hashlib.sha256(content).digest()
    return {
        "name": metadata.name,
        "file": re.sub(r"[^\w.-]", "-", metadata.name, flags=re.ASCII) + ".onnx",
        "integrity": f"sha256-{base64.b64encode(digest).decode()}",
        "bytes": len(content),
        "labels": metadata.labels,
        "uncertain_below": metadata.uncertain_below,
        "golden": json.loads(golden),
    }


def _service_worker(files: dict[str, bytes]) -> bytes:
    """Create the service worker, which caches the site for offline use; the cache name changes with any file."""
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(hashlib.sha256(name.encode()).digest() + hashlib.sha256(files[name]).digest())
    constants = {"DIGEST": digest.hexdigest()[:16], "FILES": ["./", *sorted(files)]}
    lines = [f"const {name} = {json.dumps(value)};" for name, value in constants.items()]
    worker = (_BROWSER / _WORKER).read_text(encoding="utf-8")
    return "\n".join([*lines, "", worker]).encode()


def _write(files: dict[str, bytes], folder: Path) -> None:
    """Write the files to a temporary folder in the same parent folder, and rename it."""
    folder = folder.absolute()
    try:
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as temporary:
            new, replaced = Path(temporary, "new"), Path(temporary, "replaced")
            for name, content in files.items():
                path = new / name
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("wb") as stream:
                    stream.write(content)
                    stream.flush()
                    os.fsync(stream.fileno())
            if folder.exists():
                folder.rename(replaced)
            try:
                new.rename(folder)
            except OSError:
                if replaced.exists():
                    replaced.rename(folder)
                raise
            sync_folder(folder.parent)
    except OSError as error:
        raise InputError(f"{folder} could not be written: {error.strerror}") from error
