"""Configurations of Keras 2 in the form of Keras 3: `translated()`."""

import inspect
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from typing import Any

import keras

from digits_edge.export.loading.keras2_nodes import in_keras_3, with_keras_3_nodes
from digits_edge.export.loading.tf_op import TF_OP

_ANY = object()
#: Arguments that Keras 3 does not know → the value that has no effect on predictions. Layers that do not have the
#: argument lose it if it has this value.
_WITHOUT_EFFECT = {
    "batch_input_shape": _ANY,
    "causal": False,
    "force_generator": _ANY,
    "function_type": _ANY,
    "fused": _ANY,
    "groups": 1,
    "implementation": _ANY,
    "input_length": _ANY,
    "key_shape": _ANY,
    "module": _ANY,
    "output_shape_module": _ANY,
    "output_shape_type": _ANY,
    "query_shape": _ANY,
    "ragged": False,
    "renorm": False,
    "rng_type": _ANY,
    "robust_masking": _ANY,
    "softmax_robust_masking": _ANY,
    "sparse": False,
    "time_major": False,
    "trainable": _ANY,
    "value_shape": _ANY,
    "zero_output_for_mask": False,
}
#: The weights are read from the file, so these have no effect.
_OF_TRAINING = ("_initializer", "_regularizer", "_constraint")
#: Layer of Keras 2 → layer of Keras 3, and new names of arguments. Random sizes are used in training only.
_RENAMED: dict[str, tuple[str, dict[str, str]]] = {
    "InputLayer": ("InputLayer", {"batch_input_shape": "batch_shape"}),
    "BatchNormalizationV1": ("BatchNormalization", {}),
    "BatchNormalizationV2": ("BatchNormalization", {}),
    "LeakyReLU": ("LeakyReLU", {"alpha": "negative_slope"}),
    "RandomHeight": ("Identity", {}),
    "RandomWidth": ("Identity", {}),
    "SyncBatchNormalization": ("BatchNormalization", {}),
    "ThresholdedReLU": ("ReLU", {"theta": "threshold"}),
}
_TF_OPS = ("TFOpLambda", "SlicingOpLambda")
_POLICIES = ("Policy", "PolicyV1")
_MODELS = ("Functional", "Model", "Sequential")
#: Layers of Keras 2 that Keras 3 does not have.
REMOVED = frozenset(
    {"CuDNNGRU", "CuDNNLSTM", "DenseFeatures", "LocallyConnected1D", "LocallyConnected2D", "TensorFlowOpLayer"}
)
_COMMON = ("name", "trainable", "dtype")


def translated(config: dict[str, Any], custom: Collection[str] = ()) -> dict[str, Any]:
    """Translate the configuration of a model of Keras 2, or of a `.h5` file of any version.

    Every layer gets its module. Keras 3 reads layers without it by other rules, which ignore `axis=(1, 2)`.

    Arguments that Keras 3 does not know are dropped if they have no effect on predictions. All others remain, so that
    Keras names them in its error.

    Args:
        config: the configuration of a layer or model.
        custom: names of the user's classes, whose configurations are not changed.

    Returns:
        The new configuration; `config` is not changed.

    Example:
        >>> old = {"class_name": "LSTM", "config": {"units": 4, "time_major": False, "kernel_initializer": "zeros"}}
        >>> translated(old)
        {'class_name': 'LSTM', 'config': {'units': 4}, 'module': 'keras.layers', 'registered_name': None}
    """
    result: dict[str, Any] = _Translation(frozenset(custom)).of(config)
    return result


def without_unused_arguments(value: Any) -> Any:
    """Drop arguments that are None and that this version of Keras does not know: newer versions write them.

    Args:
        value: the configuration of a layer or model, as written by Keras 3, or a part of it.

    Returns:
        The new configuration; `value` is not changed.

    Example:
        >>> without_unused_arguments({"class_name": "Dense", "config": {"units": 4, "other": None, "more": 1}})
        {'class_name': 'Dense', 'config': {'units': 4, 'more': 1}}
    """
    if isinstance(value, list):
        return [without_unused_arguments(each) for each in value]
    if not isinstance(value, dict):
        return value
    inner = {key: without_unused_arguments(each) for key, each in value.items()}
    if is_object(inner) and (known := arguments(inner["class_name"])):
        used = {key: each for key, each in inner["config"].items() if each is not None or key in known}
        return {**inner, "config": used}
    return inner


def is_object(value: Any) -> bool:
    """Whether a part of a configuration is that of a layer, model or other object.

    Example:
        >>> is_object({"class_name": "Flatten", "config": {}}), is_object({"units": 4})
        (True, False)
    """
    return (
        isinstance(value, dict) and isinstance(value.get("class_name"), str) and isinstance(value.get("config"), dict)
    )


