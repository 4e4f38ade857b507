"""`Layer`: a layer of a Keras model or a node of an ONNX graph, as plain data."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Layer:
    """A layer of a Keras model or a node of an ONNX graph.

    Attributes:
        name: unique in the model.
        kind: "Conv2D", "MaxPool", …
        detail: its settings in a few words; may be empty.
        shape: of what leaves it, without the batch's axis.
        parameters: how many it has.
        inputs: names of those whose output goes into it.
    """

    name: str
    kind: str
    detail: str
    shape: tuple[int | None, ...]
    parameters: int
    inputs: tuple[str, ...]
