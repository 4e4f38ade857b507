"""The calls of layers in functional models of Keras 2, in the form of Keras 3: `with_keras_3_nodes()`.

Keras 2 writes a tensor as `[layer, node, index]`, followed by the keyword arguments of the call.
"""

from collections.abc import Iterator
from typing import Any

_CONSTANT = "_CONSTANT_VALUE"


def with_keras_3_nodes(config: dict[str, Any]) -> dict[str, Any]:
    """Rewrite the calls of layers in the configuration of a functional model.

    Args:
        config: the inner configuration, with `layers`, `input_layers` and `output_layers`.

    Returns:
        The new configuration; `config` is not changed.

    Example:
        >>> call = [["image", 0, 0, {"training": False}]]
        >>> config = {"layers": [{"name": "image"}, {"name": "dense", "inbound_nodes": [call]}]}
        >>> node = with_keras_3_nodes(config)["layers"][1]["inbound_nodes"][0]
        >>> node["args"][0]["config"]["keras_history"], node["kwargs"]
        (['image', 0, 0], {'training': False})
    """
    layers = [layer for layer in config["layers"] if isinstance(layer, dict)]
    names = {layer.get("name") for layer in layers}
    used = [layer.get("inbound_nodes", []) for layer in layers]
    references = list(_references([*used, config.get("output_layers", [])], names))
    # Keras 2 counts the creation of a nested model as its first call
    first = {name: min((node for each, node, *_ in references if each == name), default=0) for name in names}
    calls = _Calls(first)
    rewritten = [
        {
            **layer,
            "name": in_keras_3(layer.get("name")),
            "inbound_nodes": [calls.node(node) for node in layer.get("inbound_nodes", [])],
        }
        for layer in layers
    ]
    ends: dict[str, Any] = {
        key: calls.shifted(config[key]) for key in ("input_layers", "output_layers") if key in config
    }
    return {**config, "layers": rewritten, **ends}


def in_keras_3(name: Any) -> Any:
    """The name of a layer in Keras 3, which does not accept slashes.

    Example:
        >>> in_keras_3("block/conv")
        'block_conv'
    """
    return name.replace("/", "_") if isinstance(name, str) else name


def _is_reference(value: Any, names: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) in (3, 4)
        and isinstance(value[0], str)
        and (value[0] == _CONSTANT or (value[0] in names and isinstance(value[1], int) and isinstance(value[2], int)))
    )


def _references(value: Any, names: Any) -> Iterator[list[Any]]:
    if _is_reference(value, names):
        yield value
        value = value[3:]
    if isinstance(value, list):
        for each in value:
            yield from _references(each, names)
    elif isinstance(value, dict):
        for each in value.values():
            yield from _references(each, names)


class _Calls:
    """Calls of layers whose first node has the given numbers."""

    def __init__(self, first: dict[Any, int]) -> None:
        self._first = first

    def node(self, node: Any) -> Any:
        """A call, with the tensors as first argument and the others as keyword arguments."""
        if not isinstance(node, list):
            return node
        called = next(_references(node, self._first), [])
        keywords = called[3] if len(called) == 4 and isinstance(called[3], dict) else {}
        if len(node) == 1 and not isinstance(node[0], dict):
            node = node[0]
        return {"args": [self._tensors(node)], "kwargs": {key: self._tensors(value) for key, value in keywords.items()}}

    def shifted(self, value: Any) -> Any:
        """References to outputs, with nodes that count from 0."""
        if _is_reference(value, self._first):
            return [in_keras_3(value[0]), value[1] - self._first[value[0]], *value[2:]]
        if isinstance(value, list):
            return [self.shifted(each) for each in value]
        return {key: self.shifted(each) for key, each in value.items()} if isinstance(value, dict) else value

    def _tensors(self, value: Any) -> Any:
        if _is_reference(value, self._first):
            if value[0] == _CONSTANT:
                return value[2]
            history = [in_keras_3(value[0]), value[1] - self._first[value[0]], value[2]]
            about = {"shape": [None], "dtype": "float32", "keras_history": history}
            return {"class_name": "__keras_tensor__", "config": about}
        if isinstance(value, list):
            return [self._tensors(each) for each in value]
        return {key: self._tensors(each) for key, each in value.items()} if isinstance(value, dict) else value
