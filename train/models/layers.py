"""The layers of a Keras model as a graph: which there are, and what goes into each."""

import math
from dataclasses import dataclass
from typing import Any

import keras

from digits_edge.train.models.layer import Layer


@dataclass(frozen=True, eq=False)
class Placed:
    """A layer in its place: the Keras layer, the symbolic tensor that leaves it here, and what goes into it."""

    layer: Any
    output: Any
    inputs: tuple["Placed", ...]


def placed_layers(model: keras.Model) -> list[Placed]:
    """The layers between a functional or sequential model's first input and its first output.

    Returns:
        Each after all that go into it. A model within the model is one layer; one that is used twice is there twice.
    """
    placed: dict[tuple[int, int], Placed] = {}

    def place(tensor: Any) -> Placed:
        # Keras's own `summary` reads the graph from these two as well; a layer's public `output` fails where it is used
        # twice and is another tensor where the layer is a model
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
    """What stands in the layer table and diagram of a Keras model."""
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
    # the state of a random generator is no parameter, and Keras's own count leaves it out as well
    return sum(math.prod(weight.shape) for weight in weights if "seed_generator_state" not in weight.path)


def _detail(layer: Any) -> str:
    """The few settings that tell one layer of a kind from another."""
    said = []
    if (width := getattr(layer, "filters", None) or getattr(layer, "units", None)) is not None:
        said.append(str(width))
    if (size := getattr(layer, "kernel_size", None) or getattr(layer, "pool_size", None)) is not None:
        said.append("×".join(map(str, size)) if isinstance(size, tuple) else str(size))
    if (padding := getattr(layer, "padding", None)) and hasattr(layer, "kernel_size"):
        said.append(str(padding))
    if isinstance(layer, keras.layers.Dropout):
        said.append(f"{layer.rate:g}")
    activation = getattr(getattr(layer, "activation", None), "__name__", "linear")
    if activation != "linear":
        said.append(activation)
    return ", ".join(said)
