"""Keras models from all formats that Keras has had: `load_keras()`."""

from pathlib import Path
from typing import Any

import keras

from digits_edge.export.float32 import in_float32
from digits_edge.export.loading.archive import KerasArchive, read_archive
from digits_edge.export.loading.custom_objects import import_objects, refuse_code
from digits_edge.export.loading.endpoints import with_one_input, with_one_output
from digits_edge.export.loading.keras2 import translated, without_unused_arguments
from digits_edge.export.loading.keras2_weights import load_weights
from digits_edge.export.loading.saved_model import is_saved_model, load_saved_model
from digits_edge.export.reasons import reason
from digits_edge.runtime.errors import ModelError, UsageError


def load_keras(path: Path, *, custom_objects: str | None = None, output: str | None = None) -> keras.Model:
    """Load a Keras model that computes in float32, with one tensor as input and one as output.

    Without `custom_objects`, no code is run that is not part of Keras or TensorFlow.

    Args:
        path: a `.keras` or `.h5` file of Keras 2 or 3, the folder of `model.save(zipped=False)`, or the folder of a
            SavedModel, whose serving signature is used.
        custom_objects: classes and functions that the model needs, `MODULE:NAME[,NAME]` with a module or a `.py` file,
            or `Lambda`. This runs the module, and code of Lambda layers in the file.
        output: the name of the output to use, for a model that has several.

    Returns:
        The model, with shapes and classes of any number.

    Raises:
        ModelError: the path is not a complete model, cannot be loaded, or has several inputs or outputs.
        UsageError: `custom_objects` cannot be imported, or the model has no such output.

    Example:
        >>> load_keras(Path("mine.keras")).input_shape  # doctest: +SKIP
        (None, 28, 28, 1)
    """
    objects = None if custom_objects is None else import_objects(custom_objects)
    try:
        if is_saved_model(path):
            return load_saved_model(path, output)
        archive = read_archive(path)
        refuse_code(archive.config, objects)
        model = with_one_input(_load(archive, objects), archive.config.get("build_config"))
        return in_float32(with_one_output(model, output), objects)
    except (ModelError, UsageError) as error:
        raise type(error)(f"{path}: {error}") from error
    except Exception as error:  # Keras raises exceptions of many types
        raise ModelError(f"{path}: Keras cannot load it: {reason(error)}") from error


def _load(archive: KerasArchive, objects: dict[str, Any] | None) -> keras.Model:
    if archive.is_keras_2 and archive.kind != "hdf5":
        config = translated(archive.config, objects or ())
        model = keras.saving.deserialize_keras_object(config, custom_objects=objects, safe_mode=objects is None)
        with archive.weights() as weights:
            load_weights(model, weights)
        return model
    if archive.kind == "hdf5":
        return _load_as(archive, translated(archive.config, objects or ()), objects)
    try:
        return _load_as(archive, archive.config, objects)
    except Exception:
        used = without_unused_arguments(archive.config)
        if used == archive.config:
            raise
        return _load_as(archive, used, objects)


def _load_as(archive: KerasArchive, config: dict[str, Any], objects: dict[str, Any] | None) -> keras.Model:
    """Load a model with another configuration."""
    with archive.with_config(config) as file:
        # safe mode refuses Lambda layers, so that no code in the file is run
        return keras.saving.load_model(file, custom_objects=objects, compile=False, safe_mode=objects is None)
