"""Files in which Keras saves complete models: their configuration, and copies with another configuration."""

import io
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal
from zipfile import ZipFile, is_zipfile

import h5py

from digits_edge.runtime.datasets.opening import is_bomb
from digits_edge.runtime.errors import ModelError

_WEIGHTS = "model.weights.h5"
_CONFIG = "config.json"
_METADATA = "metadata.json"
_ONLY_WEIGHTS = (
    "it has weights but no layers: build the model, load the weights, and save both with model.save('FILE.keras')"
)
_ONLY_LAYERS = "it has layers but no weights: save the trained model with model.save('FILE.keras')"
_DAMAGED = "it is damaged or not a Keras file: save the model again with model.save('FILE.keras')"
#: Names in the HDF5 files of `save_weights` in Keras 3 and Keras 2; the last is an attribute.
_WEIGHT_GROUPS = ("layers", "_layer_checkpoint_dependencies", "vars", "layer_names")


@dataclass(frozen=True)
class KerasArchive:
    """A complete model in a file or folder of Keras.

    Attributes:
        path: the file or folder.
        kind: a zip archive or folder with a `config.json`, or an HDF5 file.
        config: the configuration of the model.
        version: the version of Keras that saved it; empty if unknown.

    Example:
        >>> archive = KerasArchive(Path("old.keras"), "zip", {"class_name": "Sequential", "config": {}}, "2.15.0")
        >>> archive.is_keras_2
        True
    """

    path: Path
    kind: Literal["zip", "folder", "hdf5"]
    config: dict[str, Any]
    version: str

    @property
    def is_keras_2(self) -> bool:
        """Whether Keras 1 or 2 saved the model, also as tf.keras or tf_keras."""
        return not self.version.startswith("3")

    @contextmanager
    def with_config(self, config: dict[str, Any]) -> Iterator[Path]:
        """Provide a file with the weights of this one, another configuration, and the extension that Keras expects.

        Args:
            config: the configuration; this file itself is used if it is its own.
        """
        suffixes = {"zip": (".keras",), "folder": (self.path.suffix,), "hdf5": (".h5", ".hdf5")}[self.kind]
        if config == self.config and self.path.suffix in suffixes:
            yield self.path
            return
        with TemporaryDirectory() as folder:
            copy = Path(folder) / f"model{suffixes[0]}"
            if self.kind == "hdf5":
                shutil.copyfile(self.path, copy)
                with h5py.File(copy, "r+") as file:
                    file.attrs["model_config"] = json.dumps(config).encode()
            elif self.kind == "zip":
                _copy_zip(self.path, copy, json.dumps(config))
            else:
                shutil.copytree(self.path, copy)
                (copy / _CONFIG).write_text(json.dumps(config), encoding="utf-8")
            yield copy

    @contextmanager
    def weights(self) -> Iterator[h5py.File]:
        """Open the weights file of an archive or folder."""
        if self.kind == "folder":
            with h5py.File(self.path / _WEIGHTS) as file:
                yield file
        else:
            with ZipFile(self.path) as archive:
                content = _member(archive, _WEIGHTS)
            with h5py.File(io.BytesIO(content)) as file:
                yield file


def read_archive(path: Path) -> KerasArchive:
    """Read the configuration of a model that `model.save()` of any version of Keras wrote.

    The content decides, not the extension: until TensorFlow 2.11, `model.save("model.keras")` wrote HDF5.

    Args:
        path: the file, or the folder of `model.save(zipped=False)`.

    Raises:
        ModelError: it has weights or a configuration only, is damaged, or is of another kind.

    Example:
        >>> read_archive(Path("model.keras")).version  # doctest: +SKIP
        '3.15.1'
    """
    if not os.access(path, os.R_OK):
        raise ModelError("cannot be read; pass a run folder, a .keras or .h5 file, or a SavedModel folder")
    _refuse_incomplete(path)
    try:
        if path.is_dir():
            return _archive(path, "folder", (path / _CONFIG).read_bytes(), (path / _METADATA).read_bytes())
        if is_zipfile(path):
            with ZipFile(path) as archive:
                metadata = _member(archive, _METADATA) if _METADATA in archive.namelist() else b"{}"
                return _archive(path, "zip", _member(archive, _CONFIG), metadata)
        if h5py.is_hdf5(path):
            return _hdf5(path)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, NotImplementedError) as error:
        raise ModelError(_DAMAGED) from error
    raise ModelError(_DAMAGED)


def _refuse_incomplete(path: Path) -> None:
    """Refuse files that have a part of a model only, by their names."""
    if path.suffix in (".json", ".yaml", ".yml"):
        raise ModelError(_ONLY_LAYERS)
    if path.suffix in (".index", ".ckpt") or ".data-0" in path.suffix or path.name == "checkpoint":
        raise ModelError(_ONLY_WEIGHTS)


def _archive(path: Path, kind: Literal["zip", "folder"], config: bytes, metadata: bytes) -> KerasArchive:
    content, about = json.loads(config), json.loads(metadata)
    if not isinstance(content, dict):
        raise TypeError("the configuration is not an object")
    return KerasArchive(path, kind, {**content, "compile_config": None}, str(about.get("keras_version") or ""))


def _hdf5(path: Path) -> KerasArchive:
    with h5py.File(path) as file:
        content = file.attrs.get("model_config")
        if content is None and any(name in file or name in file.attrs for name in _WEIGHT_GROUPS):
            raise ModelError(_ONLY_WEIGHTS)
        version = file.attrs.get("keras_version", "")
        version = version.decode() if isinstance(version, bytes) else str(version)
        return KerasArchive(path, "hdf5", dict(json.loads(content)), version)


def _member(archive: ZipFile, name: str) -> bytes:
    """Read a file in a zip archive, unless it is a decompression bomb."""
    about = archive.getinfo(name)
    if is_bomb(about.file_size, about.compress_size):
        raise ValueError(f"{name} unpacks to {about.file_size} bytes")
    return archive.read(name)


def _copy_zip(source: Path, target: Path, config: str) -> None:
    with ZipFile(source) as old, ZipFile(target, "w") as new:
        for name in old.namelist():
            new.writestr(name, config if name == _CONFIG else _member(old, name))