def is_standard(name: str) -> bool:
    """Whether a class is one of Keras 2 or 3 that can be loaded.

    Example:
        >>> is_standard("TFOpLambda"), is_standard("RandomHeight"), is_standard("MyLayer")
        (True, True, False)
    """
    known = (*_RENAMED, *_TF_OPS, *_POLICIES, *_MODELS, "DTypePolicy", "function")
    places = (keras.layers, keras.initializers, keras.regularizers, keras.constraints, keras.activations)
    return name in known or any(hasattr(place, name) for place in places)


@cache
def arguments(name: str) -> frozenset[str]:
    """The names of the arguments of a Keras layer; empty if Keras has no such layer.

    Example:
        >>> "units" in arguments("Dense"), "time_major" in arguments("LSTM")
        (True, False)
        >>> arguments("LocallyConnected2D")
        frozenset()
    """
    layer = getattr(keras.layers, name, None)
    if not isinstance(layer, type):
        return frozenset()
    found: set[str] = set()
    for base in layer.__mro__:
        if "__init__" in vars(base):
            parameters = inspect.signature(vars(base)["__init__"]).parameters
            found |= parameters.keys()
            if all(each.kind is not inspect.Parameter.VAR_KEYWORD for each in parameters.values()):
                break
    return frozenset(found)


@dataclass(frozen=True)
class _Translation:
    custom: frozenset[str]

    def of(self, value: Any) -> Any:
        """A part of a configuration, with all layers in it translated."""
        if isinstance(value, list | tuple):
            return [self.of(each) for each in value]
        if not isinstance(value, dict):
            return value
        if value.get("class_name") == "Sequential" and isinstance(value.get("config"), list):  # Keras 2.2
            value = {**value, "config": {"name": "sequential", "layers": value["config"]}}
        if is_object(value) and not {value["class_name"], value.get("registered_name")} & self.custom:
            return self._object(value)
        return {key: self.of(each) for key, each in value.items()}

    def _object(self, entry: dict[str, Any]) -> Any:
        name, config = entry["class_name"], entry["config"]
        if name in _POLICIES:
            return config.get("name")
        if name in _MODELS:
            return self._model(entry)
        if name in _TF_OPS:
            function = config.get("function", "__operators__.getitem")
            config = {"function": function, **{key: config[key] for key in _COMMON if key in config}}
            return {**entry, "class_name": TF_OP, "config": config, "module": None, "registered_name": TF_OP}
        new_name, new_arguments = _RENAMED.get(name, (name, {}))
        if not (known := arguments(new_name)):
            return {key: self.of(each) for key, each in entry.items()}
        if new_name == "Identity":
            known = frozenset(_COMMON)
            config = {key: each for key, each in config.items() if key in known}
        config = {new_arguments.get(key, key): each for key, each in config.items()}
        config = {key: self.of(each) for key, each in config.items() if _is_used(key, each, known)}
        if new_name == "Lambda" and isinstance(config.get("function"), list):
            code = dict(zip(("code", "defaults", "closure"), config["function"], strict=False))
            config["function"] = {"class_name": "__lambda__", "config": code}
        if new_name == "BatchNormalization" and isinstance(config.get("axis"), list) and len(config["axis"]) == 1:
            config["axis"] = config["axis"][0]
        return self._placed({**entry, "class_name": new_name, "config": config}, "keras.layers")

    def _model(self, entry: dict[str, Any]) -> dict[str, Any]:
        config, name = entry["config"], entry["class_name"]
        if "input_layers" in config:
            name = "Model"  # it becomes a functional model
            config = with_keras_3_nodes(config)
        elif config.get("layers"):
            config = {**config, "layers": _with_input(config["layers"])}
        config = {key: self.of(each) for key, each in config.items()}
        return self._placed({**entry, "class_name": name, "config": config}, "keras")

    def _placed(self, entry: dict[str, Any], module: str) -> dict[str, Any]:
        """State where a class is in Keras 3, and drop its build configuration: calling the layer builds it."""
        if "name" in entry["config"]:
            entry = {**entry, "config": {**entry["config"], "name": in_keras_3(entry["config"]["name"])}}
        entry = {key: each for key, each in entry.items() if key != "build_config"}
        return {**entry, "module": module, "registered_name": None}


def _is_used(key: str, value: Any, known: frozenset[str]) -> bool:
    """Whether an argument has an effect on predictions, or Keras has to report it."""
    if key.endswith(_OF_TRAINING):
        return False
    if key in known:
        return True
    harmless = _WITHOUT_EFFECT.get(key)
    return harmless is not _ANY and value is not None and value != harmless


def _with_input(layers: list[Any]) -> list[Any]:
    """The layers of a Sequential model; the oldest files state its input shape in the first layer only."""
    first = layers[0]
    shape = first["config"].get("batch_input_shape") if is_object(first) else None
    if shape is None or first["class_name"] == "InputLayer":
        return layers
    dtype = first["config"].get("dtype", "float32")
    config = {"batch_shape": shape, "dtype": dtype, "name": f"{first['config'].get('name', 'image')}_input"}
    return [{**first, "class_name": "InputLayer", "config": config}, *layers]
