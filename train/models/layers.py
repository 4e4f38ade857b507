"""The layers of a Keras model as a graph."""

import math
from dataclasses import dataclass
from typing import Any

import keras

from digits_edge.train.models.layer import Layer


@dataclass(frozen=True, eq=False)
class Placed:
    """One call of a layer in a model: the Keras layer, its symbolic output, and the calls whose outputs it takes."""

    layer: Any
    output: Any
    inputs: tuple["Placed", ...]


def placed_layers(model: keras.Model) -> list[Placed]:
    """Layer calls between the first input and the first output of a functional or sequential model.

    Returns:
        Calls in topological order. A nested model is one layer; a layer that is called twice is listed twice.

    Example:
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
        >>> [type(placed.layer).__name__ for placed in placed_layers(model)]
        ['InputLayer', 'Dense']
    """
    placed: dict[tuple[int, int], Placed] = {}

    def place(tensor: Any) -> Placed:
        # Keras's own `summary` reads these private attributes as well; a layer's public `output` fails if the layer is
        # called twice, and is another tensor if the layer is a model
        operation, node_index, _ = tensor._keras_history
        key = id(operation), node_index
        if key not in placed:
            node = operation._inbound_nodes[node_index]
            inputs = tuple(place(value) for value in node.input_tensors)
            placed[key] = Placed(operation, tensor, inputs)
        return placed[key]

    place(model.outputs[0])
    return list(placed.values())


def keras_layers(model: keras.Model) -> list[Layer]:
    """Layers of a Keras model for its layer table and diagram, in topological order.

    Example:
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, activation="relu")])
        >>> [(layer.kind, layer.detail, layer.parameters) for layer in keras_layers(model)]
        [('Input', '', 0), ('Dense', '2, relu', 10)]
    """
    found = placed_layers(model)
    seen: set[str] = set()
    names = {id(one): _unique(one.layer.name, seen) for one in found}
    return [
        Layer(
            name=names[id(one)],
            kind=_kind(one.layer),
            detail=_detail(one.layer),
            shape=tuple(one.output.shape[1:]),
            parameters=_count(one.layer),
            inputs=tuple(names[id(value)] for value in one.inputs),
        )
        for one in found
    ]


def _unique(name: str, seen: set[str]) -> str:
    number = 1
    while name in seen:
        number += 1
        name = f"{name.partition(' (')[0]} ({number})"
    seen.add(name)
    return name


def _kind(layer: Any) -> str:
    return "Input" if isinstance(layer, keras.layers.InputLayer) else type(layer).__name__


def _count(layer: Any) -> int:
    weights = getattr(layer, "weights", ())
    # like Keras, do not count the state of random generators
    return sum(math.prod(weight.shape) for weight in weights if "seed_generator_state" not in weight.path)


def _detail(layer: Any) -> str:
    """Main settings of a layer, such as its width, kernel size and activation."""
    parts = []
    if (width := getattr(layer, "filters", None) or getattr(layer, "units", None)) is not None:
        parts.append(str(width))
    if (size := getattr(layer, "kernel_size", None) or getattr(layer, "pool_size", None)) is not None:
        parts.append("×".join(map(str, size)) if isinstance(size, tuple) else str(size))
    if (padding := getattr(layer, "padding", None)) and hasattr(layer, "kernel_size"):
        parts.append(str(padding))
    if isinstance(layer, keras.layers.Dropout):
        parts.append(f"{layer.rate:g}")
    activation = getattr(getattr(layer, "activation", None), "__name__", "linear")
    if activation != "linear":
        parts.append(activation)
    return ", ".join(parts)
