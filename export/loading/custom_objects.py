"""Code of the user that a Keras model needs: `import_objects()` imports it, `refuse_code()` names it."""

import importlib
import importlib.util
import sys
from collections.abc import Collection, Iterator, Mapping
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
#: First parts of the modules of Keras; the last three are packages that Keras itself looks up.
_KERAS = ("keras", "tf_keras", "tensorflow", "keras_hub", "keras_cv", "keras_nlp")


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


def refuse_code(path: Path, config: dict[str, Any], known: Collection[str] | None) -> None:
    """Refuse a model that needs code which is not part of Keras.

    Args:
        path: the model's file, for the message.
        config: its configuration.
        known: names of the objects that the user passed; None without `--custom-objects`, which also refuses Lambda
            layers.

    Raises:
        ModelError: the message names the layer, its class, and the option.

    Example:
        >>> layer = {"class_name": "Lambda", "config": {"name": "double"}}
        >>> refuse_code(Path("m.keras"), {"class_name": "Sequential", "config": {"layers": [layer]}}, None)
        Traceback (most recent call last):
        digits_edge.runtime.errors.ModelError: m.keras has the Lambda layer double, and its code is not run; replace ...
    """
    for layer, entry in _objects(config, ""):
        name = entry["class_name"]
        if name in _CODE:
            if known is None:
                raise ModelError(
                    f"{path} has the {_described(name)} {layer}, and its code is not run; replace it by standard layers "
                    f"of Keras, or pass --custom-objects {LAMBDA} if you trust the file"
                )
        elif name in REMOVED and name not in (known or ()):
            raise ModelError(
                f"{path} has the layer {layer} of the class {name}, which Keras 3 does not have; save the model with "
                "model.export('FOLDER') in the version of Keras that it is from, and pass that folder"
            )
        elif _is_custom(entry) and not _is_known(entry, known or ()):
            module = entry.get("module") or "MODULE"
            source = "FILE.py" if module in ("__main__", "builtins") else module
            wanted = entry["config"] if name == "function" else name
            raise ModelError(
                f"{path} needs the {'function' if name == 'function' else 'class'} {wanted}"
                f"{f' for its layer {layer}' if layer else ''}, which is not part of Keras; "
                f"pass --custom-objects {source}:{wanted} if you trust that code, or use standard layers of Keras"
            )


def _described(name: str) -> str:
    return {"Lambda": "Lambda layer", "__lambda__": "function in layer"}.get(name, f"{name} layer")


def _objects(value: Any, layer: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """All objects in a configuration, each with the name of the layer that it is or belongs to."""
    if isinstance(value, dict):
        if isinstance(value.get("class_name"), str) and "config" in value:
            config = value["config"]
            name = config.get("name") if isinstance(config, dict) else None
            layer = name if isinstance(name, str) and not name.startswith("mixed_") else layer
            yield layer, value
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
        return str(module).partition(".")[0] not in _KERAS or (registered or "").startswith("Custom>")
    return not is_standard(name)


def _is_known(entry: dict[str, Any], known: Collection[str]) -> bool:
    registered = entry.get("registered_name")
    named = entry["config"] if entry["class_name"] == "function" else entry["class_name"]
    return any(
        isinstance(name, str) and (name in known or keras.saving.get_registered_object(name) is not None)
        for name in (registered, named)
    )
