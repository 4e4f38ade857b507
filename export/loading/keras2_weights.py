"""Weights of `.keras` files of Keras 2: `load_weights()`."""

import re
from typing import Any

import h5py
import keras

from digits_edge.runtime.datasets.opening import is_bomb
from digits_edge.runtime.errors import ModelError

#: Names of the list of a model's layers in several versions of Keras 2.
_LISTS = ("layers", "_layer_checkpoint_dependencies", "_self_tracked_trackables")


def load_weights(model: keras.Model, weights: h5py.File) -> None:
    """Assign the weights of a `.keras` file of Keras 2 to a model; in place.

    Keras 2 has no variables for random numbers, which Keras 3 would miss in the file. As in Keras 3, layers are found
    by their class and their order, not by their names.

    Args:
        model: the model, built.
        weights: the file `model.weights.h5` in the `.keras` file.

    Raises:
        ModelError: the file does not have all weights of the model.

    Example:
        >>> load_weights(model, h5py.File("model.weights.h5"))  # doctest: +SKIP
    """
    loaded = _load(model, weights)
    if loaded != len(model.weights):
        raise ModelError(f"the file has {loaded} of the {len(model.weights)} weights of the model")


def _load(layer: Any, group: Any) -> int:
    """Load a layer and the layers in it.

    Returns:
        The number of variables that were assigned.
    """
    parts = {name: _part(group, name) for name in group}
    variables = parts.pop("vars", None) or {}
    loaded = len(variables)
    if loaded:
        layer.load_own_variables({name: _part(variables, name) for name in variables})
    for name, part in parts.items():
        owned = layer.layers if name in _LISTS and hasattr(layer, "layers") else getattr(layer, name, None)
        if isinstance(owned, keras.layers.Layer):
            loaded += _load(owned, part)
        elif isinstance(owned, list | tuple):
            loaded += sum(_load(each, _part(part, key)) for each, key in _pairs(owned, part))
    return loaded


def _part(group: Any, name: str) -> Any:
    """A part of an HDF5 file that is in this file, and not larger than what is stored."""
    part = group[name] if isinstance(group.get(name, getlink=True), h5py.HardLink) else None
    if isinstance(part, h5py.Group):
        return part
    if not isinstance(part, h5py.Dataset) or part.external or part.is_virtual:
        raise ModelError(f"its weights {name} are not in the file")
    if is_bomb(part.size * part.dtype.itemsize, part.id.get_storage_size()):
        raise ModelError(f"its weights {name} unpack to {part.size} numbers")
    return part


def _pairs(layers: Any, group: Any) -> list[tuple[Any, str]]:
    """Layers and the names of their groups, which end in numbers where a class occurs more than once."""
    names: dict[str, list[str]] = {}
    for name in sorted(group, key=lambda name: (len(name), name)):
        names.setdefault(re.sub(r"_\d+$", "", name).replace("_", ""), []).append(name)
    following = {kind: iter(of_kind) for kind, of_kind in names.items()}
    pairs = ((layer, next(following.get(type(layer).__name__.lower(), iter(())), None)) for layer in layers)
    return [(layer, name) for layer, name in pairs if name is not None]
