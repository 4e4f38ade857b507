"""Code of the user that a Keras model needs: `import_objects()` imports it, `refuse_code()` names it."""

import importlib
import importlib.util
import sys
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import keras

from digits_edge.export.loading.keras2 import REMOVED, is_standard
from digits_edge.runtime.errors import ModelError, UsageError, one_line

#: Value of the option that only allows the code of Lambda layers in the file.
LAMBDA = "Lambda"
_FORM = "pass MODULE:NAME[,NAME], with a module or a .py file"
#: Objects with code in the file, and a layer that loads another folder.
_CODE = ("Lambda", "__lambda__", "TFSMLayer")
#: Keras writes lambdas as activations without a class.
_LAMBDA_ACTIVATION = "__lambda_activation__"
#: First parts of the modules of Keras; the last three are packages that Keras itself looks up.
_KERAS = ("keras", "tf_keras", "tensorflow", "keras_hub", "keras_cv", "keras_nlp")


@cache
def import_objects(option: str) -> dict[str, Any]:
    """Import classes and functions that a model needs. This runs the module.

    Args:
        option: `MODULE:NAME[,NAME]`, where MODULE is a module, also one in the working folder, or a `.py` file, and
            NAME is a class, a function, or a dict of them by their names in the model; or `Lambda`.

    Returns:
        The objects by the names that Keras looks up; empty for `Lambda`.

    Raises:
        UsageError: the form is wrong, the module cannot be imported, or it has no such class or function.

    Example:
        >>> import_objects("keras.layers:Dense,Flatten")["Dense"].__name__
        'Dense'
        >>> import_objects("Lambda")
        {}
    """
    if option == LAMBDA:
        return {}
    name, _, wanted = option.rpartition(":")
    names = [each.strip() for each in wanted.split(",")]
    if not name or not all(names):
        raise UsageError(f"--custom-objects {option}: {_FORM}; or {LAMBDA}, if the model only has Lambda layers")
    module = _imported(name)
    objects: dict[str, Any] = {}
    for each in names:
        found = getattr(module, each, None)
        if isinstance(found, Mapping):
            objects |= {str(key): value for key, value in found.items()}
        elif callable(found):
            objects |= {each: found, str(keras.saving.get_registered_name(found)): found}
        else:
            raise UsageError(f"--custom-objects {option}: {name} has no class, function or dict {each}")
    return objects


def _imported(name: str) -> ModuleType:
    """Import a module, also from the working folder, or a `.py` file."""
    try:
        if not name.endswith(".py"):
            if "" not in sys.path and str(Path.cwd()) not in sys.path:
                sys.path.append(str(Path.cwd()))
            return importlib.import_module(name)
        file = Path(name).expanduser()
        spec = importlib.util.spec_from_file_location(file.stem, file)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        # classes of the module find it under its name, for example when they are pickled
        sys.modules.setdefault(file.stem, module)
        spec.loader.exec_module(module)
    except Exception as error:  # the module is any code
        raise UsageError(
            f"--custom-objects: {name} cannot be imported: {type(error).__name__}: {one_line(error)}; {_FORM}"
        ) from error
    return module


def refuse_code(config: dict[str, Any], known: Collection[str] | None) -> None:
    """Refuse a model that needs code which is not part of Keras.

    Args:
        config: the configuration of the model.
        known: names of the objects that the user passed; None without `--custom-objects`, which also refuses Lambda
            layers.

    Raises:
        ModelError: the message names the layer, its class, and the option.

    Example:
        >>> layer = {"class_name": "Lambda", "config": {"name": "double"}}
        >>> refuse_code({"class_name": "Sequential", "config": {"layers": [layer]}}, known=())
        >>> refuse_code({"class_name": "Sequential", "config": {"layers": [layer]}}, known=None)
        Traceback (most recent call last):
        digits_edge.runtime.errors.ModelError: the code of the Lambda layer double is not run; use standard ...
    """
    for layer, entry in _objects(config, ""):
        if problem := _problem(layer, entry, known):
            raise ModelError(problem)


def _problem(layer: str, entry: dict[str, Any], known: Collection[str] | None) -> str:
    """Why an object cannot be loaded, and what to do; empty if it can be."""
    name = entry["class_name"]
    if name in _CODE and known is None:
        return (
            f"the code of the {name.strip('_').replace('lambda', 'Lambda')} layer {layer} is not run; "
            f"use standard layers of Keras, or pass --custom-objects {LAMBDA} if you trust the file"
        )
    if name == _LAMBDA_ACTIVATION:
        return f"the activation of the layer {layer} is a lambda, which Keras does not load; use a named function"
    if name in REMOVED and name not in (known or ()):
        return (
            f"the layer {layer} has the class {name}, which Keras 3 does not have; save the model with "
            "model.export('FOLDER') in the version of Keras that it is from, and pass that folder"
        )
    if not _is_custom(entry) or _is_known(entry, known or ()):
        return ""
    kind, wanted = ("function", str(entry["config"])) if name == "function" else ("class", name.rpartition(">")[2])
    if "module" not in entry and hasattr(keras.ops, wanted.lower()):
        return f"the layer {layer} is the operation {wanted}, which .h5 files do not describe; save the model as .keras"
    module = entry.get("module") or "MODULE"
    source = "FILE.py" if module in ("__main__", "builtins") else module
    return (
        f"{f'the layer {layer}' if layer else 'the model'} needs the {kind} {wanted}, which is not part of Keras; "
        f"pass --custom-objects {source}:{wanted} if you trust that code, or use standard layers of Keras"
    )


def _objects(value: Any, layer: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """All objects in a configuration, each with the name of the layer that it is or belongs to."""
    if isinstance(value, dict):
        if isinstance(value.get("class_name"), str) and "config" in value:
            config = value["config"]
            own = (config.get("name") if isinstance(config, dict) else None) or value.get("name")
            layer = own if isinstance(own, str) and value["class_name"] != "DTypePolicy" else layer
            yield layer, value
        if isinstance(activation := value.get("activation"), dict) and "class_name" not in activation:
            yield layer, {"class_name": _LAMBDA_ACTIVATION, "config": activation}
        for each in value.values():
            yield from _objects(each, layer)
    elif isinstance(value, list):
        for each in value:
            yield from _objects(each, layer)


def _is_custom(entry: dict[str, Any]) -> bool:
    """Whether an object is not part of Keras, judged by its module or, in old files without it, by its class."""
    name, module, registered = entry["class_name"], entry.get("module"), entry.get("registered_name")
    if name.startswith("__"):
        return False
    if module is not None:
        if name == "function":
            return module == "builtins" and not hasattr(keras.activations, str(entry["config"]))
        return str(module).partition(".")[0] not in _KERAS or str(registered or "").startswith("Custom>")
    return not is_standard(name)


def _is_known(entry: dict[str, Any], known: Collection[str]) -> bool:
    registered = entry.get("registered_name")
    named = entry["config"] if entry["class_name"] == "function" else entry["class_name"]
    return any(
        isinstance(name, str) and (name in known or keras.saving.get_registered_object(name) is not None)
        for name in (registered, named)
    )
