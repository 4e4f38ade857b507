"""Files in the form of Keras 2, written from models of Keras 3."""

import io
import json
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import h5py
import keras

VERSION = "2.15.0"
#: Arguments that only Keras 3 has.
_NEW = ("autocast", "optional", "quantization_config", "seed", "use_gate", "flash_attention", "data_format_of_range")
_RANDOM = {"rng_type": "stateful"}
#: Class → arguments that Keras 2 writes and Keras 3 does not know.
_OLD: dict[str, dict[str, Any]] = {
    "BatchNormalization": {"fused": True},
    "DepthwiseConv2D": {"groups": 1},
    "GRU": {"time_major": False, "implementation": 2},
    "InputLayer": {"ragged": False},
    "LSTM": {"time_major": False, "implementation": 2},
    "MultiHeadAttention": {"query_shape": [None, 7, 8], "key_shape": [None, 7, 8], "value_shape": [None, 7, 8]},
    "RandomFlip": _RANDOM,
    "RandomRotation": _RANDOM,
    "RandomZoom": _RANDOM,
    "SeparableConv2D": {"groups": 1},
}
#: Keras 2 passes these layers' second tensor as a keyword argument.
_SECOND = {"MultiHeadAttention": "value"}


def save_as_keras_2(model: keras.Model, path: Path, *, weights: str = "layers") -> Path:
    """Save a model as Keras 2 does: other arguments, calls, class names and, in `.keras` files, weights.

    Names have "/" for "__". A Rescaling layer whose name begins with "tf." becomes a function of TensorFlow.

    Args:
        model: a sequential or functional model.
        path: a `.keras` or `.h5` file.
        weights: the group of the layers' weights, which depends on the version of Keras 2.
    """
    model.save(path)
    config = _entry(json.loads(model.to_json()))
    if path.suffix == ".h5":
        with h5py.File(path, "r+") as file:
            file.attrs["model_config"] = json.dumps(_without_modules(config))
            file.attrs["keras_version"] = VERSION
        return path
    with ZipFile(path) as archive:
        variables = archive.read("model.weights.h5")
    with ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("metadata.json", json.dumps({"keras_version": VERSION}))
        archive.writestr("model.weights.h5", _old_weights(variables, weights))
    return path


def _entry(value: Any) -> Any:
    """The configuration of a layer or model, or a part of one."""
    if isinstance(value, list):
        return [_entry(each) for each in value]
    if not isinstance(value, dict):
        return value
    if value.get("class_name") == "DTypePolicy":
        name = value["config"]["name"]
        policy = {"module": "keras.mixed_precision", "class_name": "Policy", "config": {"name": name}}
        return policy if name.startswith("mixed_") else name
    if "class_name" not in value or "config" not in value:
        return {key: _entry(each) for key, each in value.items()}
    name = value["class_name"]
    entry = {**value, "config": _entry(value["config"])}
    if not isinstance(entry["config"], dict):
        return entry
    config = {key: each for key, each in entry["config"].items() if key not in _NEW} | _OLD.get(name, {})
    if name == "InputLayer":
        config["batch_input_shape"] = config.pop("batch_shape")
    if name == "LeakyReLU":
        config["alpha"] = config.pop("negative_slope")
    if name == "BatchNormalization":
        config["axis"] = [3]
    if name == "Functional":
        nested = {each["name"] for each in config["layers"] if each["class_name"] in ("Functional", "Sequential")}
        config["layers"] = [_with_old_calls(layer, nested) for layer in config["layers"]]
    if "name" in config:
        config["name"] = config["name"].replace("__", "/")
    entry["config"] = config
    if name == "Rescaling" and config["name"].startswith("tf."):
        entry = {**entry, "class_name": "TFOpLambda", "module": "tf_keras.src.layers.core.tf_op_layer"}
        entry["config"] = {"name": config["name"], "dtype": "float32", "function": "math.multiply"}
    return entry


def _with_old_calls(layer: dict[str, Any], nested: set[str]) -> dict[str, Any]:
    """A layer with references to tensors as lists: name, node and index; nodes of nested models count from 1."""

    def reference(tensor: dict[str, Any]) -> list[Any]:
        name, node, index = tensor["config"]["keras_history"]
        return [name.replace("__", "/"), node + (name in nested), index]

    def call(node: dict[str, Any]) -> list[Any]:
        first, *others = node["args"]
        keywords = {key: value for key, value in node["kwargs"].items() if key != "mask"}
        if layer["class_name"] in _SECOND:
            keywords[_SECOND[layer["class_name"]]] = reference(others[0])
        if layer["class_name"] == "TFOpLambda":
            keywords |= {"y": 0.5, "name": None}
            return [*reference(first), keywords]
        return [[*reference(tensor), keywords] for tensor in (first if isinstance(first, list) else [first])]

    calls = [call(node) for node in layer["inbound_nodes"]]
    return {**layer, "name": layer["name"].replace("__", "/"), "inbound_nodes": calls}


def _without_modules(value: Any) -> Any:
    """Layers in `.h5` files have no module, other objects have."""
    if isinstance(value, list):
        return [_without_modules(each) for each in value]
    if not isinstance(value, dict):
        return value
    is_layer = hasattr(keras.layers, str(value.get("class_name"))) or "inbound_nodes" in value
    dropped = ("module", "registered_name", "build_config") if is_layer else ()
    return {key: _without_modules(each) for key, each in value.items() if key not in dropped}


def _old_weights(content: bytes, group: str) -> bytes:
    """The weights file without random numbers, and another name of the group of layers."""
    changed = io.BytesIO()
    with h5py.File(io.BytesIO(content)) as new, h5py.File(changed, "w") as old:
        for name in new:
            new.copy(new[name], old, name)
        generators: list[str] = []
        old.visit(lambda name: generators.append(name) if name.endswith(("seed_generator", "generator")) else None)
        for name in generators:
            if name in old:
                del old[name]
        if group != "layers":
            old.move("layers", group)
    return changed.getvalue()
