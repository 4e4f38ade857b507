"""A static site that reads digits in the browser: the service's page, with the model files and what runs them."""

import base64
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from digits_edge.export.targets.onnxruntime_web import onnxruntime_web
from digits_edge.runtime.checks.verify import verify
from digits_edge.runtime.classifier import Classifier
from digits_edge.runtime.errors import CheckError, InputError, UsageError
from digits_edge.runtime.files import sync_folder
from digits_edge.runtime.json_record import read_json
from digits_edge.runtime.service.page import PAGE_FILES

_BROWSER = Path(__file__).with_name("browser")
#: Says that a folder is such a site, of which files, and what there is to choose.
_LISTING, _WORKER = "models.json", "service-worker.js"
_MADE_BY = "digits-edge export --target web"
#: Pages of the service alone.
_OF_THE_SERVICE = ("docs.html", "docs.js")
_POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'"
)
_HEAD = "<head>"


@dataclass(frozen=True)
class WebExported:
    """A site that was written.

    Attributes:
        folder: the site.
        models: names of the models to choose, the default first.
        size_bytes: of all its files.
        files: how many they are.
    """

    folder: Path
    models: tuple[str, ...]
    size_bytes: int
    files: int


def export_web(
    model_files: Sequence[Path], folder: Path, *, archive: Path | None = None, overwrite: bool = False
) -> WebExported:
    """Write a site that runs model files in the browser; it needs no server but one of files, and no network.

    Args:
        model_files: of digits-edge, the default first.
        folder: of the site; it appears complete or not at all.
        archive: ONNX Runtime Web's package, as `onnxruntime_web` takes it.
        overwrite: replace a site that is there.

    Raises:
        CheckError: a model does not answer like Keras here; nothing is written.
        InputError: the folder cannot be written, or the archive not be read.
        ModelError: no model file of digits-edge.
        UsageError: the folder exists, or two models have one name.
    """
    refuse_folder(folder, overwrite=overwrite)
    files = dict(_page_files()) | {f"onnxruntime/{name}": content for name, content in onnxruntime_web(archive).items()}
    listings: list[dict[str, Any]] = []
    for model_file in model_files:
        listing, content = _model(model_file)
        if f"models/{listing['file']}" in files:
            raise UsageError(f"{model_file} is a second model called {listing['name']!r}; name each once")
        files[f"models/{listing['file']}"] = content
        listings.append(listing | {"default": not listings})
    listing = {"made_by": _MADE_BY, "models": listings, "files": sorted([*files, _LISTING, _WORKER])}
    files[_LISTING] = json.dumps(listing).encode()
    files[_WORKER] = _service_worker(files)
    _write(files, folder)
    return WebExported(
        folder, tuple(listing["name"] for listing in listings), sum(map(len, files.values())), len(files)
    )


def refuse_folder(folder: Path, *, overwrite: bool) -> None:
    """Refuse to write over anything but a site, and over that unless asked to.

    Raises:
        UsageError: there is something.
        InputError: there is no folder in which it could be.
    """
    if folder.exists() or folder.is_symlink():
        if not _is_site(folder):
            raise UsageError(f"{folder} exists and is no such site; name a folder that does not exist")
        if not overwrite:
            raise UsageError(f"{folder} exists already; --overwrite replaces it")
    if not folder.absolute().parent.is_dir():
        raise InputError(f"{folder} could not be written: there is no folder {folder.parent}")


def _is_site(folder: Path) -> bool:
    """Whether a folder is one of ours, and nothing else lies in it."""
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
        elif path.name not in _OF_THE_SERVICE:
            yield f"page/{path.name}", path.read_bytes()
    # the page's own engine asks the service; the one of this name here reads in the browser
    for path in sorted(_BROWSER.glob("*.js")):
        if path.name != _WORKER:
            yield f"page/{path.name}", path.read_bytes()


def _model(path: Path) -> tuple[dict[str, Any], bytes]:
    """What the page says of a model, and the model's file."""
    with Classifier(path, provider="cpu") as classifier:
        found = verify(classifier)
        if not found.holds:
            raise CheckError(f"{path} does not hold: {'; '.join(found.problems)}")
        metadata, golden = classifier.metadata, classifier.golden.pack()
        content = classifier.path.read_bytes()
    digest = hashlib.sha256(content).digest()
    test = metadata.test or {}
    return {
        "name": metadata.name,
        "file": re.sub(r"[^\w.-]", "-", metadata.name, flags=re.ASCII) + ".onnx",
        "integrity": f"sha256-{base64.b64encode(digest).decode()}",
        "bytes": len(content),
        "labels": metadata.labels,
        "preprocessing": metadata.preprocessing,
        "uncertain_below": metadata.uncertain_below,
        "test_errors": test.get("errors"),
        "test_images": test.get("images"),
        "test_data": test.get("name"),
        "golden": json.loads(golden),
    }, content


def _service_worker(files: dict[str, bytes]) -> bytes:
    """What keeps the site for use without a network; where it keeps it changes with any file."""
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(hashlib.sha256(name.encode()).digest() + hashlib.sha256(files[name]).digest())
    constants = {"DIGEST": digest.hexdigest()[:16], "FILES": ["./", *sorted(files)]}
    lines = [f"const {name} = {json.dumps(value)};" for name, value in constants.items()]
    worker = (_BROWSER / _WORKER).read_text(encoding="utf-8")
    return "\n".join([*lines, "", worker]).encode()


def _write(files: dict[str, bytes], folder: Path) -> None:
    """Make the folder beside its place, and rename it whole."""
    folder = folder.absolute()
    try:
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as beside:
            made, replaced = Path(beside, "made"), Path(beside, "replaced")
            for name, content in files.items():
                path = made / name
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("wb") as stream:
                    stream.write(content)
                    stream.flush()
                    os.fsync(stream.fileno())
            if folder.exists():
                folder.rename(replaced)
            try:
                made.rename(folder)
            except OSError:
                if replaced.exists():
                    replaced.rename(folder)
                raise
            sync_folder(folder.parent)
    except OSError as error:
        raise InputError(f"{folder} could not be written: {error.strerror}") from error
